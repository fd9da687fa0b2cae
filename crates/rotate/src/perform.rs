//! Doing what the machine says, through a [`Target`](crate::Target) and the store.

use std::collections::BTreeMap;

use coffre_ambient::Wall;
use coffre_rotation::machine::{Action, FailureKind as Asks, Outcome};
use coffre_rotation::{Facts, Pending, Record, paths};

use crate::store::Store;
use crate::{At, Document, Drained, Failure, FailureKind, Rotating};

/// One action on one target, with everything that was read for it.
pub(crate) struct Work<'a> {
    pub(crate) store: &'a Store,
    pub(crate) environment: &'a str,
    pub(crate) target: &'a Rotating,
    pub(crate) record: &'a Record,
    pub(crate) document: Option<&'a Document>,
    /// The document's newest version, which a change must name.
    pub(crate) version: u64,
    /// The effect is over by then.
    pub(crate) until: Wall,
}

impl Work<'_> {
    /// Does it; a failure becomes an outcome as well.
    pub(crate) async fn perform(&self, action: &Action) -> Outcome {
        match self.attempt(action).await {
            Ok(outcome) => outcome,
            Err(failure) => Outcome::Failed(asks(failure.kind()), failure.to_string()),
        }
    }

    async fn attempt(&self, action: &Action) -> Result<Outcome, Failure> {
        let kind = &self.target.kind;
        match action {
            Action::Prepare { gen_no } => self.prepare(*gen_no).await,
            Action::Apply => {
                kind.apply(self.at(None), self.pending()?).await?;
                Ok(Outcome::Done)
            }
            Action::Verify => {
                kind.verify(self.at(None), self.pending()?).await?;
                Ok(Outcome::Done)
            }
            Action::Publish { epoch } => {
                let document = kind.publish(self.at(None), self.pending()?)?;
                let missing = || Failure::config("this kind of secret has nothing to publish");
                self.write(document.ok_or_else(missing)?, *epoch).await
            }
            Action::Promote { epoch, .. } => {
                self.write(kind.promote(self.at(None), self.pending()?)?, *epoch).await
            }
            Action::Repair { gen_no, epoch } => self.repair(*gen_no, *epoch).await,
            Action::Undo { epoch, touch } => self.undo(*epoch, *touch).await,
            old => self.attempt_old(old).await,
        }
    }

    /// Actions on a generation that was active.
    async fn attempt_old(&self, action: &Action) -> Result<Outcome, Failure> {
        let kind = &self.target.kind;
        match action {
            Action::Drained { gen_no } => Ok(match kind.drained(self.at(None), *gen_no).await? {
                Drained::Empty | Drained::Unseen => Outcome::Drained,
                Drained::Used(count, who) => Outcome::InUse(count, who),
            }),
            Action::Retire { gen_no, epoch, .. } => {
                let earlier = self.earlier(*gen_no).await?;
                match kind.retire(self.at(earlier.as_ref()), *gen_no).await? {
                    Some(document) => self.write(document, *epoch).await,
                    None => Ok(Outcome::Done),
                }
            }
            Action::Revoked { gen_no } => {
                let earlier = self.earlier(*gen_no).await?;
                Ok(Outcome::Revoked(kind.revoked(self.at(earlier.as_ref()), *gen_no).await?))
            }
            Action::Reencrypt { cursor, .. } => {
                let progress = kind.reencrypt(self.at(None), cursor.as_deref()).await?;
                let crate::Progress { cursor, done, counts } = progress;
                Ok(Outcome::Progress { cursor, done, counts })
            }
            Action::MayDestroy { gen_no } => {
                let crate::Verdict { missing, ask_again, notes, certificate } =
                    kind.may_destroy(self.at(None), *gen_no).await?;
                Ok(Outcome::Evidence { missing, ask: ask_again, notes, certificate })
            }
            Action::Destroy { gen_no, epoch } => self.destroy(*gen_no, *epoch).await,
            _ => Err(Failure::config("this action is not known to this version")),
        }
    }

    async fn prepare(&self, gen_no: u64) -> Result<Outcome, Failure> {
        let pending = self.target.kind.prepare(self.at(None)).await?;
        if pending.gen_no != gen_no {
            return Err(Failure::config("the new material has another number than was asked for"));
        }
        Ok(Outcome::Prepared(pending))
    }

    async fn repair(&self, gen_no: u64, epoch: u64) -> Result<Outcome, Failure> {
        let named = self.document.and_then(|document| facts(document).ok()?.active);
        if let Some(document) = self.document.filter(|_| named == Some(gen_no)) {
            return self.write(document.duplicate(), epoch).await;
        }
        // One from before the first rotation names none: a restored server has it, and it is what is active there.
        let plain = self.document.filter(|_| named.is_none() && gen_no == self.record.active);
        let earlier = match plain {
            Some(plain) => Some(plain.duplicate()),
            None => self.earlier(gen_no).await?,
        };
        let document = self.target.kind.rollback(self.at(earlier.as_ref()), gen_no)?;
        self.write(document, epoch).await
    }

    async fn undo(&self, epoch: u64, touch: bool) -> Result<Outcome, Failure> {
        let changed = match &self.record.pending {
            Some(pending) => self.target.kind.undo(self.at(None), pending).await?,
            None => None,
        };
        let same = || self.document.filter(|_| touch).map(Document::duplicate);
        match changed.or_else(same) {
            Some(document) => self.write(document, epoch).await,
            None => Ok(Outcome::Done),
        }
    }

    /// The document without it and outside first; then every stored copy: of the document, of what is kept beside it, of
    /// the record.
    async fn destroy(&self, gen_no: u64, epoch: u64) -> Result<Outcome, Failure> {
        let kind = &self.target.kind;
        let changed = kind.destroy(self.at(None), gen_no).await?;
        let left = changed.as_ref().or(self.document);
        if left.is_some_and(|document| facts(document).is_ok_and(|facts| facts.holds(gen_no))) {
            let what = format!("generation {gen_no} still stands in the document; nothing is destroyed");
            return Err(Failure::config(what));
        }
        let beside = left.map_or(Ok(Vec::new()), |document| kind.companions(document))?;
        let written = match changed {
            Some(document) => self.write(document, epoch).await?,
            None => Outcome::Done,
        };
        let mut places = vec![self.path(), paths::record(self.environment, &self.target.name)];
        places.extend(beside.into_iter().map(|(suffix, _)| format!("{}{suffix}", self.path())));
        let mut gone = Vec::new();
        for place in places {
            let versions = self.store.destroy_older(&place).await?;
            let list = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            gone.push(format!(
                "{place}: {}",
                if list.is_empty() { "none but the present one" } else { &list }
            ));
        }
        let gone = BTreeMap::from([("destroyed".to_owned(), gone.join("; "))]);
        let epoch = if matches!(written, Outcome::Written(_)) { epoch } else { 0 };
        Ok(Outcome::Destroyed { epoch, gone })
    }

    /// Writes the credential document in place of the version that was read.
    async fn write(&self, document: Document, epoch: u64) -> Result<Outcome, Failure> {
        let id = self.store.write_id()?;
        let sealed = document
            .with_plain("target", self.target.name.as_str())
            .with_plain("epoch", epoch)
            .with_plain("_w", id.as_str());
        if self.version == 0 {
            self.store.guard(&self.path(), DOCUMENT_VERSIONS).await?;
        }
        self.store.put(&self.path(), &sealed.text(), &id, self.version).await?;
        mend_companions(self.store, &self.path(), self.target, &sealed).await?;
        Ok(Outcome::Written(epoch))
    }

    async fn earlier(&self, gen_no: u64) -> Result<Option<Document>, Failure> {
        earlier(self.store, &self.path(), gen_no).await
    }

    fn path(&self) -> String {
        paths::document(self.environment, &self.target.name)
    }

    fn pending(&self) -> Result<&Pending, Failure> {
        let none = || Failure::config("the record has no pending material");
        self.record.pending.as_ref().ok_or_else(none)
    }

    fn at<'b>(&'b self, earlier: Option<&'b Document>) -> At<'b> {
        At {
            record: self.record,
            document: self.document,
            earlier,
            fence: self.record.fence,
            now: self.store.now(),
            until: self.until,
            entropy: self.store.entropy(),
        }
    }
}

