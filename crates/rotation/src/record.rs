use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use coffre_ambient::Wall;
use coffre_secret::SecretText;
use serde::{Deserialize, Serialize};

use crate::history::{self, ChainHead, Happening, HistoryEvent};
use crate::wire::{WireDocument, is_plain, length_of_map, material, some_material, some_wall, wall};
use crate::{ConsumerId, Kind, Phase, Reason, RotationId, Target, Well, WriteId};

/// Old generations that may be on their way out at the same time: `max_accepted` less the active one.
pub const MAX_RETIRING: usize = 8;
/// Consumers named in a gate, each list; the gate itself counts all of them.
pub(crate) const MAX_NAMED: usize = 64;
/// Events that wait to be written to the history.
pub(crate) const MAX_OUTBOX: usize = 64;

/// `rot/1`: the state of one target, in `_rot/rec/<target>`. Each transition is one write of it under check-and-set.
///
/// Beyond the fields of the format, optional ones: `gens`, `max_epoch`, `tries`, `after_undo`, `exposed`, `repair`, `hist_seq`, `outbox`,
/// `work`, and in `retiring` what belongs to each generation on its way out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// Always `rot/1`.
    pub schema: String,
    /// Which target; must be that of the path.
    pub target: Target,
    /// What sort of thing rotates.
    pub kind: Kind,
    /// Random, drawn once: tells a record from another that somebody put in its place.
    pub incarnation: String,
    /// Which write this is.
    #[serde(rename = "_w")]
    pub write: WriteId,
    /// Grows with each claim; travels to the target, which refuses a smaller one.
    pub fence: u64,
    /// Where the newest rotation stands; after promotion, where the oldest generation on its way out stands.
    pub phase: Phase,
    /// The newest rotation; empty before the first.
    pub rotation: RotationId,
    /// Why it was begun.
    pub reason: Reason,
    /// Which attempt with new material this is, from 1.
    pub attempt: u32,
    /// Nothing is done before: the end of a back-off.
    #[serde(with = "some_wall", default)]
    pub not_before: Option<Wall>,
    /// Who works on it.
    pub claim: Option<Claim>,
    /// The generation in use; 0: none yet.
    pub active: u64,
    /// The generation that is being made.
    pub pending: Option<Pending>,
    /// Generations that were active, oldest first.
    #[serde(default)]
    pub retiring: Vec<Retiring>,
    /// Since when `phase` is what it is.
    #[serde(with = "wall")]
    pub phase_since: Wall,
    /// What PUBLISH waits for; in DRAIN, see [`Retiring::gate`].
    pub gate: Option<Gate>,
    /// When it ran and will run.
    #[serde(default)]
    pub schedule: Schedule,
    /// Why it stands still.
    pub halt: Option<Halt>,
    /// `sha256:…` of the newest event, or empty.
    #[serde(default)]
    pub hist_head: String,
    /// The number of the newest event; 0: none.
    #[serde(default)]
    pub hist_seq: u64,
    /// The highest generation that was ever given out; none is given twice.
    #[serde(default)]
    pub gens: u64,
    /// The highest epoch of the document that was ever written or seen.
    #[serde(default)]
    pub max_epoch: u64,
    /// Transient failures in a row.
    #[serde(default)]
    pub tries: u32,
    /// Where UNDO leads.
    #[serde(default)]
    pub after_undo: Option<AfterUndo>,
    /// A write of the document that names or accepts the pending generation may have left us, and may still land.
    #[serde(default)]
    pub exposed: bool,
    /// What the document must be made to say, outside of a rotation.
    #[serde(default)]
    pub repair: Option<Repair>,
    /// How it rotates, and since when it has gone well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well: Option<Well>,
    /// Events that are part of the chain and perhaps not yet in the history's document.
    #[serde(default)]
    pub outbox: Vec<HistoryEvent>,
    /// The kind's own notes, as a cursor and counts; never material.
    #[serde(default)]
    pub work: BTreeMap<String, serde_json::Value>,
}

