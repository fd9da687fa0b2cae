use coffre_ambient::Wall;

use super::act::Action;
use super::gate::Heard;
use crate::{ConsumerId, Facts, Phase, Record, RotPolicy, RotationId, Settings, Soak, Target};

/// All that a decision follows from.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The record as it was read. Read after the document.
    pub record: &'a Record,
    /// The credential document; `None`: there is none.
    pub document: Option<&'a Facts>,
    /// What consumers say.
    pub acks: &'a [Heard],
    /// How the target rotates.
    pub settings: &'a Settings,
    /// What rules the environment.
    pub policy: &'a RotPolicy,
    /// Why everything is to stand still, if it is.
    pub freeze: Option<&'a str>,
    /// The other targets of the environment. Read after the record.
    pub neighbours: &'a [Neighbour],
    /// How well the target rotates in the environment before this one; `None`: there is none, or nobody knows.
    pub soak: Option<&'a Soak>,
    /// Who we are: host, boot, process. Nobody else is called so.
    pub holder: &'a str,
    /// Server time.
    pub now: Wall,
    /// What this rotator remembers of the target, whatever the server says.
    pub memory: Memory,
    /// Randomness for this decision.
    pub draw: &'a Draw,
}

impl Seen<'_> {
    /// A copy of the record, to be changed.
    pub(crate) fn copy(&self) -> Box<Record> {
        Box::new(self.record.duplicate())
    }

    /// The epoch of the document that is written next.
    pub(crate) fn next_epoch(&self) -> u64 {
        let document = self.document.map_or(0, |document| document.epoch);
        document.max(self.record.max_epoch).saturating_add(1)
    }
}

/// What a rotator remembers of a target for as long as its process lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// The highest epoch of the document that it has seen or written. Forgotten when an epoch reset was written.
    pub max_epoch: u64,
    /// The fence with which the target refused it, since the record was last written by it.
    pub refused_fence: Option<u64>,
}

/// Fresh randomness.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draw {
    /// For a rotation that begins.
    pub rotation: RotationId,
    /// For back-offs: uniform.
    pub jitter: u64,
}

/// Another target of the same environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Its name.
    pub target: Target,
    /// Where it stands.
    pub phase: Phase,
    /// Its rotation.
    pub rotation: RotationId,
    /// Until when somebody works on it.
    pub claimed_until: Option<Wall>,
    /// Its last promotion.
    pub promoted: Option<Wall>,
    /// Its exclusion group.
    pub group: Option<String>,
}

impl Neighbour {
    /// Of another target's record.
    pub fn of(record: &Record, group: Option<String>) -> Self {
        Self {
            target: record.target.clone(),
            phase: record.phase,
            rotation: record.rotation.clone(),
            claimed_until: record.claim.as_ref().map(|claim| claim.until),
            promoted: record.schedule.last_ok,
            group,
        }
    }
}

/// What to do.
#[derive(Debug)]
pub enum Next {
    /// Write this record under check-and-set, with a fresh `_w`; then ask again.
    Write(Box<Record>),
    /// Perform this, with the record as it is; then [`finish`](super::finish).
    Act(Action),
    /// Nothing, for now.
    Wait(Waiting),
    /// What was read is out of date: read everything anew, and ask again.
    Reread,
}

/// Why nothing is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// When it is worth asking again; `None`: when somebody changes something.
    pub until: Option<Wall>,
    /// For a person.
    pub why: String,
    /// Consumers that are waited for.
    pub consumers: Vec<ConsumerId>,
    /// Nothing is under way.
    pub(crate) idle: bool,
}

impl Waiting {
    pub(crate) fn until(until: Wall, why: impl Into<String>) -> Self {
        Self { until: Some(until), why: why.into(), consumers: Vec::new(), idle: false }
    }

    pub(crate) fn forever(why: impl Into<String>) -> Self {
        Self { until: None, why: why.into(), consumers: Vec::new(), idle: false }
    }

    pub(crate) fn idle(until: Option<Wall>, why: &str) -> Self {
        Self { until, why: why.to_owned(), consumers: Vec::new(), idle: true }
    }

    pub(crate) fn halted() -> Self {
        Self::forever("it stands still until a person has looked at it")
    }
}
