use coffre_ambient::Wall;
use coffre_crypto::key_pair::KeyPair;
use coffre_crypto::mac::{Hash, tag_under};
use coffre_crypto::signature::{Scheme, is_usable};
use coffre_secret::SecretText;

use super::{MAX_MATERIAL_CHARS, pem};

/// The algorithms whose keys are pairs, by the names of RFC 7518, RFC 8037 and RFC 8812.
const PAIRS: [&str; 11] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES256K", "ES384", "ES512", "EdDSA"];
/// How many hexadecimal digits of a digest name a key.
const KID_DIGITS: usize = 8;

/// One key of a ring.
#[derive(Debug)]
pub struct Key {
    pub(super) kid: String,
    pub(super) generation: u64,
    pub(super) state: State,
    pub(super) algorithm: Option<String>,
    pub(super) material: SecretText,
    pub(super) created: Option<Wall>,
    pub(super) use_not_before: Option<Wall>,
    pub(super) retire_at: Option<Wall>,
}

/// What readers do with a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Sign, encrypt, verify, decrypt.
    Active,
    /// Verify and decrypt: not used yet, or replaced and still depended upon.
    Accept,
    /// Decrypt what was not re-encrypted yet.
    DecryptOnly,
    /// Nothing. We take retired keys out; others may leave them in.
    Retired,
}

impl State {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Accept => "accept",
            Self::DecryptOnly => "decrypt-only",
            Self::Retired => "retired",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Accept, Self::DecryptOnly, Self::Retired]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

impl Key {
    /// Its name, which follows from its material (see [`kid_of`]); in documents of others `k-` may stand before it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its generation, from 1; never used twice for a target.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What readers do with it.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The algorithm that it is pinned to, if any. A key pair in a ring always has one.
    #[must_use]
    pub fn algorithm(&self) -> Option<&str> {
        self.algorithm.as_deref()
    }

    /// The key as text: as it is, base64 or PEM.
    #[must_use]
    pub const fn material(&self) -> &SecretText {
        &self.material
    }

    /// When it was made.
    #[must_use]
    pub const fn created(&self) -> Option<Wall> {
        self.created
    }
}

/// Whether the algorithm's keys are pairs.
pub(super) fn is_pair(algorithm: Option<&str>) -> bool {
    algorithm.is_some_and(|name| PAIRS.contains(&name))
}

/// The name of a key, which follows from its bytes: eight hexadecimal digits of HMAC-SHA-256(key, `"kid"`), or of
/// SHA-256 over the public half (DER) if the algorithm's keys are pairs.
pub fn kid_of(material: &str, algorithm: Option<&str>) -> Result<String, &'static str> {
    let digest = if is_pair(algorithm) {
        coffre_crypto::digest::sha256(&public_der(material, algorithm)?).to_vec()
    } else {
        tag_under(Hash::Sha256, material.as_bytes(), b"kid")
    };
    Ok(hex::encode(digest).chars().take(KID_DIGITS).collect())
}

/// Uses a key as its consumers do: signs a message and verifies it, key pairs with the public half alone. False says that
/// the key is of no use for the algorithm (HS256 without one).
#[must_use]
pub fn signs(material: &str, algorithm: Option<&str>, message: &[u8]) -> bool {
    if !is_pair(algorithm) {
        let hash = match algorithm {
            Some("HS384") => Hash::Sha384,
            Some("HS512") => Hash::Sha512,
            _ => Hash::Sha256,
        };
        let tag = tag_under(hash, material.as_bytes(), message);
        let others = tag_under(hash, material.as_bytes(), b"another message");
        return !material.is_empty() && tag != others && tag == tag_under(hash, material.as_bytes(), message);
    }
    let Some(scheme) = algorithm.and_then(Scheme::parse) else { return false };
    let signed = pair(material, scheme).and_then(|pair| pair.sign(message).ok());
    match (signed, public_der(material, algorithm)) {
        (Some(signature), Ok(public)) => {
            coffre_crypto::signature::verify(scheme, &public, message, &signature)
        }
        _ => false,
    }
}

/// The scheme of a private key in PEM, from its own bytes. `None`: not a private key that can be read.
#[must_use]
pub fn scheme_of(material: &str) -> Option<Scheme> {
    let der = pem::private(material)?;
    // EXPOSE: to be parsed by the library.
    let reads = |scheme: &Scheme| KeyPair::read(*scheme, der.expose()).is_ok();
    [Scheme::EdDsa, Scheme::Es256, Scheme::Es384, Scheme::Rs256].into_iter().find(reads)
}

/// The pair of a private key in PEM.
pub(super) fn pair(material: &str, scheme: Scheme) -> Option<KeyPair> {
    // EXPOSE: to be parsed by the library.
    KeyPair::read(scheme, pem::private(material)?.expose()).ok()
}

/// The public half as DER, of a private or a public key in PEM.
pub(super) fn public_der(material: &str, algorithm: Option<&str>) -> Result<Vec<u8>, &'static str> {
    const NOT: &str = "its material is not a private or public key in PEM for its algorithm";
    let scheme = algorithm.and_then(Scheme::parse).ok_or("its algorithm is one that cannot be rotated")?;
    if let Some(public) = pem::public(material) {
        return if is_usable(&public) { Ok(public) } else { Err(NOT) };
    }
    pair(material, scheme).and_then(|pair| pair.public_der().ok()).ok_or(NOT)
}

/// Whether the text has a length that a key may have.
pub(super) fn has_sound_length(material: &str) -> bool {
    !material.is_empty() && material.chars().take(MAX_MATERIAL_CHARS + 1).count() <= MAX_MATERIAL_CHARS
}
