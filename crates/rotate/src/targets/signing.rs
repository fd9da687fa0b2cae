//! Keys that sign: JSON Web Tokens, Flask's sessions. A new key is accepted by everybody before anybody signs with it,
//! and an old one until nothing that it signed can be valid any more; both are gates of the machine.

use coffre_rotation::keyring::{Key, Keyring, Purpose, signs};
use coffre_rotation::{Kind, Pending, Reason};

use super::ring::{RingForm, refused};
use crate::{At, BoxFuture, Document, Failure, Target, Which};

/// The suffix of the document with the public halves of key pairs.
pub const PUBLIC: &str = "-jwks";
/// What is signed to try a key.
const TRIAL: &[u8] = b"coffre signs this to try a key; it means nothing";

/// A signing key.
#[derive(Debug)]
pub struct SigningKey {
    ring: RingForm,
}

impl SigningKey {
    /// `field` is what the application reads of the document, usually `value`. `algorithm` (RFC 7518: `HS256`, `EdDSA`,
    /// `ES256`, `RS256`, …) is what new keys are pinned to; without one a new key is pinned as the one before was.
    #[must_use]
    pub fn new(field: &str, algorithm: Option<&str>) -> Self {
        let algorithm = algorithm.map(str::to_owned);
        Self { ring: RingForm { field: field.to_owned(), algorithm, purpose: Purpose::Signing } }
    }

    fn tried(&self, at: &At<'_>, ring: &Keyring, generation: u64) -> Result<bool, Failure> {
        // EXPOSE: used as its consumers use it.
        self.ring
            .is_good(at, ring, generation, |key: &Key| signs(key.material().expose(), key.algorithm(), TRIAL))
    }
}

impl Target for SigningKey {
    fn kind(&self) -> Kind {
        Kind::SigningKey
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
                    "the new key does not verify what it signed, or is not read under its name",
                )),
            }
        })
    }

    fn publish(&self, at: At<'_>, pending: &Pending) -> Result<Option<Document>, Failure> {
        self.ring.published(&at, pending)
    }

    fn promote(&self, at: At<'_>, pending: &Pending) -> Result<Document, Failure> {
        let ring = match self.ring.read(&at)? {
            None => self.ring.with_pending(&at, pending)?,
            Some(ring) if at.record.reason == Reason::Compromised => {
                let new = self.ring.new_key(Some(&ring), pending);
                ring.replaced_by(new).map_err(refused)?
            }
            Some(_) => {
                self.ring.with_pending(&at, pending)?.promoted(pending.gen_no, None).map_err(refused)?
            }
        };
        self.ring.write(&at, &ring)
    }

    fn retire<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move { self.ring.changed(&at, |ring| ring.without(gen_no)) })
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

    fn companions(&self, document: &Document) -> Result<Vec<(String, Document)>, Failure> {
        let public = self.ring.public_half(document)?;
        Ok(public.map(|public| vec![(PUBLIC.to_owned(), public)]).unwrap_or_default())
    }

    fn check<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Vec<String>> {
        Box::pin(
            async move { self.ring.draw(&at).err().map(|failure| failure.to_string()).into_iter().collect() },
        )
    }
}
