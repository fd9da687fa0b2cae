use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule::{Blackout, Window, Zone};
use super::servers::{PostgresqlServer, RedisServer};
use crate::period::Period;

/// `[rotation]`: what holds for all targets.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Project {
    /// After how long a consumer asks again; 5 minutes.
    pub soft_ttl: Option<Period>,
    /// The oldest copy with which a consumer still works; 1 hour. A consumer refuses a longer time of its own.
    pub max_stale: Option<Period>,
    /// The zone of schedules, windows and blackouts; UTC.
    pub zone: Option<Zone>,
    /// The hours in which something may change; always.
    pub window: Option<Window>,
    /// When nothing may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blackout: Vec<Blackout>,
    /// How long to wait for consumers before a rotation halts; 24 hours.
    pub gate_deadline: Option<Period>,
    /// How long what still uses an old credential is left alone after everybody has acknowledged the new one; 15 minutes.
    pub grace: Option<Period>,
    /// How many generations of one key may be accepted at once; 4.
    pub max_accepted: Option<u8>,
    /// How long the bytes of a retired key stay in the vault; 7 days.
    pub destroy_hold: Option<Period>,
    /// By how much the clocks of servers, engines and consumers may differ; 60 seconds. Waits for time are longer by twice
    /// as much, so it must be more than they ever do: the engine reads whole seconds from a server's answers.
    pub clock_allowance: Option<Period>,
    /// After how long something done to a database or an outside service is given up; 30 seconds.
    pub action_timeout: Option<Period>,
    /// How long an engine that was killed keeps others from going on with what it did; 2 minutes.
    pub claim: Option<Period>,
    /// How often the engine looks at everything, at least; 20 seconds.
    pub poll: Option<Period>,
    /// What the rotation waits for before a new key is used, and before an old one goes; time.
    pub gate: Option<Gates>,
    /// How much may happen at once.
    #[serde(skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// Programs that do not follow changes by themselves.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub consumers: BTreeMap<String, Consumer>,
    /// Databases whose logins the engine changes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub postgresql: BTreeMap<String, PostgresqlServer>,
    /// Redis or Valkey servers whose users the engine changes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub redis: BTreeMap<String, RedisServer>,
}

impl Project {
    /// How long a procedure must have gone well in the environment before another one.
    #[must_use]
    pub fn promote_after(&self) -> Option<Duration> {
        self.limits.promote_after.as_ref().map(Period::length)
    }

    /// `K`: by how much clocks may differ.
    #[must_use]
    pub fn clock_allowance(&self) -> Duration {
        self.clock_allowance.as_ref().map_or(Duration::from_secs(60), Period::length)
    }

    /// After how long an action is given up.
    #[must_use]
    pub fn action_timeout(&self) -> Duration {
        self.action_timeout.as_ref().map_or(Duration::from_secs(30), Period::length)
    }

    /// How long a claim holds.
    #[must_use]
    pub fn claim(&self) -> Duration {
        self.claim.as_ref().map_or(Duration::from_secs(120), Period::length)
    }

    /// How often everything is looked at.
    #[must_use]
    pub fn poll(&self) -> Duration {
        self.poll.as_ref().map_or(Duration::from_secs(20), Period::length)
    }
}

/// What a rotation waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gates {
    /// Until no copy can be old any more (`max_stale`), and nobody who is registered says otherwise.
    #[default]
    Time,
    /// Until everybody who is registered has said that they follow. Only where every consumer does say so: a copy that
    /// nobody speaks for is not waited for.
    Acknowledgements,
}

/// `[rotation.limits]`, for each environment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many targets may be between APPLY and PROMOTE at a time; 1.
    pub at_once: Option<u8>,
    /// How many promotions there may be in an hour; 2.
    pub promotions_per_hour: Option<u16>,
    /// How far apart promotions of one group are; 30 minutes.
    pub group_spacing: Option<Period>,
    /// How long a procedure must have worked in the environment before this one, in the manifest's order.
    pub promote_after: Option<Period>,
}

impl Limits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `[rotation.consumers.<service>]`: a program and how it gets its secrets. Who is not named follows by itself.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// It reads its secrets once, when it starts: from its environment, say.
    #[serde(default)]
    pub frozen: bool,
    /// The variables that it reads; all unless this says otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Something restarts it and then acknowledges for it: `coffre run` or `coffre agent`.
    #[serde(default)]
    pub acknowledges: bool,
    /// The longest that one of its processes lives.
    pub max_process_lifetime: Option<Period>,
}
