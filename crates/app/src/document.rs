use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Clock;
use coffre_client::{Envelope, Error, Kv2Entry, Lease};
use coffre_secret::SecretText;
use serde::Deserialize;

use crate::uses::Mark;
use crate::value::{Shards, Value};

/// What stands in one version of a document; wiped when the last reference drops.
pub(crate) struct Contents {
    fields: BTreeMap<Box<str>, Shards>,
    version: Option<u64>,
    write: Option<u128>,
    epoch: Option<u64>,
    gen_no: Option<u64>,
    lease: Option<Lease>,
}

impl Contents {
    pub(crate) fn get(&self, field: &str) -> Option<Value> {
        self.fields.get(field).map(Shards::value)
    }

    pub(crate) const fn version(&self) -> Option<u64> {
        self.version
    }

    pub(crate) const fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// The generation that the document gives to be used, if rotation counts them.
    pub(crate) const fn gen_no(&self) -> Option<u64> {
        self.gen_no
    }

    /// Which credential it is, without its material.
    pub(crate) fn mark(&self) -> Mark {
        let lease = self.lease.as_ref().map(|lease| Arc::from(lease.id.as_str()));
        Mark { gen_no: self.gen_no, lease }
    }

    pub(crate) const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    pub(crate) fn shards(&self, field: &str) -> Option<&Shards> {
        self.fields.get(field)
    }

    /// What tells one write from another, beside the version (`_w`, a ULID).
    pub(crate) const fn write(&self) -> Option<u128> {
        self.write
    }

    /// From KV v2. `None`: the document says that it is a key ring, and is none.
    pub(crate) fn of_kv2(entry: &Kv2Entry) -> Option<Self> {
        let names = entry.names();
        let mut document = Self::of_fields(names.iter().filter_map(|name| {
            let value = entry.field(name)?;
            Some((name.as_str(), value))
        }));
        document.version = Some(entry.version);
        let sound = document.read_ring();
        sound.then_some(document)
    }

    /// From an engine's answer: a credential, usually with a lease.
    pub(crate) fn of_credentials(envelope: &Envelope) -> Result<Self, Error> {
        let names: BTreeMap<String, serde::de::IgnoredAny> = envelope.data()?;
        let fields = names.keys().filter_map(|name| Some((name.as_str(), envelope.field(name)?)));
        let mut document = Self::of_fields(fields);
        document.lease = envelope.lease();
        Ok(document)
    }

    pub(crate) fn of_fields<'a>(fields: impl IntoIterator<Item = (&'a str, SecretText)>) -> Self {
        let shards = fields.into_iter().map(|(name, value)| (Box::from(name), Shards::of(value)));
        let fields: BTreeMap<Box<str>, Shards> = shards.collect();
        // EXPOSE: numbers that tell writes apart, not secrets.
        let plain = |name: &str| fields.get(name).map(|field| field.value().expose().to_owned());
        let epoch = plain("epoch").and_then(|text| text.parse().ok());
        let write = plain("_w").and_then(|text| ulid(&text));
        let gen_no = plain("gen").and_then(|text| text.parse().ok());
        Self { fields, version: None, write, epoch, gen_no, lease: None }
    }

    /// A key ring must have an epoch, and its active key must be among its keys: whose generation is the one in use.
    fn read_ring(&mut self) -> bool {
        #[derive(Deserialize)]
        struct Key {
            kid: String,
            #[serde(default, rename = "gen")]
            gen_no: Option<u64>,
        }
        // EXPOSE: names of keys and of the schema; no material is taken.
        let text = |name: &str| self.get(name).map(|value| value.expose().to_owned());
        if text("schema").is_none_or(|schema| schema != "keyring/1") {
            return true;
        }
        // EXPOSE: only the key ids are decoded.
        let keys = self.get("keys").and_then(|keys| serde_json::from_str::<Vec<Key>>(keys.expose()).ok());
        let (Some(keys), Some(active)) = (keys, text("active")) else { return false };
        let Some(active) = keys.iter().find(|key| key.kid == active) else { return false };
        // Copies below this epoch hold a key that was destroyed.
        let least = text("min_epoch").and_then(|text| text.parse().ok()).unwrap_or(0_u64);
        self.gen_no = active.gen_no;
        self.epoch.is_some_and(|epoch| epoch >= least)
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents")
            .field("fields", &self.fields.len())
            .field("version", &self.version)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// Crockford's base 32, 26 digits: <https://github.com/ulid/spec>.
fn ulid(text: &str) -> Option<u128> {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    if text.len() != 26 {
        return None;
    }
    text.bytes().try_fold(0_u128, |sum, digit| {
        let digit = DIGITS.iter().position(|known| *known == digit.to_ascii_uppercase())?;
        sum.checked_mul(32)?.checked_add(u128::try_from(digit).ok()?)
    })
}

/// One version of a document, as it was when it was asked for: all its fields are from the same write. Immutable; its
/// values are wiped when the last reference drops.
#[derive(Clone)]
pub struct Document {
    contents: Arc<Contents>,
    validated_at: Option<Duration>,
    clock: Arc<dyn Clock>,
}

impl Document {
    pub(crate) fn new(
        contents: Arc<Contents>,
        validated_at: Option<Duration>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { contents, validated_at, clock }
    }

    /// A field's value: the text of a string, the JSON text of anything else.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<Value> {
        self.contents.get(field)
    }

    /// The names of its fields, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.contents.fields.keys().map(AsRef::as_ref)
    }

    /// Its version in KV v2; `None` for anything else.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.contents.version
    }

    /// The number that rotation raises with each change, if the document has one.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.contents.epoch
    }

    /// The lease of a credential that was made on demand.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.contents.lease.as_ref()
    }

    /// Time since the server last confirmed it, counted from when it was asked; `None` for what no server gave.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        Some(self.clock.boot().saturating_sub(self.validated_at?))
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("fields", &self.contents.fields.len())
            .field("version", &self.contents.version)
            .field("epoch", &self.contents.epoch)
            .finish_non_exhaustive()
    }
}
