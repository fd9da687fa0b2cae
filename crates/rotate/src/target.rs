use std::collections::BTreeMap;

use coffre_ambient::{Entropy, Wall};
pub use coffre_database::BoxFuture;
use coffre_rotation::{Kind, Pending, Record};
use coffre_secret::SecretText;

use crate::{Document, Failure};

/// What a call of a [`Target`] may look at. Nothing in it changes while the call lasts, and a call that is repeated
/// after a crash gets the same record again.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The state record as it was written last: before the effect, with our claim in it.
    pub record: &'a Record,
    /// The credential document as it is now; `None` if there is none yet.
    pub document: Option<&'a Document>,
    /// The newest version of the document in which the generation that the call is about was the active one:
    /// for [`Target::retire`], [`Target::rollback`] and [`Target::works`] of [`Which::Earlier`]; else `None`.
    /// `None` as well if no such version is kept any more.
    pub earlier: Option<&'a Document>,
    /// What travels to the target with each effect: a target that has seen a larger one refuses
    /// ([`FailureKind::Fenced`](crate::FailureKind::Fenced)).
    pub fence: u64,
    /// Server time.
    pub now: Wall,
    /// The effect must be over by then, or must not begin: our claim ends soon after.
    pub until: Wall,
    /// Where material is drawn from.
    pub entropy: &'a dyn Entropy,
}

impl At<'_> {
    /// The number of the generation that PREPARE makes.
    #[must_use]
    pub fn next_gen(&self) -> u64 {
        self.record.gens.saturating_add(1)
    }

    /// The material of a generation that was active, if the record still has it: what [`Target::retire`] takes back.
    /// Otherwise it stands in [`At::earlier`].
    #[must_use]
    pub fn old_material(&self, gen_no: u64) -> Option<&SecretText> {
        self.record.retiring_gen(gen_no)?.material.as_ref()
    }
}

