//! Keys that encrypt stored texts. As a signing key until its retirement; then the old key only decrypts, every text
//! under it is written anew, and it is destroyed when nothing can need it any more.
//!
//! What is not claimed: copies of the server's storage (snapshots, file-system backups) hold the key as long as they are
//! kept.

mod escrow;
mod rewrite;
mod texts;
mod witness;

use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_manifest::rotation::{Drain, Holder};
use coffre_rotation::keyring::{Key, Keyring, Purpose};
use coffre_rotation::{Kind, Pending, Reason};

use coffre_rotation::destruction::look_again;
pub use coffre_rotation::destruction::{Certificate, Escrow, Evidence, Meter, Missing, Rules, may_destroy};
pub use escrow::Safe;
pub use rewrite::Rate;
pub use texts::{Stands, encrypt, is_usable, opens, rewritten, stands};
pub use witness::Acknowledgements;

use super::ring::{RingForm, refused};
use crate::{At, BoxFuture, Document, Failure, Progress, Target, Verdict, Which};

/// A database whose columns hold texts under the key.
pub type Columns = Arc<coffre_database::postgresql::Texts>;

/// What only others know of the use of an old key: consumers that report, people who agree.
pub trait Witness: Send + Sync {
    /// What is known of a generation now.
    fn testify<'a>(
        &'a self,
        at: At<'a>,
        gen_no: u64,
        kid: &'a str,
    ) -> BoxFuture<'a, Result<Testimony, Failure>>;
}

/// What a [`Witness`] knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Testimony {
    /// Decryptions under the key, as far as consumers count them.
    pub meter: Meter,
    /// Consumers whose acknowledgement says that they still use the generation.
    pub in_use: Vec<String>,
    /// The entities of the people who consent to its destruction, each once.
    pub approvals: Vec<String>,
}

/// Where texts under the key stand, and what must hold before an old key is destroyed.
pub struct Registry {
    /// The columns, with the name of the server that each is on (empty: the only one).
    pub holders: Vec<Holder>,
    /// The databases by name.
    pub servers: BTreeMap<String, Columns>,
    /// Places whose texts go away by themselves.
    pub drains: Vec<Drain>,
    /// The rules of destruction.
    pub rules: Rules,
    /// How fast texts are written anew.
    pub rate: Rate,
    /// Where copies for the recovery key are kept, if the rules want one.
    pub safe: Option<Safe>,
}

/// An encryption key.
pub struct EncryptionKey {
    ring: RingForm,
    registry: Registry,
    witness: Arc<dyn Witness>,
}

impl EncryptionKey {
    /// `field` is what the application reads of the document, usually `value`.
    #[must_use]
    pub fn new(field: &str, registry: Registry, witness: Arc<dyn Witness>) -> Self {
        let ring = RingForm { field: field.to_owned(), algorithm: None, purpose: Purpose::Encryption };
        Self { ring, registry, witness }
    }

    /// A key of 32 bytes encrypts and decrypts; others are only read under their name.
    fn tried(&self, at: &At<'_>, ring: &Keyring, generation: u64) -> Result<bool, Failure> {
        self.ring
            .is_good(at, ring, generation, |key: &Key| is_usable(key) || self.registry.holders.is_empty())
    }

    /// The columns of a holder.
    fn columns(&self, holder: &Holder) -> Result<&Columns, Failure> {
        let servers = &self.registry.servers;
        let found = match &holder.server {
            Some(name) => servers.get(name),
            None => servers.values().next(),
        };
        found.ok_or_else(|| {
            Failure::config(format!("no server is known for the column {}.{}", holder.table, holder.column))
        })
    }

    async fn verdict(&self, at: At<'_>, gen_no: u64) -> Result<Verdict, Failure> {
        let ring = self.ring.present(&at)?;
        let Some(key) = ring.generation(gen_no) else {
            // It was taken out of the document before a crash: what was decided then stands.
            let decided = at.record.retiring_gen(gen_no);
            let [notes, certificate] =
                decided.map(|old| [old.notes.clone(), old.certificate.clone()]).unwrap_or_default();
            return Ok(Verdict { notes, certificate, ..Verdict::default() });
        };
        let evidence = self.gather(&at, &ring, key).await?;
        let notes = rewrite::noted(&at, gen_no, &evidence);
        Ok(match may_destroy(&evidence, &self.registry.rules) {
            Ok(certificate) => Verdict { notes, certificate: certificate.facts(), ..Verdict::default() },
            Err(missing) => Verdict {
                ask_again: look_again(&missing),
                missing: missing.iter().map(ToString::to_string).collect(),
                notes,
                ..Verdict::default()
            },
        })
    }
}

impl Target for EncryptionKey {
    fn kind(&self) -> Kind {
        Kind::EncryptionKey
    }

    fn prepare<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Result<Pending, Failure>> {
        Box::pin(async move { self.ring.draw(&at) })
    }

    fn verify<'a>(&'a self, at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let ring = self.ring.with_pending(&at, pending)?;
            match self.tried(&at, &ring, pending.gen_no)? {
                true => Ok(()),
                false => Err(Failure::permanent(
                    "the new key does not decrypt what it encrypted, or is not read under its name",
                )),
            }
        })
    }

    fn publish(&self, at: At<'_>, pending: &Pending) -> Result<Option<Document>, Failure> {
        self.ring.published(&at, pending)
    }

    /// Also if the old key became known it stays for decrypting: without it the data would be lost.
    fn promote(&self, at: At<'_>, pending: &Pending) -> Result<Document, Failure> {
        let ring = match self.ring.read(&at)? {
            None => self.ring.with_pending(&at, pending)?,
            Some(ring) if at.record.reason == Reason::Compromised => {
                let new = self.ring.new_key(Some(&ring), pending);
                ring.overtaken_by(new).map_err(refused)?
            }
            Some(_) => {
                self.ring.with_pending(&at, pending)?.promoted(pending.gen_no, None).map_err(refused)?
            }
        };
        self.ring.write(&at, &ring)
    }

    fn retire<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move { self.ring.changed(&at, |ring| ring.decrypt_only(gen_no)) })
    }

    fn reencrypt<'a>(
        &'a self,
        at: At<'a>,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Progress, Failure>> {
        Box::pin(self.one_batch(at, cursor))
    }

    fn may_destroy<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Verdict, Failure>> {
        Box::pin(self.verdict(at, gen_no))
    }

    fn destroy<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move {
            if self.ring.present(&at)?.generation(gen_no).is_none() {
                return Ok(None);
            }
            self.ring.changed(&at, |ring| ring.destroyed(gen_no))
        })
    }

    fn undo<'a>(
        &'a self,
        at: At<'a>,
        pending: &'a Pending,
    ) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move {
            if at.document.is_none() {
                return Ok(None);
            }
            self.ring.changed(&at, |ring| ring.without(pending.gen_no))
        })
    }

    fn rollback(&self, at: At<'_>, gen_no: u64) -> Result<Document, Failure> {
        let ring = self.ring.present(&at)?.promoted(gen_no, None).map_err(refused)?;
        self.ring.write(&at, &ring)
    }

    fn works<'a>(&'a self, at: At<'a>, which: Which<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let (ring, generation) = self.ring.looked_at(&at, which)?;
            self.tried(&at, &ring, generation)
        })
    }

    fn check<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async move {
            let mut found: Vec<String> =
                self.ring.draw(&at).err().map(|failure| failure.to_string()).into_iter().collect();
            found.extend(self.registry.safe.as_ref().and_then(|safe| safe.problem(&at)));
            found.extend(self.unreachable().await);
            found
        })
    }
}
