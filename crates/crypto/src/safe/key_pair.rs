//! Key pairs that sign: made, read and used; RSA (RFC 8017), ECDSA (FIPS 186-5), Ed25519 (RFC 8032).

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use coffre_ambient::Entropy;
use coffre_secret::{SecretBytes, SecretVec};

use super::signature::Scheme;

/// A private key with its public half. The library wipes it.
pub struct KeyPair {
    scheme: Scheme,
    key: Private,
}

enum Private {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// The key could not be made, read or used. Says nothing of its bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyPairFailed {
    /// The library or the system's randomness failed.
    #[error("the key pair could not be made; the system gave no randomness, or no memory")]
    Unmade,
    /// Not DER of a private key for this scheme.
    #[error(
        "this is no private key for the scheme: PKCS #8, SEC 1 or PKCS #1, not encrypted, is what can be read"
    )]
    Unread,
}

impl KeyPair {
    /// A new pair. Ed25519 keys follow from `entropy`; the other families draw from the library's own generator, which
    /// takes no other. RSA keys have 2048 bits for RS256 and PS256, else 3072.
    pub fn generate(scheme: Scheme, entropy: &dyn Entropy) -> Result<Self, KeyPairFailed> {
        let key = match scheme {
            Scheme::EdDsa => {
                let seed = SecretBytes::<32>::fill_with(|bytes| entropy.fill(bytes));
                let seed = seed.map_err(|_| KeyPairFailed::Unmade)?;
                // EXPOSE: an Ed25519 private key is its seed.
                Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok().map(Private::Ed25519)
            }
            Scheme::Es256 | Scheme::Es384 => EcdsaKeyPair::generate(curve(scheme)).ok().map(Private::Ecdsa),
            Scheme::Rs256 | Scheme::Ps256 => RsaKeyPair::generate(KeySize::Rsa2048).ok().map(Private::Rsa),
            Scheme::Rs384 | Scheme::Rs512 | Scheme::Ps384 | Scheme::Ps512 => {
                RsaKeyPair::generate(KeySize::Rsa3072).ok().map(Private::Rsa)
            }
        };
        Ok(Self { scheme, key: key.ok_or(KeyPairFailed::Unmade)? })
    }

    /// A new pair of the same family, no smaller than this one.
    pub fn another(&self, entropy: &dyn Entropy) -> Result<Self, KeyPairFailed> {
        let Private::Rsa(key) = &self.key else { return Self::generate(self.scheme, entropy) };
        let size = match key.public_modulus_len() {
            0..=256 => KeySize::Rsa2048,
            257..=384 => KeySize::Rsa3072,
            385..=512 => KeySize::Rsa4096,
            _ => KeySize::Rsa8192,
        };
        let made = RsaKeyPair::generate(size).map_err(|_| KeyPairFailed::Unmade)?;
        Ok(Self { scheme: self.scheme, key: Private::Rsa(made) })
    }

    /// Reads a private key in DER: PKCS #8 (RFC 5958), or what its family had before (RFC 5915, RFC 8017).
    pub fn read(scheme: Scheme, der: &[u8]) -> Result<Self, KeyPairFailed> {
        let key = match scheme {
            Scheme::EdDsa => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Private::Ed25519),
            Scheme::Es256 | Scheme::Es384 => {
                EcdsaKeyPair::from_private_key_der(curve(scheme), der).ok().map(Private::Ecdsa)
            }
            _ => RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)).ok().map(Private::Rsa),
        };
        Ok(Self { scheme, key: key.ok_or(KeyPairFailed::Unread)? })
    }

    /// What it signs with.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The private key as PKCS #8, version 1, which every library reads.
    pub fn pkcs8(&self) -> Result<SecretVec, KeyPairFailed> {
        let der = match &self.key {
            Private::Ed25519(key) => key.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
            Private::Ecdsa(key) => key.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
            Private::Rsa(key) => AsDer::<Pkcs8V1Der<'_>>::as_der(key).map(|der| der.as_ref().to_vec()),
        };
        der.map(SecretVec::new).map_err(|_| KeyPairFailed::Unmade)
    }

    /// The public half as DER `SubjectPublicKeyInfo` (RFC 5280).
    pub fn public_der(&self) -> Result<Vec<u8>, KeyPairFailed> {
        let der: Result<PublicKeyX509Der<'_>, _> = match &self.key {
            Private::Ed25519(key) => key.public_key().as_der(),
            Private::Ecdsa(key) => key.public_key().as_der(),
            Private::Rsa(key) => key.public_key().as_der(),
        };
        der.map(|der| der.as_ref().to_vec()).map_err(|_| KeyPairFailed::Unmade)
    }

    /// The signature of a message, in the form that JSON Web Signatures have (RFC 7518: ECDSA as two numbers of fixed
    /// length).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyPairFailed> {
        let signed = match &self.key {
            Private::Ed25519(key) => key.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Private::Ecdsa(key) => {
                key.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec())
            }
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let signed = key.sign(padding(self.scheme), &SystemRandom::new(), message, &mut signature);
                signed.map(|()| signature)
            }
        };
        signed.map_err(|_| KeyPairFailed::Unmade)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[key pair for {:?}]", self.scheme)
    }
}

