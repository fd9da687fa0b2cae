use std::collections::BTreeMap;
use std::time::Duration;

use coffre_api::Refusal;
use coffre_api::coerce::Ttl;
use coffre_api::sys::mounts::{UserLockoutInput, UserLockoutOutput};
use coffre_engine::LockoutRule;
use serde::{Deserialize, Serialize};

/// What one level says of user lockout: a mount, a stanza for a method, or the stanza for all. What it leaves out comes
/// from the next level; at the end stand Vault's defaults: 5 failures, 15 minutes, 15 minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockoutConfig {
    /// Failures in a row that lock; 0 is "not said".
    pub threshold: u32,
    /// Seconds that a lock lasts; 0 is "not said".
    pub duration: u64,
    /// Seconds after which failures are forgotten; 0 is "not said".
    pub reset: u64,
    /// Whether nothing is ever locked.
    pub disable: Option<bool>,
}

/// The level below those of the methods.
const ALL: &str = "all";
const THRESHOLD: u32 = 5;
const MINUTES: u64 = 15;

impl LockoutConfig {
    /// Whether a method counts failed logins.
    pub fn applies_to(kind: &str) -> bool {
        matches!(kind, "approle" | "ldap" | "userpass")
    }

    /// Puts in what was sent; what is absent stays.
    pub(crate) fn apply(&mut self, sent: &UserLockoutInput) -> Result<(), Refusal> {
        if let Some(threshold) = sent.lockout_threshold {
            self.threshold = u32::try_from(threshold.0)
                .map_err(|_| Refusal::invalid("lockout_threshold must be a whole number, not negative"))?;
        }
        self.duration = sent.lockout_duration.map_or(self.duration, Ttl::as_secs);
        self.reset = sent.lockout_counter_reset_duration.map_or(self.reset, Ttl::as_secs);
        self.disable = sent.lockout_disable.map(|flag| flag.0).or(self.disable);
        Ok(())
    }

    /// As it is shown.
    pub(crate) fn output(self) -> UserLockoutOutput {
        UserLockoutOutput {
            user_lockout_threshold: self.threshold,
            user_lockout_duration: self.duration,
            user_lockout_counter_reset_duration: self.reset,
            user_lockout_disable: self.disable.unwrap_or_default(),
        }
    }

    /// The rule of a mount; `stanzas` are those of the configuration, by method or `all`.
    pub(crate) fn rule(
        kind: &str,
        mount: Option<Self>,
        stanzas: &BTreeMap<String, Self>,
    ) -> Option<LockoutRule> {
        if !Self::applies_to(kind) {
            return None;
        }
        let levels = [mount, stanzas.get(kind).copied(), stanzas.get(ALL).copied()];
        let said = levels.into_iter().flatten().fold(Self::default(), Self::or);
        if said.disable == Some(true) {
            return None;
        }
        let duration = |seconds: u64| Duration::from_secs(if seconds == 0 { MINUTES * 60 } else { seconds });
        Some(LockoutRule {
            threshold: if said.threshold == 0 { THRESHOLD } else { said.threshold },
            duration: duration(said.duration),
            reset: duration(said.reset),
        })
    }

    fn or(self, next: Self) -> Self {
        let or = |said: u64, next: u64| if said == 0 { next } else { said };
        Self {
            threshold: if self.threshold == 0 { next.threshold } else { self.threshold },
            duration: or(self.duration, next.duration),
            reset: or(self.reset, next.reset),
            disable: self.disable.or(next.disable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_wins_over_its_method_and_that_over_all() {
        let all = LockoutConfig { threshold: 9, duration: 90, ..LockoutConfig::default() };
        let method = LockoutConfig { threshold: 8, disable: Some(true), ..LockoutConfig::default() };
        let stanzas: BTreeMap<_, _> = [("all".to_owned(), all), ("userpass".to_owned(), method)].into();
        assert_eq!(LockoutConfig::rule("userpass", None, &stanzas), None);
        let mount = LockoutConfig { disable: Some(false), reset: 7, ..LockoutConfig::default() };
        let rule = LockoutConfig::rule("userpass", Some(mount), &stanzas).unwrap();
        assert_eq!((rule.threshold, rule.duration.as_secs(), rule.reset.as_secs()), (8, 90, 7));
        let rule = LockoutConfig::rule("approle", None, &stanzas).unwrap();
        assert_eq!((rule.threshold, rule.duration.as_secs(), rule.reset.as_secs()), (9, 90, 900));
    }

    #[test]
    fn only_methods_with_names_lock() {
        assert_eq!(LockoutConfig::rule("kubernetes", None, &BTreeMap::new()), None);
        let rule = LockoutConfig::rule("ldap", None, &BTreeMap::new()).unwrap();
        assert_eq!((rule.threshold, rule.duration.as_secs(), rule.reset.as_secs()), (5, 900, 900));
    }
}
