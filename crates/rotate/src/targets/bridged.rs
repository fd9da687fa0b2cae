//! Targets of an application that has a rotation of its own: the engine draws, stores, publishes, waits and remembers, and
//! the application's code does two things, which are all that the engine cannot know.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffre_ambient::Wall;
use coffre_rotation::keyring::{Form, Keyring};
use coffre_rotation::{Kind, Pending, Reason, Target as Name};
use coffre_secret::{SecretText, SecretVec};
use serde_json::{Map, Value};

use crate::{At, BoxFuture, Document, Drained, Failure, Progress, Target, Verdict, Which};

/// Bytes of randomness in what is drawn for an application that says nothing about its form.
const DRAWN: usize = 32;

/// The two things. Each call may come again with the same generation, also after it has had its effect: because the
/// process was killed, its answer was lost, or another engine went on. A repetition succeeds and changes nothing.
pub trait Bridge: Send + Sync {
    /// From its end on, everything accepts this material, beside what was accepted before; nothing uses it yet.
    fn apply<'a>(&'a self, generation: Generation<'a>) -> BoxFuture<'a, Result<(), Failure>>;

    /// From its end on, nothing accepts or needs this material. It may be one that was never applied.
    fn retire<'a>(&'a self, generation: Generation<'a>) -> BoxFuture<'a, Result<(), Failure>>;
}

/// What a call is about.
#[derive(Clone, Copy)]
pub struct Generation<'a> {
    /// Whose.
    pub target: &'a Name,
    /// Its number, from 1. Numbers only grow, and one is never given to other material.
    pub number: u64,
    /// The material; `None` if no copy of it is kept any more.
    pub material: Option<&'a SecretText>,
    /// Grows with each change of hands: a call with a smaller one than was seen before is of an engine that lost its
    /// claim.
    pub fence: u64,
    /// The call must be over by then.
    pub until: Wall,
    /// It is known to others: whoever uses it is to be stopped now.
    pub compromised: bool,
}

/// A kind of secret with the application's code beside it.
pub struct Bridged {
    name: Name,
    field: String,
    inner: Arc<dyn Target>,
    bridge: Arc<dyn Bridge>,
}

impl Bridged {
    /// `inner` knows what documents look like; `field` is what the application reads of one, usually `value`.
    #[must_use]
    pub fn new(name: Name, field: &str, inner: Arc<dyn Target>, bridge: Arc<dyn Bridge>) -> Self {
        Self { name, field: field.to_owned(), inner, bridge }
    }

    fn generation<'a>(
        &'a self,
        at: &At<'a>,
        number: u64,
        material: Option<&'a SecretText>,
    ) -> Generation<'a> {
        let known = at.record.retiring_gen(number).is_some_and(|old| old.compromised);
        let compromised = known || at.record.reason == Reason::Compromised;
        Generation { target: &self.name, number, material, fence: at.fence, until: at.until, compromised }
    }

    /// Material that was active: of the record, of the ring, or of the newest document in which it was active.
    fn old_material(&self, at: &At<'_>, number: u64) -> Option<SecretText> {
        let recorded = at.old_material(number).map(SecretText::duplicate);
        let earlier = || {
            let earlier = at.earlier?;
            earlier.field("value").or_else(|| earlier.field(&self.field))
        };
        recorded.or_else(|| in_ring(at.document?, number)).or_else(earlier)
    }

    async fn retired(&self, at: &At<'_>, number: u64) -> Result<(), Failure> {
        let material = self.old_material(at, number);
        self.bridge.retire(self.generation(at, number, material.as_ref())).await
    }

    /// A key that encrypts is needed for reading long after nothing is written with it.
    fn retires_last(&self) -> bool {
        self.inner.kind() == Kind::EncryptionKey
    }
}

fn in_ring(document: &Document, number: u64) -> Option<SecretText> {
    if document.schema() != "keyring/1" {
        return None;
    }
    let fields: Map<String, Value> = document.decode().ok()?;
    let target: String = document.get("target")?;
    let ring = Keyring::read(&fields, &Form { target: &target, field: "value", first: 1 }).ok()?;
    ring.generation(number).map(|key| key.material().duplicate())
}

impl Target for Bridged {
    fn kind(&self) -> Kind {
        self.inner.kind()
    }

    fn prepare<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Result<Pending, Failure>> {
        if self.kind() != Kind::External {
            return self.inner.prepare(at);
        }
        Box::pin(async move {
            let mut drawn = SecretVec::from(vec![0_u8; DRAWN]);
            at.entropy.fill(drawn.expose_mut())?;
            // EXPOSE: written as text; wrapped again.
            let material = SecretText::new(URL_SAFE_NO_PAD.encode(drawn.expose()));
            Ok(Pending { gen_no: at.next_gen(), principal: None, material, created: at.now })
        })
    }

    fn apply<'a>(&'a self, at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.inner.apply(at, pending).await?;
            self.bridge.apply(self.generation(&at, pending.gen_no, Some(&pending.material))).await
        })
    }

    fn verify<'a>(&'a self, at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        self.inner.verify(at, pending)
    }

    fn publish(&self, at: At<'_>, pending: &Pending) -> Result<Option<Document>, Failure> {
        self.inner.publish(at, pending)
    }

    fn promote(&self, at: At<'_>, pending: &Pending) -> Result<Document, Failure> {
        self.inner.promote(at, pending)
    }

    fn drained<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Drained, Failure>> {
        self.inner.drained(at, gen_no)
    }

    fn retire<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move {
            if !self.retires_last() {
                self.retired(&at, gen_no).await?;
            }
            self.inner.retire(at, gen_no).await
        })
    }

    fn reencrypt<'a>(
        &'a self,
        at: At<'a>,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Progress, Failure>> {
        self.inner.reencrypt(at, cursor)
    }

    fn may_destroy<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Verdict, Failure>> {
        self.inner.may_destroy(at, gen_no)
    }

    fn destroy<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move {
            if self.retires_last() {
                self.retired(&at, gen_no).await?;
            }
            self.inner.destroy(at, gen_no).await
        })
    }

    fn undo<'a>(
        &'a self,
        at: At<'a>,
        pending: &'a Pending,
    ) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move {
            // First out of the document: nobody begins to accept what is on its way out.
            let document = self.inner.undo(at, pending).await?;
            self.bridge.retire(self.generation(&at, pending.gen_no, Some(&pending.material))).await?;
            Ok(document)
        })
    }

    fn rollback(&self, at: At<'_>, gen_no: u64) -> Result<Document, Failure> {
        self.inner.rollback(at, gen_no)
    }

    fn works<'a>(&'a self, at: At<'a>, which: Which<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        self.inner.works(at, which)
    }

    fn revoked<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<bool, Failure>> {
        self.inner.revoked(at, gen_no)
    }

    fn companions(&self, document: &Document) -> Result<Vec<(String, Document)>, Failure> {
        self.inner.companions(document)
    }

    fn lacks(&self) -> Option<&Failure> {
        self.inner.lacks()
    }

    fn check<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Vec<String>> {
        self.inner.check(at)
    }
}
