//! The barrier's own records: root key, keyring, message counter.

use coffre_ambient::Entropy;
use coffre_crypto::envelope::{Envelope, SealFailed};
use coffre_crypto::{Key, Keyring, derive};
use coffre_secret::SecretVec;

use crate::error::BarrierError;
use crate::layout;
use crate::record::{self, Header, Place};

/// The layer between the root key and the keyring; the root key itself need not stay in memory.
pub(crate) struct Roots {
    keyring: Envelope,
    messages: Envelope,
}

/// What the keyring record holds.
pub(crate) struct KeyringRecord {
    pub(crate) keyring: Keyring,
    pub(crate) derivation: Key,
    /// Counts the changes of the record; the message counter carries it, too.
    pub(crate) generation: u64,
}

/// What the counter record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessagesRecord {
    /// No number from here on was ever used.
    pub(crate) reserved: u64,
    /// The generation of the keyring it belongs to.
    pub(crate) generation: u64,
}

impl Roots {
    pub(crate) fn new(root: &Key) -> Self {
        Self {
            keyring: Envelope::new(&derive::subkey(root, "coffre barrier keyring v1")),
            messages: Envelope::new(&derive::subkey(root, "coffre barrier messages v1")),
        }
    }

    pub(crate) fn seal_keyring(
        &self,
        cluster: &str,
        keyring: &Keyring,
        derivation: &Key,
        generation: u64,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealFailed> {
        let terms = keyring.encode();
        let mut plain = SecretVec::new(Vec::with_capacity(32 + terms.len()));
        // EXPOSE: both are put together to be sealed.
        plain.expose_mut().extend_from_slice(derivation.expose());
        plain.expose_mut().extend_from_slice(terms.expose());
        let header = Header { term: 0, version: generation };
        // EXPOSE: sealed here.
        record::seal(&self.keyring, place(cluster, layout::KEYRING), header, plain.expose(), entropy)
    }

    pub(crate) fn open_keyring(&self, cluster: &str, bytes: &[u8]) -> Result<KeyringRecord, BarrierError> {
        let damaged = || damaged(layout::KEYRING);
        let header = record::header(bytes).map_err(|_| damaged())?;
        let plain =
            record::open(&self.keyring, place(cluster, layout::KEYRING), bytes).map_err(|_| damaged())?;
        // EXPOSE: the keyring is taken apart into keys.
        let (derivation, terms) = plain.expose().split_first_chunk::<32>().ok_or_else(damaged)?;
        let derivation = Key::copy_of(derivation).ok_or_else(damaged)?;
        let keyring = Keyring::decode(terms).map_err(|_| damaged())?;
        Ok(KeyringRecord { keyring, derivation, generation: header.version })
    }

    pub(crate) fn seal_messages(
        &self,
        cluster: &str,
        messages: MessagesRecord,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealFailed> {
        let header = Header { term: 0, version: messages.reserved };
        let plain = messages.generation.to_be_bytes();
        record::seal(&self.messages, place(cluster, layout::MESSAGES), header, &plain, entropy)
    }

    pub(crate) fn open_messages(&self, cluster: &str, bytes: &[u8]) -> Result<MessagesRecord, BarrierError> {
        let damaged = || damaged(layout::MESSAGES);
        let header = record::header(bytes).map_err(|_| damaged())?;
        let plain =
            record::open(&self.messages, place(cluster, layout::MESSAGES), bytes).map_err(|_| damaged())?;
        // EXPOSE: a counter, not a secret.
        let generation = plain.expose().as_slice().try_into().map_err(|_| damaged())?;
        Ok(MessagesRecord { reserved: header.version, generation: u64::from_be_bytes(generation) })
    }
}

/// The record of the root key under the unseal key.
pub(crate) fn wrap_root(
    cluster: &str,
    unseal: &Key,
    root: &Key,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealFailed> {
    let header = Header { term: 0, version: 1 };
    // EXPOSE: sealed here.
    record::seal(&Envelope::new(unseal), place(cluster, layout::ROOT_KEY), header, root.expose(), entropy)
}

/// The root key, if this is its unseal key and the record is whole; these two cannot be told apart.
pub(crate) fn unwrap_root(cluster: &str, unseal: &Key, bytes: &[u8]) -> Option<Key> {
    let plain = record::open(&Envelope::new(unseal), place(cluster, layout::ROOT_KEY), bytes).ok()?;
    // EXPOSE: copied into locked memory.
    Key::copy_of(plain.expose())
}

fn place<'a>(cluster: &'a str, path: &'a str) -> Place<'a> {
    Place { cluster, path }
}

fn damaged(path: &str) -> BarrierError {
    BarrierError::Damaged { path: path.to_owned() }
}
