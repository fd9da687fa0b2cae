//! What signing and encryption keys have in common: both are rings of keys in one document.

use coffre_rotation::Pending;
use coffre_rotation::keyring::{
    Form, Key, Keyring, KeyringError, MAX_ACCEPTED, NewKey, Purpose, Style, StyleError,
};
use serde_json::{Map, Value};

use crate::{At, Document, Failure, Which};

/// How the ring of a target is written.
#[derive(Clone, Debug)]
pub(super) struct RingForm {
    /// The field that the application reads; usually `value`.
    pub(super) field: String,
    /// What new keys are pinned to; else what the active one is.
    pub(super) algorithm: Option<String>,
    pub(super) purpose: Purpose,
}

impl RingForm {
    fn form<'a>(&'a self, at: &At<'a>) -> Form<'a> {
        Form { target: at.record.target.as_str(), field: &self.field, first: at.record.active.max(1) }
    }

    /// The ring as it is now; `None` if there is no document yet.
    pub(super) fn read(&self, at: &At<'_>) -> Result<Option<Keyring>, Failure> {
        at.document.map(|document| self.ring_of(at, document)).transpose()
    }

    pub(super) fn ring_of(&self, at: &At<'_>, document: &Document) -> Result<Keyring, Failure> {
        let fields: Map<String, Value> = document.decode()?;
        let ring = Keyring::read(&fields, &self.form(at)).map_err(refused)?;
        Ok(ring.not_before_epoch(at.record.max_epoch))
    }

    /// The ring, which must be there.
    pub(super) fn present(&self, at: &At<'_>) -> Result<Keyring, Failure> {
        let none = || {
            Failure::config("the document of the keys is gone")
                .advise("Restore it, then `coffre rotate resume`.")
        };
        self.read(at)?.ok_or_else(none)
    }

    pub(super) fn write(&self, at: &At<'_>, ring: &Keyring) -> Result<Document, Failure> {
        Document::encode(&ring.write(&self.form(at)))
    }

    /// The public halves, if all keys have them: a document without a private key.
    pub(super) fn public_half(&self, document: &Document) -> Result<Option<Document>, Failure> {
        let fields: Map<String, Value> = document.decode()?;
        let target: String = document.get("target").unwrap_or_default();
        let form = Form { target: &target, field: &self.field, first: 1 };
        let ring = Keyring::read(&fields, &form).map_err(refused)?;
        ring.public_half(&Form { field: "value", ..form }).map(|public| Document::encode(&public)).transpose()
    }

    /// The ring after a change, as a document if it is another one.
    pub(super) fn changed(
        &self,
        at: &At<'_>,
        change: impl FnOnce(Keyring) -> Result<Keyring, KeyringError>,
    ) -> Result<Option<Document>, Failure> {
        let before = self.present(at)?;
        let epoch = before.epoch();
        let after = change(before).map_err(refused)?;
        if after.epoch() == epoch { Ok(None) } else { self.write(at, &after).map(Some) }
    }

    /// PREPARE: the next key, which looks like the one in use.
    pub(super) fn draw(&self, at: &At<'_>) -> Result<Pending, Failure> {
        let ring = self.read(at)?;
        let active = ring.as_ref().and_then(Keyring::active);
        // EXPOSE: its looks are taken, and the size of a key pair.
        let before = active.map_or("", |key| key.material().expose().as_str());
        let pinned = self.pinned(active);
        let style = match active {
            Some(_) => Style::of(before, self.purpose, pinned).map_err(cannot_follow)?,
            None => Style::first(self.purpose, pinned),
        };
        let material = style.draw(before, at.entropy).map_err(cannot_follow)?;
        Ok(Pending { gen_no: at.next_gen(), principal: None, material, created: at.now })
    }

    fn pinned<'a>(&'a self, active: Option<&'a Key>) -> Option<&'a str> {
        self.algorithm.as_deref().or_else(|| active?.algorithm())
    }

    /// The pending key as a member of the ring.
    pub(super) fn new_key(&self, ring: Option<&Keyring>, pending: &Pending) -> NewKey {
        // EXPOSE: the family of a key pair is read from it.
        let pair = coffre_rotation::keyring::scheme_of(pending.material.expose());
        let pinned = self.pinned(ring.and_then(Keyring::active));
        NewKey {
            generation: pending.gen_no,
            material: pending.material.duplicate(),
            algorithm: pinned.map(str::to_owned).or_else(|| pair.map(|scheme| scheme.name().to_owned())),
            created: pending.created,
            use_not_before: None,
        }
    }

    /// The ring that accepts the pending key, whatever is there already.
    pub(super) fn with_pending(&self, at: &At<'_>, pending: &Pending) -> Result<Keyring, Failure> {
        let ring = self.read(at)?;
        let new = self.new_key(ring.as_ref(), pending);
        match ring {
            Some(ring) => ring.with_prepared(new, MAX_ACCEPTED).map_err(refused),
            None => Keyring::of_one(new).map_err(refused),
        }
    }

    /// PUBLISH: the document that accepts the pending key. Without a document there is nobody yet who could accept.
    pub(super) fn published(&self, at: &At<'_>, pending: &Pending) -> Result<Option<Document>, Failure> {
        if at.document.is_none() {
            return Ok(None);
        }
        self.write(at, &self.with_pending(at, pending)?).map(Some)
    }

    /// The key that a check is about: of the document, of the record, or of an earlier document.
    pub(super) fn looked_at(&self, at: &At<'_>, which: Which<'_>) -> Result<(Keyring, u64), Failure> {
        let ring = match which {
            Which::Active => self.present(at)?,
            Which::Pending(pending) => {
                let ring = self.with_pending(at, pending)?;
                return Ok((ring, pending.gen_no));
            }
            Which::Earlier => {
                let gone = || Failure::config("no earlier version of the document of the keys is kept");
                self.ring_of(at, at.earlier.ok_or_else(gone)?)?
            }
        };
        let generation = ring.active().map_or(0, Key::generation);
        Ok((ring, generation))
    }

    /// Whether the key is read again under its own name by whoever reads the document, and is of use.
    pub(super) fn is_good(
        &self,
        at: &At<'_>,
        ring: &Keyring,
        generation: u64,
        of_use: impl FnOnce(&Key) -> bool,
    ) -> Result<bool, Failure> {
        let again = self.ring_of(at, &self.write(at, ring)?)?;
        let name = |ring: &Keyring| ring.generation(generation).map(|key| key.kid().to_owned());
        Ok(name(ring).is_some()
            && name(&again) == name(ring)
            && ring.generation(generation).is_some_and(of_use))
    }
}

/// A ring that cannot be worked with, as a failure of the rotation.
pub(super) fn refused(error: KeyringError) -> Failure {
    match error {
        // The material was made badly, or meets another key's name: other material will do.
        KeyringError::Taken(_) => Failure::permanent(error.to_string()),
        KeyringError::Full(_) => Failure::config(error.to_string())
            .advise("Wait for an old key's retirement, or lengthen the period; then `coffre rotate resume`."),
        _ => Failure::config(error.to_string()),
    }
}

fn cannot_follow(error: StyleError) -> Failure {
    match error {
        StyleError::Entropy => Failure::transient(error.to_string()),
        StyleError::NotBytes | StyleError::NotPair => Failure::config(error.to_string())
            .advise("Replace the value by a key of the form that the manual describes, or take the target out of rotation."),
    }
}