/// The newest version of a document in which this generation was active. The first one may be a value that was there
/// before rotation, and says nothing about generations.
pub(crate) async fn earlier(store: &Store, path: &str, gen_no: u64) -> Result<Option<Document>, Failure> {
    let is_it = |document: &Document| {
        facts(document).is_ok_and(|facts| facts.active.map_or(gen_no == 1, |active| active == gen_no))
    };
    store.find_version(path, is_it).await
}

/// Versions of a credential document that are kept.
pub(crate) const DOCUMENT_VERSIONS: u64 = 10;

/// Writes what is kept beside a document where it is behind. A companion of a higher epoch belongs to a newer document.
pub(crate) async fn mend_companions(
    store: &Store,
    path: &str,
    target: &Rotating,
    document: &Document,
) -> Result<(), Failure> {
    for (suffix, companion) in target.kind.companions(document)? {
        let beside = format!("{path}{suffix}");
        let held = store.read_document(&beside).await?;
        let current = held.value.as_ref();
        let newer = current.is_some_and(|current| current.epoch() > document.epoch());
        let same = current
            .is_some_and(|current| current.says_the_same(&companion) && current.epoch() == document.epoch());
        if newer || same {
            continue;
        }
        if held.version == 0 {
            store.guard(&beside, DOCUMENT_VERSIONS).await?;
        }
        let id = store.write_id()?;
        let sealed = companion.with_plain("epoch", document.epoch()).with_plain("_w", id.as_str());
        store.put(&beside, &sealed.text(), &id, held.version).await?;
    }
    Ok(())
}

pub(crate) fn facts(document: &Document) -> Result<Facts, Failure> {
    // EXPOSE: only numbers and states are taken.
    Ok(Facts::parse(document.text().expose().as_bytes())?)
}

/// The same class, in the machine's words.
pub(crate) const fn asks(kind: FailureKind) -> Asks {
    match kind {
        FailureKind::Transient => Asks::Transient,
        FailureKind::Permanent => Asks::Permanent,
        FailureKind::Denied => Asks::Denied,
        FailureKind::Config => Asks::Config,
        FailureKind::Conflict => Asks::Conflict,
        FailureKind::Fenced => Asks::Fenced,
    }
}