impl Record {
    /// The record of a target that was never rotated. `active` is the generation that the document has now: 0 if there
    /// is no document, 1 for a value that was there before.
    pub fn new(target: Target, kind: Kind, incarnation: String, active: u64, now: Wall) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            target,
            kind,
            incarnation,
            write: WriteId::default(),
            fence: 0,
            phase: Phase::Idle,
            rotation: RotationId::default(),
            reason: Reason::Schedule,
            attempt: 0,
            not_before: None,
            claim: None,
            active,
            pending: None,
            retiring: Vec::new(),
            phase_since: now,
            gate: None,
            schedule: Schedule::default(),
            halt: None,
            hist_head: String::new(),
            hist_seq: 0,
            gens: active,
            max_epoch: 0,
            tries: 0,
            after_undo: None,
            exposed: false,
            repair: None,
            well: None,
            outbox: Vec::new(),
            work: BTreeMap::new(),
        }
    }

    /// A copy, material included, to be changed and written. Both are wiped.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            schema: self.schema.clone(),
            target: self.target.clone(),
            incarnation: self.incarnation.clone(),
            write: self.write.clone(),
            rotation: self.rotation.clone(),
            claim: self.claim.clone(),
            pending: self.pending.as_ref().map(Pending::duplicate),
            retiring: self.retiring.iter().map(Retiring::duplicate).collect(),
            gate: self.gate.clone(),
            halt: self.halt.clone(),
            schedule: self.schedule.clone(),
            hist_head: self.hist_head.clone(),
            well: self.well.clone(),
            outbox: self.outbox.clone(),
            work: self.work.clone(),
            ..*self
        }
    }

    /// The gate that is waited for: that of PUBLISH, else that of the oldest generation on its way out.
    pub fn shown_gate(&self) -> Option<&Gate> {
        self.gate.as_ref().or_else(|| self.retiring.first()?.gate.as_ref())
    }

    /// The generation on its way out with this number.
    pub fn retiring_gen(&self, number: u64) -> Option<&Retiring> {
        self.retiring.iter().find(|old| old.gen_no == number)
    }

    /// Chains an event and puts it into the outbox.
    pub fn remember(&mut self, happening: Happening) {
        let head = ChainHead { seq: self.hist_seq, hash: self.hist_head.clone() };
        let event = history::chained(&head, happening);
        self.hist_seq = event.seq;
        self.hist_head.clone_from(&event.hash);
        self.outbox.push(event);
    }

    /// Drops events of the outbox that the history holds: all up to number `seq`.
    pub fn recorded(&mut self, seq: u64) {
        self.outbox.retain(|event| event.seq > seq);
    }
}

impl WireDocument for Record {
    const SCHEMA: &'static str = "rot/1";
    const NAME: &'static str = "rotation record";
    const NEEDS_SCHEMA: bool = true;
    const MAX_BYTES: usize = 512 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        let pairs = [
            (self.schema == Self::SCHEMA, "its schema is not rot/1"),
            (is_plain(&self.incarnation, 64) && !self.incarnation.is_empty(), "it has no incarnation"),
            (self.write.is_sound(), "_w is not the id of a write"),
            (self.rotation.is_sound(), "`rotation` is not the id of a rotation"),
            (self.retiring.len() <= MAX_RETIRING, "too many generations are on their way out"),
            (self.outbox.len() <= MAX_OUTBOX, "too many events wait for the history"),
            (is_plain(&self.schedule.reminded, 100), "`schedule.reminded` is too long"),
            (length_of_map(&self.work) <= 64 * 1024, "`work` is too long"),
            (history::is_hash(&self.hist_head) || self.hist_head.is_empty(), "hist_head is not a hash"),
            (self.active <= self.gens, "the active generation was never given out"),
            ((self.phase == Phase::Halt) == self.halt.is_some(), "`halt` and phase HALT belong together"),
        ];
        pairs.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, what)| Err(*what))?;
        self.claim.as_ref().map_or(Ok(()), Claim::check)?;
        self.gate.as_ref().map_or(Ok(()), Gate::check)?;
        self.halt.as_ref().map_or(Ok(()), Halt::check)?;
        self.well.as_ref().map_or(Ok(()), Well::check)?;
        self.outbox.iter().try_for_each(HistoryEvent::check)?;
        self.check_generations()
    }
}

