use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::{WireDocument, is_plain, length, some_length};
use crate::{Target, WriteId};

/// `_rot/policy`: what rules an environment. Consumers read their bounds from it, rotators everything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RotPolicy {
    /// `rot-policy/1`; people may leave it out.
    #[serde(default = "schema")]
    pub schema: String,
    /// How old a value gets before a consumer asks again.
    #[serde(with = "length", default = "soft_ttl")]
    pub soft_ttl: Duration,
    /// How old a value may get at most in any consumer: `S` of the formulas.
    #[serde(with = "length", default = "max_stale")]
    pub max_stale: Duration,
    /// Bounds of the environment as a whole.
    #[serde(default)]
    pub limits: Limits,
    /// When nothing is begun.
    #[serde(default)]
    pub blackout: Vec<Blackout>,
    /// Periods of single targets, for people who look; the manifest decides.
    #[serde(default)]
    pub schedules: BTreeMap<Target, String>,
    /// Which write this is.
    #[serde(rename = "_w", default)]
    pub write: WriteId,
}

/// Bounds of an environment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Targets in APPLY…PROMOTE at a time.
    pub at_once: u32,
    /// Promotions in an hour.
    pub promotions_per_hour: u32,
    /// Between promotions of one exclusion group.
    #[serde(with = "length")]
    pub group_gap: Duration,
    /// Generations that are accepted at the same time.
    pub max_accepted: u32,
    /// The most that a process lives, where frozen consumers are replaced by then.
    #[serde(with = "some_length")]
    pub max_process_lifetime: Option<Duration>,
}

/// Days on which nothing is begun.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Blackout {
    /// The first day, `2026-12-20`, in the schedule's zone.
    pub from: String,
    /// The last day.
    pub to: String,
    /// Why.
    #[serde(default)]
    pub why: String,
}

fn schema() -> String {
    RotPolicy::SCHEMA.to_owned()
}

const fn soft_ttl() -> Duration {
    Duration::from_secs(300)
}

const fn max_stale() -> Duration {
    Duration::from_secs(3_600)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 1,
            promotions_per_hour: 2,
            group_gap: Duration::from_secs(1_800),
            max_accepted: 4,
            max_process_lifetime: None,
        }
    }
}

impl Default for RotPolicy {
    fn default() -> Self {
        Self {
            schema: schema(),
            soft_ttl: soft_ttl(),
            max_stale: max_stale(),
            limits: Limits::default(),
            blackout: Vec::new(),
            schedules: BTreeMap::new(),
            write: WriteId::default(),
        }
    }
}

impl WireDocument for RotPolicy {
    const SCHEMA: &'static str = "rot-policy/1";
    const NAME: &'static str = "rotation policy";
    const NEEDS_SCHEMA: bool = false;
    const MAX_BYTES: usize = 128 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        let pairs = [
            (
                !self.soft_ttl.is_zero() && !self.max_stale.is_zero(),
                "soft_ttl and max_stale must be more than zero",
            ),
            (self.soft_ttl <= self.max_stale, "soft_ttl lies above max_stale"),
            (self.blackout.len() <= 64, "it has more than 64 blackouts"),
            (self.schedules.len() <= 1_024, "it has more than 1024 schedules"),
            (self.schedules.values().all(|text| is_plain(text, 200)), "a schedule is too long"),
            (self.limits.at_once >= 1, "limits.at_once must be at least 1"),
            (self.limits.promotions_per_hour >= 1, "limits.promotions_per_hour must be at least 1"),
            ((2..=8).contains(&self.limits.max_accepted), "limits.max_accepted must be 2 to 8"),
            (self.write.is_sound(), "_w is not the id of a write"),
            (
                self.blackout.iter().all(Blackout::is_sound),
                "a blackout needs days like 2026-12-20, the first not after the last",
            ),
        ];
        pairs.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, what)| Err(*what))
    }
}

impl Blackout {
    fn is_sound(&self) -> bool {
        let day = |text: &str| text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
        day(&self.from) && day(&self.to) && self.from <= self.to && is_plain(&self.why, 200)
    }
}
