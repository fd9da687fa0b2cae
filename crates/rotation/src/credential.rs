use serde::{Deserialize, Serialize};

use crate::wire::{WireDocument, is_object};
use crate::{DocumentError, Target, WriteId};

/// The fields that every credential document of one credential has, beside `username`, `password`, `value`, …:
/// `credential/1`. Rings of keys are `keyring/1`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CredentialHead {
    /// Always `credential/1`.
    pub schema: String,
    /// Which target.
    pub target: Target,
    /// Grows by one with each change, and never falls.
    pub epoch: u64,
    /// The generation of what stands in it.
    #[serde(rename = "gen")]
    pub gen_no: u64,
    /// Which write this is.
    #[serde(rename = "_w")]
    pub write: WriteId,
}

impl WireDocument for CredentialHead {
    const SCHEMA: &'static str = "credential/1";
    const NAME: &'static str = "credential document";
    const NEEDS_SCHEMA: bool = true;
    const MAX_BYTES: usize = 512 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        match (self.write.is_sound(), self.gen_no > 0) {
            (false, _) => Err("_w is not the id of a write"),
            (_, false) => Err("gen must be at least 1"),
            _ => Ok(()),
        }
    }
}

/// What consumers may do with a generation of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usable {
    /// Sign, encrypt, log in; and accept.
    Active,
    /// Accept.
    Accept,
    /// Read what is old.
    DecryptOnly,
}

/// What the machine must know of a credential document: no material.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Its epoch; 0 in a document that no rotator wrote.
    pub epoch: u64,
    /// The generation that it names as active. `None`: no rotator wrote it.
    pub active: Option<u64>,
    /// All generations in it.
    pub usable: Vec<(u64, Usable)>,
    /// Which write it is.
    pub write: WriteId,
    /// Somebody has confirmed, in this document, that the epoch is right although higher ones were seen.
    pub reset: bool,
}

impl Facts {
    /// Reads either form, or a document of somebody else, which has no `schema`. Quotes nothing in errors.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        const NAME: &str = "credential document";
        if bytes.len() > CredentialHead::MAX_BYTES {
            let at_most = CredentialHead::MAX_BYTES;
            return Err(DocumentError::TooLarge { name: NAME, bytes: bytes.len(), at_most });
        }
        if !is_object(bytes) {
            return Err(DocumentError::NoJson { name: NAME });
        }
        let form: Form = serde_json::from_slice(bytes).map_err(|_| DocumentError::NoJson { name: NAME })?;
        match form.schema.as_deref() {
            Some("keyring/1") => Self::of_ring(bytes),
            Some(_) => CredentialHead::parse(bytes).map(|head| Self {
                epoch: head.epoch,
                active: Some(head.gen_no),
                usable: vec![(head.gen_no, Usable::Active)],
                write: head.write,
                reset: false,
            }),
            None => Ok(Self::default()),
        }
    }

    fn of_ring(bytes: &[u8]) -> Result<Self, DocumentError> {
        const NAME: &str = "key ring";
        let ring: Ring = serde_json::from_slice(bytes).map_err(|_| DocumentError::Shape { name: NAME })?;
        if ring.keys.is_empty() || ring.keys.len() > 32 {
            return Err(DocumentError::Wrong { name: NAME, what: "a ring has 1 to 32 keys" });
        }
        let usable = ring.keys.iter().filter_map(|key| Some((key.gen_no, usable(&key.state)?))).collect();
        let active = ring.keys.iter().find(|key| key.kid == ring.active && key.state == "active");
        let active = active
            .ok_or(DocumentError::Wrong { name: NAME, what: "its active key is not among its keys" })?;
        Ok(Self { epoch: ring.epoch, active: Some(active.gen_no), usable, write: ring.write, reset: false })
    }

    /// Whether consumers that read this document accept the generation.
    pub fn accepts(&self, number: u64) -> bool {
        self.usable.iter().any(|(held, how)| *held == number && *how != Usable::DecryptOnly)
    }

    /// Whether the generation stands in it at all.
    pub fn holds(&self, number: u64) -> bool {
        self.usable.iter().any(|(held, _)| *held == number)
    }
}

fn usable(state: &str) -> Option<Usable> {
    match state {
        "active" => Some(Usable::Active),
        "accept" => Some(Usable::Accept),
        "decrypt-only" => Some(Usable::DecryptOnly),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    schema: Option<String>,
}

#[derive(Deserialize)]
struct Ring {
    epoch: u64,
    active: String,
    keys: Vec<RingKey>,
    #[serde(rename = "_w", default)]
    write: WriteId,
}

#[derive(Deserialize)]
struct RingKey {
    kid: String,
    #[serde(rename = "gen")]
    gen_no: u64,
    state: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_their_facts() {
        let ring = br#"{"schema":"keyring/1","target":"jwt","epoch":42,"active":"k-1","keys":[
            {"kid":"k-1","gen":9,"state":"active","mat":"x"},{"kid":"k-0","gen":8,"state":"accept","mat":"y"},
            {"kid":"k-9","gen":3,"state":"decrypt-only","mat":"z"}],"_w":"01J00000000000000000000000"}"#;
        let facts = Facts::parse(ring).unwrap();
        assert_eq!((facts.epoch, facts.active), (42, Some(9)));
        assert!(facts.accepts(8) && !facts.accepts(3) && facts.holds(3) && !facts.holds(10));
        let one = br#"{"schema":"credential/1","target":"pg","epoch":7,"gen":2,"username":"a","password":"p",
            "_w":"01J00000000000000000000000"}"#;
        let facts = Facts::parse(one).unwrap();
        assert_eq!((facts.epoch, facts.active, facts.accepts(2)), (7, Some(2), true));
        assert_eq!(Facts::parse(br#"{"value":"old"}"#).unwrap(), Facts::default());
    }

    #[test]
    fn a_document_of_another_schema_is_refused_with_a_sentence() {
        let error = Facts::parse(br#"{"schema":"credential/9","password":"hunter2"}"#).unwrap_err();
        assert!(
            error.to_string().contains("credential/9") && error.to_string().contains("credential/1"),
            "{error}"
        );
        let error = Facts::parse(br#"{"schema":"keyring/1","epoch":"hunter2"}"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(Facts::parse(b"[]").is_err() && Facts::parse(b"{").is_err());
    }
}
