//! What a server refused is not sent again and again.
//!
//! Vault, OpenBao and Coffre lock an AppRole role or a user after five wrong tries, for everybody, for 15 minutes; the
//! count falls back to nothing after 15 minutes without a wrong try (Vault's documentation, "User lockout"). A program that
//! goes on with a secret_id that has ended would lock out all others that share its role.

use std::time::Duration;

use coffre_secret::SecretText;

/// Two for the server's own hiccups. An agent has two more secret_ids to try, of its own: together that is one less than locks.
const TRIES: u32 = 2;
/// Longer than the time after which the server forgets wrong tries.
const PAUSE: Duration = Duration::from_secs(20 * 60);

/// Counts how often a credential was refused, and says when it may be tried again.
#[derive(Debug, Default)]
pub struct Refusals {
    last: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    credential: SecretText,
    tries: u32,
    next: Duration,
}

impl Refused {
    /// EXPOSE: compared in memory; both are the program's own.
    fn is(&self, credential: &SecretText) -> bool {
        self.credential.expose() == credential.expose()
    }
}

impl Refusals {
    /// How long to wait before this credential is sent, at `now` of a clock that does not go back. Nothing for one that was
    /// not refused before: it may be right.
    #[must_use]
    pub fn wait(&self, credential: &SecretText, now: Duration) -> Option<Duration> {
        let refused = self.last.as_ref().filter(|refused| refused.is(credential))?;
        refused.next.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// The server says that the credential is wrong.
    pub fn refused(&mut self, credential: &SecretText, now: Duration) {
        let before = self.last.take().filter(|refused| refused.is(credential));
        let tries = before.map_or(0, |refused| refused.tries).saturating_add(1);
        let next = if tries < TRIES { now } else { now.saturating_add(PAUSE) };
        self.last = Some(Refused { credential: credential.duplicate(), tries, next });
    }

    /// The server took a credential.
    pub fn accepted(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_same_credential_never_counts_up_to_a_lock() {
        let (mut refusals, wrong) = (Refusals::default(), SecretText::from("wrong"));
        // The server's counter: wrong tries with less than 15 minutes between them.
        let (mut count, mut last) = (0, at(0));
        for second in 0..100_000 {
            if refusals.wait(&wrong, at(second)).is_none() {
                count = if at(second) - last > at(15 * 60) { 1 } else { count + 1 };
                last = at(second);
                refusals.refused(&wrong, last);
            }
            assert!(count <= 2, "{second}");
        }
        assert!(last > at(98_000), "it is tried for ever");
    }

    #[test]
    fn another_credential_goes_at_once() {
        let (mut refusals, wrong) = (Refusals::default(), SecretText::from("wrong"));
        refusals.refused(&wrong, at(1));
        assert_eq!(refusals.wait(&wrong, at(1)), None);
        refusals.refused(&wrong, at(2));
        assert_eq!(refusals.wait(&wrong, at(3)), Some(at(1199)));
        assert_eq!(refusals.wait(&SecretText::from("next"), at(3)), None);
        refusals.accepted();
        assert_eq!(refusals.wait(&wrong, at(3)), None, "it was right once");
        assert!(!format!("{refusals:?}").contains("wrong"));
    }
}
