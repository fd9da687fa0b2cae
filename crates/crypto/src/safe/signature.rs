//! Verifying signatures that others made: RSA (RFC 8017), ECDSA (FIPS 186-5), Ed25519 (RFC 8032).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};

/// How a signature is made, by the names of RFC 7518 and RFC 8037. There is none for "no signature" and none for keyed
/// hashes: whoever verifies with a public key cannot be talked into either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum Scheme {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Scheme {
    const ALL: [(&'static str, Self); 9] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// Reads a name, in its own case alone.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, scheme)| scheme)
    }

    /// The name that [`Scheme::parse`] reads.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, scheme)| *scheme == self).map_or("", |(name, _)| name)
    }

    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &ECDSA_P384_SHA384_FIXED,
            Self::EdDsa => &ED25519,
        }
    }
}

/// Whether a public key (DER, `SubjectPublicKeyInfo`, RFC 5280) is one that some scheme takes: RSA of 2048 to 8192 bits,
/// P-256, P-384, Ed25519.
#[must_use]
pub fn is_usable(public_key: &[u8]) -> bool {
    [Scheme::Rs256, Scheme::Es256, Scheme::Es384, Scheme::EdDsa]
        .into_iter()
        .any(|scheme| ParsedPublicKey::new(scheme.algorithm(), public_key).is_ok())
}

/// Whether this is the key's signature of the message. False also if the key is not one for this scheme.
#[must_use]
pub fn verify(scheme: Scheme, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    ParsedPublicKey::new(scheme.algorithm(), public_key)
        .is_ok_and(|key| key.verify_sig(message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 2, its key as `SubjectPublicKeyInfo` (RFC 8410).
    const KEY: &str =
        "302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    #[test]
    fn known_answer() {
        let (key, signature) = (hex::decode(KEY).unwrap(), hex::decode(SIGNATURE).unwrap());
        assert!(is_usable(&key));
        assert!(verify(Scheme::EdDsa, &key, b"\x72", &signature));
        assert!(!verify(Scheme::EdDsa, &key, b"\x73", &signature));
        assert!(!verify(Scheme::Rs256, &key, b"\x72", &signature), "another family's scheme");
        assert!(!verify(Scheme::EdDsa, &key, b"\x72", &signature[..63]));
        assert!(!is_usable(&key[..43]));
    }

    #[test]
    fn a14_there_is_no_name_for_unsigned_or_keyed() {
        for name in ["none", "None", "NONE", "HS256", "HS512", "rs256", "ES512", ""] {
            assert_eq!(Scheme::parse(name), None, "{name}");
        }
        assert_eq!(Scheme::parse("PS384"), Some(Scheme::Ps384));
    }
}