impl Record {
    fn check_generations(&self) -> Result<(), &'static str> {
        let mut known = BTreeSet::from([self.active]);
        for old in &self.retiring {
            old.check()?;
            if !known.insert(old.gen_no) || old.gen_no > self.gens {
                return Err(
                    "a generation on its way out is still active, was never given out, or stands there twice",
                );
            }
        }
        let Some(pending) = &self.pending else { return Ok(()) };
        pending.check()?;
        // Also on its way back: what is made has a number that nothing had before.
        if known.last().is_some_and(|newest| pending.gen_no <= *newest) || pending.gen_no > self.gens {
            return Err("the pending generation is not a new one");
        }
        Ok(())
    }
}

/// Who works on a target, and until when nobody else does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// Host, boot and process.
    pub holder: String,
    /// In the server's time.
    #[serde(with = "wall")]
    pub until: Wall,
}

impl Claim {
    fn check(&self) -> Result<(), &'static str> {
        if is_plain(&self.holder, 200) && !self.holder.is_empty() {
            Ok(())
        } else {
            Err("the claim has no holder")
        }
    }
}

/// A generation that is being made. Its material is durable before it is applied anywhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pending {
    /// Its number.
    #[serde(rename = "gen")]
    pub gen_no: u64,
    /// The role or user that will have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// A password, or a key as its document will have it.
    #[serde(with = "material")]
    pub material: SecretText,
    /// When it was drawn.
    #[serde(with = "wall")]
    pub created: Wall,
}

impl Pending {
    /// A second copy; both are wiped.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            gen_no: self.gen_no,
            principal: self.principal.clone(),
            material: self.material.duplicate(),
            created: self.created,
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        let named = self.principal.as_ref().is_none_or(|name| is_plain(name, 256));
        match named && (1..=MAX_MATERIAL).contains(&self.material.len()) && self.gen_no > 0 {
            true => Ok(()),
            false => Err("the pending generation has no number, no material, or too much"),
        }
    }
}

/// Longest material, in bytes: a large private key as PEM.
const MAX_MATERIAL: usize = 64 * 1024;

/// A generation that was active.
#[derive(Debug, Serialize, Deserialize)]
pub struct Retiring {
    /// Its number.
    #[serde(rename = "gen")]
    pub gen_no: u64,
    /// When its successor was promoted.
    #[serde(with = "wall")]
    pub since: Wall,
    /// Nothing valid can depend on it from here on; later if a gate opens later.
    #[serde(with = "wall")]
    pub earliest_retire: Wall,
    /// The role or user that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Its material, where the document keeps one credential only: for rollback and repair.
    #[serde(with = "some_material", default, skip_serializing_if = "Option::is_none")]
    pub material: Option<SecretText>,
    /// DRAIN, RETIRE, REENCRYPT or DESTROY.
    #[serde(default = "drain")]
    pub phase: Phase,
    /// Since when.
    #[serde(with = "some_wall", default)]
    pub phase_since: Option<Wall>,
    /// What DRAIN waits for.
    #[serde(default)]
    pub gate: Option<Gate>,
    /// Not asked again before: the target's own answer was "not yet", or it failed.
    #[serde(with = "some_wall", default)]
    pub not_before: Option<Wall>,
    /// Transient failures in a row.
    #[serde(default)]
    pub tries: u32,
    /// Nobody may depend on it any more: its material is known to others.
    #[serde(default)]
    pub compromised: bool,
    /// A person says that it is revoked at its issuer.
    #[serde(default)]
    pub confirmed: bool,
    /// The evidence for its destruction is complete.
    #[serde(default)]
    pub cleared: bool,
    /// What still forbids its destruction, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What its kind remembers of the evidence, between one look and the next. `escrow`: which copy was sealed to the
    /// offline recovery key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
    /// What was seen when the evidence was complete; goes into the history with its destruction.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificate: BTreeMap<String, String>,
}

const fn drain() -> Phase {
    Phase::Drain
}

impl Retiring {
    /// A second copy; both are wiped.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            principal: self.principal.clone(),
            material: self.material.as_ref().map(SecretText::duplicate),
            gate: self.gate.clone(),
            missing: self.missing.clone(),
            notes: self.notes.clone(),
            certificate: self.certificate.clone(),
            ..*self
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        self.gate.as_ref().map_or(Ok(()), Gate::check)?;
        let short = self.missing.len() <= 16 && self.missing.iter().all(|text| is_plain(text, 1_000));
        if !short || !history::are_facts(&self.notes) || !history::are_facts(&self.certificate) {
            return Err("the evidence for a generation's destruction is too long");
        }
        let phase = matches!(self.phase, Phase::Drain | Phase::Retire | Phase::Reencrypt | Phase::Destroy);
        let named = self.principal.as_ref().is_none_or(|name| is_plain(name, 256));
        let bounded = self.material.as_ref().is_none_or(|text| text.len() <= MAX_MATERIAL);
        if phase && named && bounded && self.gen_no > 0 {
            Ok(())
        } else {
            Err(
                "a generation on its way out has no number, a phase that is none of its own, or too much in it",
            )
        }
    }
}

