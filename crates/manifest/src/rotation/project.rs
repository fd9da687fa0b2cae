use std::collections::BTreeMap;

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
