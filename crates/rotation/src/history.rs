use std::collections::BTreeMap;

use coffre_ambient::Wall;
use coffre_crypto::digest;
use serde::{Deserialize, Serialize};

use crate::wire::{WireDocument, is_plain, wall};
use crate::{ConsumerId, Phase, RotationId, Target, WriteId};

/// What sort of thing happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A rotation is due, or an external key must be replaced soon.
    Due,
    /// A rotation was begun.
    Started,
    /// Another phase.
    Phase,
    /// Consumers are waited for.
    GateWaiting,
    /// The new generation is the active one.
    Promoted,
    /// The old generation is no longer accepted.
    Retired,
    /// Every stored copy of it is gone.
    Destroyed,
    /// It stands still.
    Halted,
    /// Past its deadline.
    Overdue,
    /// The active credential did not work.
    Drift,
    /// What was begun was taken back.
    Undo,
    /// The generation before is active again.
    Rollback,
    /// A person had it go on.
    Resumed,
    /// A person brought new material.
    Provided,
    /// A person revoked the old key at its issuer, and it is refused.
    Revoked,
    /// New material was given up.
    Abandoned,
    /// A person confirmed that the server was restored.
    EpochReset,
    /// Somebody else took over.
    TakenOver,
    /// A person read material that is no longer in use.
    Revealed,
    /// A copy of an old key was sealed to the offline recovery key.
    Escrowed,
}

/// Something that happened, without material.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Happening {
    /// When.
    #[serde(with = "wall")]
    pub at: Wall,
    /// What.
    pub event: EventKind,
    /// In which rotation.
    #[serde(default)]
    pub rotation: RotationId,
    /// Which phase it was, or is now.
    pub phase: Phase,
    /// The generation it is about.
    #[serde(rename = "gen", default, skip_serializing_if = "Option::is_none")]
    pub gen_no: Option<u64>,
    /// The generation before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<u64>,
    /// Keyed fingerprints of the generations, for comparison by eye.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fingerprints: Vec<String>,
    /// Consumers it is about, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<ConsumerId>,
    /// Who did it: a rotator or a person.
    #[serde(default)]
    pub actor: String,
    /// A sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Names and numbers: the certificate of a destruction.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// Two events with the same key are one: it may be delivered more than once.
    #[serde(default)]
    pub dedupe: String,
}

/// A link of the chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryEvent {
    /// From 1, without gaps.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
    /// The hash of the event before; empty for the first.
    pub prev: String,
    /// `sha256:` and the digest of the JSON array `[seq, prev, what]`, `what` with its fields in their order.
    pub hash: String,
}

impl HistoryEvent {
    /// Whether the hash is that of what stands there.
    pub fn holds(&self) -> bool {
        self.hash == hash(self.seq, &self.prev, &self.what)
    }

    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let sound = is_plain(&self.what.actor, 200)
            && is_plain(&self.what.note, 2_000)
            && is_plain(&self.what.dedupe, 400)
            && are_facts(&self.what.facts)
            && self.what.consumers.len() <= 64
            && self.what.fingerprints.len() <= 4
            && self.what.fingerprints.iter().all(|text| is_plain(text, 64))
            && self.what.rotation.is_sound()
            && is_hash(&self.hash)
            && (self.prev.is_empty() || is_hash(&self.prev));
        if sound { Ok(()) } else { Err("an event of the history is too long, or its hash is none") }
    }
}

/// The end of a chain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChainHead {
    /// The number of its newest event; 0: empty.
    pub seq: u64,
    /// Its hash; empty: none.
    pub hash: String,
}

/// The chain does not hold: an event was changed, removed or put in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the history does not hold at event {seq}: it was changed after it was written")]
pub struct BrokenChain {
    /// The first event that does not follow from what is before it.
    pub seq: u64,
}

/// The event that follows `head`.
pub(crate) fn chained(head: &ChainHead, what: Happening) -> HistoryEvent {
    let seq = head.seq.saturating_add(1);
    let hash = hash(seq, &head.hash, &what);
    HistoryEvent { seq, what, prev: head.hash.clone(), hash }
}

