//! What a server keeps of a password for SCRAM-SHA-256, computed here: PBKDF2 and HMAC are the library's.
//!
//! `postgres_protocol` computes the same in four times as many hash blocks, which for 4096 rounds is as much work as
//! PostgreSQL has with the whole user. It is asked where the password must be normalised first (RFC 4013).

use std::num::NonZeroU32;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use aws_lc_rs::{digest, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_ambient::{Entropy, SystemEntropy};
use coffre_secret::{SecretBytes, SecretText};

/// PostgreSQL's own number (`scram_iterations`), and RFC 7677's least.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
const SALT: usize = 16;

/// The SCRAM-SHA-256 verifier of a password, as `CREATE ROLE … PASSWORD` takes it: 4096 rounds, a random salt (RFC 7677;
/// the form is PostgreSQL's, "pg_authid").
pub fn verifier(password: &SecretText) -> SecretText {
    let mut salt = [0; SALT];
    // EXPOSE: to be hashed.
    let bytes = password.expose().as_bytes();
    // Normalising leaves ASCII as it is.
    if !bytes.is_ascii() || SystemEntropy.fill(&mut salt).is_err() {
        return SecretText::new(postgres_protocol::password::scram_sha_256(bytes));
    }
    SecretText::new(of(bytes, &salt))
}

/// RFC 5802, section 3: `StoredKey` and `ServerKey`.
fn of(password: &[u8], salt: &[u8; SALT]) -> String {
    let mut salted = SecretBytes::<32>::zeroed();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, password, salted.expose_mut());
    // EXPOSE: the keys are derived from it.
    let salted = Key::new(HMAC_SHA256, salted.expose());
    let stored = digest::digest(&digest::SHA256, sign(&salted, b"Client Key").as_ref());
    let server = sign(&salted, b"Server Key");
    let (salt, stored, server) = (STANDARD.encode(salt), STANDARD.encode(stored), STANDARD.encode(server));
    format!("SCRAM-SHA-256${ROUNDS}:{salt}${stored}:{server}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3: user `user`, password `pencil`.
    #[test]
    fn known_answer() {
        let salt: Vec<u8> = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            of(b"pencil", &salt.try_into().unwrap()),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
             WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn a_verifier_has_its_form_and_another_salt_each_time() {
        for password in ["pencil", "", "é\u{a0}x"] {
            let password = SecretText::from(password);
            let (a, b) = (verifier(&password), verifier(&password));
            assert!(a.expose().starts_with("SCRAM-SHA-256$4096:"));
            assert_eq!(a.len(), b.len());
            assert!(!a.ct_eq(b.expose().as_bytes()));
            assert!(!a.expose().contains("pencil"));
        }
    }
}
