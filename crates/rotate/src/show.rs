//! What can be told about targets: plain data without material.

use coffre_ambient::Wall;
use coffre_rotation::machine::{self, Next, Seen};
use coffre_rotation::{HistoryEvent, Phase, Record, Target as Name, check};
use serde::Serialize;

use crate::chronicle;
use crate::gather::{Gathered, gather};
use crate::plan::{self, Planned};
use crate::{Failure, Rotating, Rotator};

/// Where a target stands.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub target: String,
    /// What sort of thing it is.
    pub kind: String,
    /// Whether it rotates by itself.
    pub enabled: bool,
    /// Where the newest rotation stands; `IDLE` without one.
    pub phase: String,
    /// Since when, RFC 3339; like all times here.
    pub phase_since: Option<String>,
    /// Why the newest rotation was begun.
    pub reason: Option<String>,
    /// The generation in use; 0: none yet.
    pub active: u64,
    /// The one that is being made.
    pub pending: Option<u64>,
    /// Those on their way out, oldest first, with where each stands.
    pub retiring: Vec<Leaving>,
    /// How often the document changed.
    pub epoch: u64,
    /// The last promotion.
    pub last: Option<String>,
    /// The next rotation.
    pub next: Option<String>,
    /// After that it is late.
    pub deadline: Option<String>,
    /// Why nothing is done right now; `None`: something is.
    pub waits: Option<String>,
    /// When it goes on by itself, if that is known.
    pub until: Option<String>,
    /// Consumers that are waited for.
    pub consumers: Vec<String>,
    /// Consumers that are registered, and how many of them do not follow.
    pub registered: (usize, usize),
    /// Who works on it.
    pub holder: Option<String>,
    /// Why it stands still, and what to do.
    pub halt: Option<Stopped>,
    /// Why everything stands still.
    pub frozen: Option<String>,
    /// What the manifest says that makes it unsafe: the schedule begins nothing because of it.
    pub forbidden: Vec<String>,
    /// It could not be read: why.
    pub failed: Option<String>,
}

/// A generation that was active.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Leaving {
    /// Its number.
    pub generation: u64,
    /// `DRAIN`, `RETIRE`, `REENCRYPT` or `DESTROY`.
    pub phase: String,
    /// When it may be retired at the earliest.
    pub earliest_retire: String,
    /// Its material is known to others.
    pub compromised: bool,
    /// What still forbids its destruction, one sentence each.
    pub missing: Vec<String>,
}

/// Why a target stands still.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stopped {
    /// A word for programs.
    pub code: String,
    /// What happened.
    pub why: String,
    /// What to do next.
    pub advice: String,
    /// When.
    pub since: String,
    /// Where it goes on.
    pub phase: String,
}

impl Rotator {
    /// Where all targets stand; one that cannot be read says so in its line.
    pub async fn status(&self) -> Vec<Status> {
        let mut lines = Vec::new();
        for target in &self.targets {
            lines.push(match gather(&self.store, &self.environment, target, &self.targets).await {
                Ok(read) => self.line(target, &read),
                Err(failure) => Status { failed: Some(failure.to_string()), ..blank(target) },
            });
        }
        lines
    }

    /// What the next rotation of a target will do and when, or what is left of the one under way.
    ///
    /// # Errors
    /// What could not be read; an unknown name.
    pub async fn plan(&self, name: &Name) -> Result<Vec<Planned>, Failure> {
        let target = self.target(name)?;
        let read = gather(&self.store, &self.environment, target, &self.targets).await?;
        let settings = self.settings(target, read.enabled);
        let first = self.unwritten(target);
        let record = read.record.value.as_ref().unwrap_or(&first);
        Ok(plan::plan(&settings, &read, record, self.store.now()))
    }

    /// The newest `most` events of a target, oldest first, and whether the chain holds.
    ///
    /// # Errors
    /// What could not be read; an unknown name.
    pub async fn history(&self, name: &Name, most: usize) -> Result<(Vec<HistoryEvent>, bool), Failure> {
        self.target(name)?;
        let (events, chain) = chronicle::newest(&self.store, &self.environment, name, most).await?;
        Ok((events, chain.is_ok()))
    }