fn hash(seq: u64, prev: &str, what: &Happening) -> String {
    // Plain text and numbers always serialise; without them the hash would match nothing.
    let json = serde_json::to_vec(&(seq, prev, what)).unwrap_or_default();
    format!("sha256:{}", hex::encode(digest::sha256(&json)))
}

pub(crate) fn is_hash(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// The most that the facts of one event have, in bytes.
pub(crate) const MAX_FACTS: usize = 4_096;

/// Whether facts are few, short and printable.
pub(crate) fn are_facts(facts: &BTreeMap<String, String>) -> bool {
    let length: usize = facts.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
    let plain = |(name, value): (&String, &String)| is_plain(name, 64) && is_plain(value, 1_000);
    facts.len() <= 24 && length <= MAX_FACTS && facts.iter().all(plain)
}

/// As much of facts as is taken.
pub(crate) fn facts(given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut length = 0_usize;
    let cut = |text: &str, most: usize| {
        let mut plain = String::new();
        for c in text.chars().filter(|c| !c.is_control()) {
            if plain.len().saturating_add(c.len_utf8()) > most {
                break;
            }
            plain.push(c);
        }
        plain
    };
    let short = given.iter().take(24).map(|(name, value)| (cut(name, 64), cut(value, 1_000)));
    let fits = |(name, value): &(String, String)| {
        length = length.saturating_add(name.len()).saturating_add(value.len());
        length <= MAX_FACTS
    };
    short.take_while(fits).collect()
}

/// `_rot/hist/<target>/<yyyymm>`: what happened to a target in a month.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryMonth {
    /// Always `rot-hist/1`.
    pub schema: String,
    /// Which target.
    pub target: Target,
    /// Which write this is.
    #[serde(rename = "_w")]
    pub write: WriteId,
    /// The events, oldest first.
    pub events: Vec<HistoryEvent>,
}

/// Events in one document; then the next part is begun.
const MAX_EVENTS: usize = 500;

impl HistoryMonth {
    /// An empty one.
    pub fn new(target: Target) -> Self {
        Self { schema: Self::SCHEMA.to_owned(), target, write: WriteId::default(), events: Vec::new() }
    }

    /// The last segment of the path for an event at that time: `yyyymm`, with `-2`, `-3`, … for further parts.
    pub fn name(at: Wall, part: u32) -> String {
        let text = at.rfc3339();
        let month: String = text.chars().take(7).filter(char::is_ascii_digit).collect();
        if part <= 1 { month } else { format!("{month}-{part}") }
    }

    /// Whether there is room for no further event.
    pub fn is_full(&self) -> bool {
        self.events.len() >= MAX_EVENTS
    }

    /// Takes over those of `events` that it does not hold yet; as many as there is room for. Doing so again changes
    /// nothing. Returns the number of the newest event it holds then.
    pub fn append(&mut self, events: &[HistoryEvent]) -> u64 {
        for event in events {
            if !self.is_full() && self.last() < event.seq {
                self.events.push(event.clone());
            }
        }
        self.last()
    }

    /// The number of the newest event; 0: none.
    pub fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event.seq)
    }

    /// Checks the chain within the document, and that it follows `before` if that is known. Gives its end.
    pub fn verify(&self, before: Option<&ChainHead>) -> Result<ChainHead, BrokenChain> {
        let mut head = before.cloned();
        for event in &self.events {
            let follows = head
                .as_ref()
                .is_none_or(|head| event.prev == head.hash && event.seq == head.seq.saturating_add(1));
            if !follows || !event.holds() {
                return Err(BrokenChain { seq: event.seq });
            }
            head = Some(ChainHead { seq: event.seq, hash: event.hash.clone() });
        }
        Ok(head.unwrap_or_default())
    }
}

impl WireDocument for HistoryMonth {
    const SCHEMA: &'static str = "rot-hist/1";
    const NAME: &'static str = "rotation history";
    const NEEDS_SCHEMA: bool = true;
    const MAX_BYTES: usize = 1024 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        if self.events.len() > MAX_EVENTS {
            return Err("it has more than 500 events");
        }
        if !self.write.is_sound() {
            return Err("_w is not the id of a write");
        }
        self.events.iter().try_for_each(HistoryEvent::check)
    }
}
