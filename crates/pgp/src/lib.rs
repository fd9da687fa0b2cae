//! Key shares and tokens for their holders alone: encryption to OpenPGP public keys (RFC 4880, RFC 9580).
//!
//! Only public keys are ever handled, and nothing is decrypted or signed here, so the timing of private-key operations
//! is no concern of this crate.
//!
//! A [`PublicKey`] is read from base64 of a binary key, as `gpg --export | base64` gives it, or from an armoured one.
//! What is encrypted to is its newest subkey for encryption that its owner bound to it, or the key itself if it says
//! that it is for encryption. Revoked and expired ones are passed over. Signatures of other people are not looked at.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_ambient::{Entropy, EntropyFailed, Wall};
use pgp::composed::{Deserializable, MessageBuilder, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{EncryptionKey, KeyDetails};

use crate::random::Random;

mod random;

/// The longest key that is read, in characters of its text. Keys with photographs and many signatures are longer; they
/// can be exported without (`gpg --export-options export-minimal`).
pub const MAX_TEXT: usize = 64 * 1024;

/// Why something is no key to encrypt to. The texts quote nothing of what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// A name at a key server.
    #[error(
        "keys are not fetched from keybase: give the public key itself, as `gpg --export | base64` prints it"
    )]
    Keybase,
    /// Longer than [`MAX_TEXT`].
    #[error(
        "the PGP key is longer than {MAX_TEXT} characters: export it with --export-options export-minimal"
    )]
    TooLong,
    /// Neither base64 of a key nor an armoured one.
    #[error("this is not a PGP public key: give it in base64 (`gpg --export | base64`), or armoured")]
    Unreadable,
    /// It cannot be encrypted to.
    #[error(
        "the PGP key has no valid part for encryption: it was revoked, has expired, or is for signatures alone"
    )]
    NotForEncryption,
}

/// Why nothing was encrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptFailed {
    /// The key has an algorithm or parameters that cannot be used.
    #[error("nothing can be encrypted to this PGP key: make a key with another algorithm")]
    Key,
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
}

/// Somebody's public key, with a part that can be encrypted to.
#[derive(Clone)]
pub struct PublicKey {
    key: SignedPublicKey,
    /// Which of its subkeys; `None` is the key itself.
    subkey: Option<usize>,
}

impl PublicKey {
    /// Reads a key; any text is fine as input.
    pub fn parse(text: &str, now: Wall) -> Result<Self, BadKey> {
        let text = text.trim();
        if text.starts_with("keybase:") {
            return Err(BadKey::Keybase);
        }
        if text.len() > MAX_TEXT {
            return Err(BadKey::TooLong);
        }
        let key = if text.starts_with("-----BEGIN") {
            SignedPublicKey::from_string(text).map(|(key, _)| key).map_err(|_| BadKey::Unreadable)?
        } else {
            let packed: String = text.split_ascii_whitespace().collect();
            let bytes = STANDARD.decode(packed).map_err(|_| BadKey::Unreadable)?;
            SignedPublicKey::from_bytes(bytes.as_slice()).map_err(|_| BadKey::Unreadable)?
        };
        let subkey = part_for_encryption(&key, now.secs())?;
        Ok(Self { key, subkey })
    }

    /// The fingerprint of the whole key, in lower hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("{:x}", self.key.primary_key.fingerprint())
    }

    /// An OpenPGP message, binary, that only the key's owner can open.
    pub fn encrypt(&self, plain: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, EncryptFailed> {
        let part = self.subkey.and_then(|at| self.key.public_subkeys.get(at));
        let mut random = Random::new(entropy);
        let message = match part {
            Some(subkey) => encrypt_to(subkey, plain, &mut random),
            None => encrypt_to(&self.key.primary_key, plain, &mut random),
        };
        // First: without randomness the message is worth nothing, whatever it looks like.
        random.check()?;
        message.map_err(|_| EncryptFailed::Key)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[PGP key {}]", self.fingerprint())
    }
}

fn encrypt_to(
    part: &impl EncryptionKey,
    plain: &[u8],
    random: &mut Random<'_>,
) -> pgp::errors::Result<Vec<u8>> {
    // Integrity-protected data of version 1 is what every OpenPGP program of the last twenty years reads.
    let mut message =
        MessageBuilder::from_bytes("", plain.to_vec()).seipd_v1(&mut *random, SymmetricKeyAlgorithm::AES256);
    message.encrypt_to_key(&mut *random, &part)?;
    message.to_vec(&mut *random)
}

/// The newest valid subkey for encryption, or the key itself.
fn part_for_encryption(key: &SignedPublicKey, now: u64) -> Result<Option<usize>, BadKey> {
    if !key.details.revocation_signatures.is_empty() {
        return Err(BadKey::NotForEncryption);
    }
    let usable = |(_, subkey): &(usize, &SignedPublicSubKey)| is_usable(key, subkey, now);
    let newest = key.public_subkeys.iter().enumerate().filter(usable);
    let newest = newest.max_by_key(|(_, subkey)| subkey.key.created_at().as_secs());
    if let Some((at, _)) = newest {
        return Ok(Some(at));
    }
    let primary = &key.primary_key;
    let own = |signature: &&Signature| {
        let is_own = |(_, issuer): (usize, &pgp::types::KeyId)| *issuer == primary.legacy_key_id();
        signature.issuer_key_id().into_iter().enumerate().any(is_own)
    };
    let signatures = key.details.users.iter().flat_map(|user| &user.signatures).filter(own);
    let mut signatures = signatures.chain(key.details.direct_signatures.iter().filter(own));
    let is_for_it = |signature: &Signature| {
        let flags = signature.key_flags();
        let lasts = signature
            .key_expiration_time()
            .is_none_or(|life| u64::from(primary.created_at().as_secs()) + u64::from(life.as_secs()) > now);
        lasts && (flags.encrypt_comms() || flags.encrypt_storage())
    };
    if primary.algorithm().can_encrypt() && signatures.any(is_for_it) {
        Ok(None)
    } else {
        Err(BadKey::NotForEncryption)
    }
}

fn is_usable(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: u64) -> bool {
    let revoked = subkey.signatures.iter().any(|s| s.typ() == Some(SignatureType::SubkeyRevocation));
    let is_for_it = |signature: &Signature| {
        let flags = signature.key_flags();
        let lasts = signature.key_expiration_time().is_none_or(|life| {
            u64::from(subkey.key.created_at().as_secs()) + u64::from(life.as_secs()) > now
        });
        lasts
            && (flags.encrypt_comms() || flags.encrypt_storage())
            && signature.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok()
    };
    subkey.key.algorithm().can_encrypt() && !revoked && subkey.signatures.iter().any(is_for_it)
}

#[cfg(test)]
mod tests;