const fn curve(scheme: Scheme) -> &'static EcdsaSigningAlgorithm {
    match scheme {
        Scheme::Es384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    }
}

fn padding(scheme: Scheme) -> &'static dyn RsaEncoding {
    match scheme {
        Scheme::Rs384 => &RSA_PKCS1_SHA384,
        Scheme::Rs512 => &RSA_PKCS1_SHA512,
        Scheme::Ps256 => &RSA_PSS_SHA256,
        Scheme::Ps384 => &RSA_PSS_SHA384,
        Scheme::Ps512 => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    }
}

#[cfg(test)]
mod tests {
    use coffre_ambient::SeededEntropy;

    use super::*;
    use crate::signature::{is_usable, verify};

    #[test]
    fn each_family_signs_is_written_and_is_read_again() {
        let entropy = SeededEntropy::new(3);
        for scheme in [Scheme::EdDsa, Scheme::Es256, Scheme::Es384, Scheme::Rs256, Scheme::Ps256] {
            let made = KeyPair::generate(scheme, &entropy).unwrap();
            assert_ne!(made.another(&entropy).unwrap().public_der(), made.public_der(), "{scheme:?}");
            let public = made.public_der().unwrap();
            assert!(is_usable(&public), "{scheme:?}");
            let read = KeyPair::read(scheme, made.pkcs8().unwrap().expose()).unwrap();
            assert_eq!(read.public_der().unwrap(), public, "{scheme:?}");
            let signature = read.sign(b"a message").unwrap();
            assert!(verify(scheme, &public, b"a message", &signature), "{scheme:?}");
            assert!(!verify(scheme, &public, b"another", &signature), "{scheme:?}");
        }
    }

    #[test]
    fn another_familys_key_and_rubbish_are_refused() {
        let key = KeyPair::generate(Scheme::EdDsa, &SeededEntropy::new(3)).unwrap().pkcs8().unwrap();
        assert_eq!(KeyPair::read(Scheme::Es256, key.expose()).unwrap_err(), KeyPairFailed::Unread);
        assert_eq!(KeyPair::read(Scheme::Rs256, key.expose()).unwrap_err(), KeyPairFailed::Unread);
        assert_eq!(KeyPair::read(Scheme::EdDsa, b"rubbish").unwrap_err(), KeyPairFailed::Unread);
    }

    /// RFC 8032, section 7.1, test 1: the public half of a seed.
    #[test]
    fn an_ed25519_key_follows_from_its_randomness() {
        struct Fixed(Vec<u8>);
        impl Entropy for Fixed {
            fn fill(&self, out: &mut [u8]) -> Result<(), coffre_ambient::EntropyFailed> {
                out.copy_from_slice(&self.0);
                Ok(())
            }
        }
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let public = KeyPair::generate(Scheme::EdDsa, &Fixed(seed)).unwrap().public_der().unwrap();
        assert!(
            hex::encode(public).ends_with("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
        );
    }
}