/// How a gate is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateMode {
    /// By acknowledgements of all consumers.
    Ack,
    /// By time, and no consumer's acknowledgement says otherwise.
    Time,
}

/// What is waited for before a phase ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gate {
    /// How it opens.
    pub mode: GateMode,
    /// `time`: not before. `ack`: until when at the latest it opens; then HALT.
    #[serde(with = "wall")]
    pub until: Wall,
    /// Since when it stands.
    #[serde(with = "wall")]
    pub since: Wall,
    /// The epoch that must have been seen (PUBLISH).
    #[serde(default)]
    pub epoch: u64,
    /// Consumers that are waited for, at most 64 of them.
    #[serde(default)]
    pub need: Vec<ConsumerId>,
    /// Consumers that have acknowledged, at most 64 of them.
    #[serde(default)]
    pub have: Vec<ConsumerId>,
}

impl Gate {
    fn check(&self) -> Result<(), &'static str> {
        if self.need.len() <= MAX_NAMED && self.have.len() <= MAX_NAMED {
            Ok(())
        } else {
            Err("a gate names more than 64 consumers")
        }
    }
}

/// Makes the document name a generation as active that it does not, or anew with a higher epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Repair {
    /// The generation: the active one, or one on its way out that is still accepted.
    #[serde(rename = "gen")]
    pub gen_no: u64,
    /// Why.
    pub why: RepairReason,
}

/// Why a document is repaired.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepairReason {
    /// A person wants the generation before back.
    Rollback,
    /// The active generation does not work, and the one before does.
    Drift,
    /// A person confirmed that the server was restored: the epoch goes beyond all that consumers have seen.
    Reset,
}

/// Where UNDO leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AfterUndo {
    /// Another attempt with new material.
    Prepare,
    /// The rotation is off.
    Idle,
    /// A person must look.
    Halt,
}

/// What stopped a rotation, as a program can tell it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HaltCode {
    /// Consumers did not acknowledge before the gate's deadline.
    Gate,
    /// New material was refused three times.
    Refused,
    /// The rotator may not do what it must.
    Denied,
    /// Settings cannot work.
    Config,
    /// A transient failure lasted too long.
    Unreachable,
    /// The server knows less than was seen before: it was restored from an older snapshot.
    Downgrade,
    /// The active credential does not work, and no other one does.
    Drift,
    /// The document was changed by somebody else.
    Foreign,
    /// A person stopped it.
    Asked,
}

/// Why a target stands still, and what to do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// What stopped it.
    pub code: HaltCode,
    /// What happened, for a person.
    pub why: String,
    /// What to do next, for a person.
    pub advice: String,
    /// When.
    #[serde(with = "wall")]
    pub since: Wall,
    /// The phase it was in, where `resume` goes on.
    pub phase: Phase,
}

impl Halt {
    fn check(&self) -> Result<(), &'static str> {
        if is_plain(&self.why, 2_000) && is_plain(&self.advice, 2_000) && self.phase != Phase::Halt {
            Ok(())
        } else {
            Err("`halt` is too long, or names no phase to go on in")
        }
    }
}

impl fmt::Debug for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {} since {:?}: {}", self.code, self.phase, self.since, self.why)
    }
}

/// When a target was rotated and will be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Schedule {
    /// The last promotion.
    #[serde(with = "some_wall", default)]
    pub last_ok: Option<Wall>,
    /// The next rotation.
    #[serde(with = "some_wall", default)]
    pub next_due: Option<Wall>,
    /// After this a missed window is not waited for; external keys: when the old key ends.
    #[serde(with = "some_wall", default)]
    pub deadline: Option<Wall>,
    /// What `next_due` was computed from; if the settings say otherwise it is computed anew.
    #[serde(default)]
    pub anchor: u64,
    /// The last reminder, by its key.
    #[serde(default)]
    pub reminded: String,
}