/// What a kind of secret does in each phase of a rotation. The machine decides about phases, gates and times; the
/// engine writes the record before each call and the document after it. A target only acts and says what a document
/// looks like.
///
/// Each call may be repeated with the same arguments, also after it has had its effect (G5): a repetition succeeds and
/// changes nothing. No error, log line or metric of a target holds material (G8).
pub trait Target: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> Kind;

    /// PREPARE: draws new material and, for a pair, chooses the principal that is not active. Nothing leaves the process:
    /// the engine writes the answer into the record before anything else happens (G1).
    /// `pending.gen_no` must be [`At::next_gen`].
    fn prepare<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Result<Pending, Failure>>;

    /// A person brings the material (`rotate provide`): checks its form. Refused by all kinds but `external`.
    fn provide<'a>(&'a self, _at: At<'a>, _material: SecretText) -> BoxFuture<'a, Result<Pending, Failure>> {
        let refusal =
            Failure::config("this kind of secret draws its own material; there is nothing to provide");
        Box::pin(std::future::ready(Err(refusal)))
    }

    /// APPLY: makes the outside world accept the pending material beside the active one. Fenced by `at.fence`.
    fn apply<'a>(&'a self, _at: At<'a>, _pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// VERIFY: uses the pending material on the consumer's own path (G6).
    fn verify<'a>(&'a self, at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>>;

    /// PUBLISH: the document in which the pending generation is accepted but not used yet. `None`: nothing to
    /// publish for this kind, the machine passes on at once. Pure. In every document that a target gives, the engine sets
    /// `target`, `epoch` and `_w`; the target sets `schema` (`credential/1` with `gen`, or `keyring/1`) and the rest.
    fn publish(&self, _at: At<'_>, _pending: &Pending) -> Result<Option<Document>, Failure> {
        Ok(None)
    }

    /// PROMOTE: the document in which the pending generation is active, and the one before it still accepted. Pure.
    /// With `at.record`'s reason `compromised` the old generation must be gone from it.
    fn promote(&self, at: At<'_>, pending: &Pending) -> Result<Document, Failure>;

    /// DRAIN: what the target itself sees of the old generation's use. Gates of time and of acknowledgements are the
    /// machine's.
    fn drained<'a>(&'a self, _at: At<'a>, _gen_no: u64) -> BoxFuture<'a, Result<Drained, Failure>> {
        Box::pin(std::future::ready(Ok(Drained::Unseen)))
    }

    /// RETIRE: from now on the old generation must not be accepted. The effect (fenced), and the document without that
    /// generation if it was in there.
    fn retire<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>>;

    /// REENCRYPT: one batch, from where the last one stopped.
    fn reencrypt<'a>(
        &'a self,
        _at: At<'a>,
        _cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Progress, Failure>> {
        Box::pin(std::future::ready(Ok(Progress::done())))
    }

    /// Before DESTROY: what still forbids to destroy a generation's material for good.
    fn may_destroy<'a>(&'a self, _at: At<'a>, _gen_no: u64) -> BoxFuture<'a, Result<Verdict, Failure>> {
        Box::pin(std::future::ready(Ok(Verdict::default())))
    }

    /// DESTROY: what lies outside the store, and the document without the generation if it is still in there. The engine
    /// writes that first, then destroys the versions that hold the bytes, and reads them back.
    fn destroy<'a>(&'a self, _at: At<'a>, _gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Before PROMOTE: takes the pending generation back everywhere, and gives the document without it if it was
    /// published (G7). Also called for material that was never applied.
    fn undo<'a>(
        &'a self,
        at: At<'a>,
        pending: &'a Pending,
    ) -> BoxFuture<'a, Result<Option<Document>, Failure>>;

    /// Between PROMOTE and RETIRE: the document in which `gen_no` (the one before) is active again and the newer
    /// one still accepted. `at.earlier` is the document in which it was. Pure.
    fn rollback(&self, at: At<'_>, gen_no: u64) -> Result<Document, Failure>;

    /// Whether material works now, on the consumer's own path. `Ok(false)` only if the target itself refused it.
    fn works<'a>(&'a self, at: At<'a>, which: Which<'a>) -> BoxFuture<'a, Result<bool, Failure>>;

    /// After a person changed a key at its provider: whether the old one is refused there (negative probe). `Ok(true)`
    /// is what we want. Kinds that retire by themselves need no confirmation.
    fn revoked<'a>(&'a self, _at: At<'a>, _gen_no: u64) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    /// Documents that follow from the credential document and are kept beside it (the public half of a keyring):
    /// suffix of the path and content. The engine writes them after each change, under the same epoch.
    fn companions(&self, _document: &Document) -> Result<Vec<(String, Document)>, Failure> {
        Ok(Vec::new())
    }

    /// What keeps it from being driven at all: a document of its administrator that is missing, say. Whoever runs the
    /// engine as a service puts it together again from time to time, as long as something is lacking.
    fn lacks(&self) -> Option<&Failure> {
        None
    }

    /// What would go wrong at night (`rotate enable --check`): sentences for a person; none is good. Changes nothing.
    fn check<'a>(&'a self, _at: At<'a>) -> BoxFuture<'a, Vec<String>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

/// Material that [`Target::works`] tries.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// What `at.document` holds as active.
    Active,
    /// The record's pending material.
    Pending(&'a Pending),
    /// What `at.earlier` holds as active.
    Earlier,
}

/// What a target sees of the old generation's use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Drained {
    /// It can see, and nobody uses it.
    Empty,
    /// It can see, and somebody does: how many, and a sentence about who.
    Used(u64, String),
    /// It cannot see; gates alone decide.
    Unseen,
}

/// How far a re-encryption is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Where the next batch begins; no material in it. At most 1 KiB.
    pub cursor: Option<String>,
    /// Whether there is no next batch.
    pub done: bool,
    /// Per key id, how many values were met under it.
    pub counts: BTreeMap<String, u64>,
}

impl Progress {
    /// Nothing is left.
    #[must_use]
    pub fn done() -> Self {
        Self { done: true, ..Self::default() }
    }
}

/// Whether a generation may be destroyed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// What is missing, one sentence each; empty: it may.
    pub missing: Vec<String>,
    /// When it is worth asking again, if the target knows.
    pub ask_again: Option<Wall>,
    /// What is to be remembered until the next look: names and numbers, no material.
    pub notes: BTreeMap<String, String>,
    /// What was seen if nothing is missing, for the certificate in the history: names and numbers, no material.
    pub certificate: BTreeMap<String, String>,
}