    fn unwritten(&self, target: &Rotating) -> Record {
        Record::new(target.name.clone(), target.kind.kind(), "-".to_owned(), 0, self.store.now())
    }

    fn line(&self, target: &Rotating, read: &Gathered) -> Status {
        let mut line = Status { enabled: read.enabled, frozen: read.freeze.clone(), ..blank(target) };
        line.registered = (read.acks.len(), read.acks.iter().filter(|heard| heard.ack.frozen).count());
        line.epoch = read.facts.as_ref().map_or(0, |facts| facts.epoch);
        let Some(record) = &read.record.value else {
            line.waits = Some("it was never rotated".to_owned());
            return line;
        };
        describe(&mut line, record);
        let settings = self.settings(target, read.enabled);
        if let Some(seen) = read.seen(&settings, &self.holder, self.memory(&target.name), self.store.now()) {
            wait(&mut line, &seen);
        }
        line
    }
}

fn describe(line: &mut Status, record: &Record) {
    let time = |at: Option<Wall>| at.map(Wall::rfc3339);
    record.phase.word().clone_into(&mut line.phase);
    line.phase_since = Some(record.phase_since.rfc3339());
    line.reason = (record.phase != Phase::Idle).then(|| record.reason.to_string());
    line.active = record.active;
    line.pending = record.pending.as_ref().map(|pending| pending.gen_no);
    line.retiring = record
        .retiring
        .iter()
        .map(|old| Leaving {
            generation: old.gen_no,
            phase: old.phase.to_string(),
            earliest_retire: old.earliest_retire.rfc3339(),
            compromised: old.compromised,
            missing: old.missing.clone(),
        })
        .collect();
    line.last = time(record.schedule.last_ok);
    line.next = time(record.schedule.next_due);
    line.deadline = time(record.schedule.deadline);
    line.holder = record.claim.as_ref().map(|claim| claim.holder.clone());
    line.halt = record.halt.as_ref().map(|halt| Stopped {
        code: word(&halt.code),
        why: halt.why.clone(),
        advice: halt.advice.clone(),
        since: halt.since.rfc3339(),
        phase: halt.phase.to_string(),
    });
}

fn wait(line: &mut Status, seen: &Seen<'_>) {
    if let Next::Wait(waiting) = machine::next(seen) {
        line.until = waiting.until.map(Wall::rfc3339);
        line.consumers = waiting.consumers.iter().map(ToString::to_string).collect();
        line.waits = Some(waiting.why);
    }
}

/// The word of the wire.
fn word(code: &impl Serialize) -> String {
    let text = serde_json::to_string(code).unwrap_or_default();
    text.trim_matches('"').to_owned()
}

impl Status {
    /// Of something that no engine rotates: what stands in a list beside targets, and why.
    #[must_use]
    pub fn of_no_target(target: &str, kind: &str, why: String) -> Self {
        Self { waits: Some(why), ..empty(target, kind) }
    }
}

fn blank(target: &Rotating) -> Status {
    let forbidden = check::unsound(&target.settings).into_iter().map(|finding| finding.0).collect();
    Status { forbidden, ..empty(target.name.as_str(), &target.settings.kind.to_string()) }
}

fn empty(target: &str, kind: &str) -> Status {
    Status {
        target: target.to_owned(),
        kind: kind.to_owned(),
        enabled: false,
        phase: Phase::Idle.word().to_owned(),
        phase_since: None,
        reason: None,
        active: 0,
        pending: None,
        retiring: Vec::new(),
        epoch: 0,
        last: None,
        next: None,
        deadline: None,
        waits: None,
        until: None,
        consumers: Vec::new(),
        registered: (0, 0),
        holder: None,
        halt: None,
        frozen: None,
        forbidden: Vec::new(),
        failed: None,
    }
}
