//! Hashes of passwords: made with Argon2id, verified with that or, if they came from elsewhere, with bcrypt.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use coffre_ambient::Entropy;
use coffre_api::Refusal;
use coffre_secret::{SecretText, ct_eq};
use serde::{Deserialize, Serialize};

/// OWASP, "Password Storage Cheat Sheet", Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT: usize = 16;
const LENGTH: usize = 32;
/// bcrypt looks at no more of a password (and stops at a NUL), so two passwords could be one.
const BCRYPT_MOST: usize = 72;
/// A login with cost 15 takes a few seconds; more would let one user hold up the others.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=15;

/// The hash of a password. Not shown to anybody, also not in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PasswordHash {
    /// Argon2id, version 0x13; each hash knows its parameters, so that they can be raised.
    Argon2id {
        memory_kib: u32,
        passes: u32,
        lanes: u32,
        #[serde(with = "hex::serde")]
        salt: Vec<u8>,
        #[serde(with = "hex::serde")]
        hash: Vec<u8>,
    },
    /// As it was given: `$2b$…`.
    Bcrypt(String),
}

impl PasswordHash {
    /// Hashes a password. Takes about 20 ms of one core and 19 MiB: run it in the pool.
    pub(super) fn of(password: &SecretText, salt: [u8; SALT]) -> Result<Self, Refusal> {
        let (salt, lanes) = (salt.to_vec(), LANES);
        let hash = argon2id(password, &salt, MEMORY_KIB, PASSES, LANES)?;
        Ok(Self::Argon2id { memory_kib: MEMORY_KIB, passes: PASSES, lanes, salt, hash: hash.to_vec() })
    }

    /// A salt for [`Self::of`].
    pub(super) fn salt(entropy: &dyn Entropy) -> Result<[u8; SALT], Refusal> {
        let mut salt = [0; SALT];
        entropy.fill(&mut salt).map_err(Refusal::bug)?;
        Ok(salt)
    }

    /// What an unknown user's password is compared with: the same work, and never right.
    pub(super) fn decoy() -> Self {
        Self::Argon2id {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: vec![0; SALT],
            hash: Vec::new(),
        }
    }

    /// Takes a bcrypt hash from another system.
    pub(super) fn imported(text: &str) -> Result<Self, Refusal> {
        let parts = text.parse::<bcrypt::HashParts>();
        // `$2a$`, `$2b$`, `$2x$`, `$2y$`; the second is what present libraries make, and Go's makes the first.
        let known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
        match parts {
            Ok(parts) if known && BCRYPT_COSTS.contains(&parts.get_cost()) => {
                Ok(Self::Bcrypt(text.to_owned()))
            }
            _ => Err(Refusal::invalid(
                "password_hash must be a bcrypt hash ($2a$, $2b$ or $2y$) with a cost of 4 to 15",
            )),
        }
    }

    /// Whether it came from elsewhere and is to be replaced.
    pub(super) const fn is_imported(&self) -> bool {
        matches!(self, Self::Bcrypt(_))
    }

    /// Whether this is the password. As slow as [`Self::of`]: run it in the pool.
    pub(super) fn verify(&self, password: &SecretText) -> Result<bool, Refusal> {
        match self {
            Self::Argon2id { memory_kib, passes, lanes, salt, hash } => {
                Ok(ct_eq(&argon2id(password, salt, *memory_kib, *passes, *lanes)?, hash))
            }
            Self::Bcrypt(text) => {
                // EXPOSE: hashed here. What bcrypt would cut off is refused, after the same work.
                let bytes = password.expose().as_bytes();
                let is_whole = bytes.len() <= BCRYPT_MOST && !bytes.contains(&0);
                let bytes = bytes.get(..BCRYPT_MOST).unwrap_or(bytes);
                let is_right = bcrypt::verify(bytes, text)
                    .map_err(|_| Refusal::bug("a stored bcrypt hash cannot be read"))?;
                Ok(is_right && is_whole)
            }
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

fn argon2id(
    password: &SecretText,
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
    lanes: u32,
) -> Result<[u8; LENGTH], Refusal> {
    let params = Params::new(memory_kib, passes, lanes, Some(LENGTH)).map_err(odd)?;
    let mut hash = [0; LENGTH];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    // EXPOSE: hashed here.
    argon2.hash_password_into(password.expose().as_bytes(), salt, &mut hash).map_err(odd)?;
    Ok(hash)
}

fn odd(_: argon2::Error) -> Refusal {
    Refusal::bug("a password could not be hashed: its record has parameters that Argon2 does not take")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(password: &str) -> SecretText {
        SecretText::from(password)
    }

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let hash = PasswordHash::of(&text("correct horse"), [7; SALT]).unwrap();
        assert!(hash.verify(&text("correct horse")).unwrap());
        assert!(!hash.verify(&text("correct horse ")).unwrap());
        assert!(!hash.verify(&text("")).unwrap());
        let stored = serde_json::to_string(&hash).unwrap();
        assert!(serde_json::from_str::<PasswordHash>(&stored).unwrap() == hash);
        assert!(!PasswordHash::decoy().verify(&text("")).unwrap());
    }

    #[test]
    fn argon2id_is_that_of_the_reference() {
        // `src/test.c` of the reference implementation, version 0x13, 256 KiB.
        let hash = argon2id(&text("password"), b"somesalt", 256, 2, 1).unwrap();
        assert_eq!(hex::encode(hash), "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");
    }

    #[test]
    fn a11_nothing_is_cut_off() {
        let long = format!("{}b", "a".repeat(72));
        let hash = PasswordHash::of(&text(&long), [1; SALT]).unwrap();
        assert!(!hash.verify(&text(&format!("{}c", "a".repeat(72)))).unwrap());
        assert!(!hash.verify(&text(&format!("{long}\0"))).unwrap());
        let imported =
            PasswordHash::imported(&bcrypt::hash_with_salt("a".repeat(72), 4, [3; 16]).unwrap().to_string());
        let imported = imported.unwrap();
        assert!(imported.verify(&text(&"a".repeat(72))).unwrap());
        assert!(!imported.verify(&text(&long)).unwrap());
        assert!(!imported.verify(&text(&format!("{}\0", "a".repeat(71)))).unwrap());
    }

    #[test]
    fn only_bcrypt_within_bounds_is_imported() {
        let good = bcrypt::hash_with_salt("x", 4, [3; 16]).unwrap().to_string();
        assert!(PasswordHash::imported(&good).is_ok());
        for bad in ["", "x", "$2b$10$", "$1$abc$def", &good.replace("$04$", "$31$"), &good[..50]] {
            assert!(PasswordHash::imported(bad).is_err(), "{bad}");
        }
    }
}
