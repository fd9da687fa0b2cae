//! Purpose-named cryptographic envelopes over an audited library (aws-lc).
//!
//! Threat model: whoever can read or change what is stored, and whoever can measure how long we take. Not in scope:
//! somebody who reads our memory.
//!
//! * [`safe`] is what callers use: [`envelope`] (AES-256-GCM, nonce from the kernel for each message), [`mod@derive`]
//!   (HKDF-SHA-256), [`mac`] (HMAC-SHA-256), [`digest`] (SHA-256), [`signature`] (verifying RSA, ECDSA, Ed25519),
//!   [`key_pair`] (signing with them).
//! * `hazmat` holds the raw primitives and is private: nobody else can choose a nonce.
//! * [`Keyring`] holds the terms of a key that is rotated.
//!
//! Each key serves one purpose: derive a labelled subkey rather than using one key twice.

mod hazmat;
mod keyring;
pub mod safe;

pub use keyring::{BadKeyring, Keyring, Term};
pub use safe::{derive, digest, envelope, key_pair, mac, signature};

/// A symmetric key of 256 bits.
pub type Key = coffre_secret::SecretBytes<32>;

/// A fresh key from the given randomness, built in place.
pub fn fresh_key(entropy: &dyn coffre_ambient::Entropy) -> Result<Key, coffre_ambient::EntropyFailed> {
    Key::fill_with(|bytes| entropy.fill(bytes))
}
