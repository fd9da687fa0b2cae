//! What keeps a share or a token unreadable on its way to its holder.
//!
//! A one-time password covers a token by XOR, byte by byte, written in base64 without padding, as Vault's clients expect
//! and undo themselves. A PGP key covers a token, or a share's hexadecimal digits, as an OpenPGP message.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use coffre_ambient::{Entropy, Wall, ids};
use coffre_api::{Refusal, SecretField};
use coffre_pgp::{EncryptFailed, PublicKey};
use coffre_secret::{SecretText, SecretVec};

use super::secret;
use crate::tokens::{SERVICE_PREFIX, TOKEN_LEN};

/// How many bytes a one-time password has: those of a token.
pub(crate) const fn otp_length() -> usize {
    SERVICE_PREFIX.len() + TOKEN_LEN
}

/// How a token is covered.
pub(crate) enum Cover {
    /// By XOR with as many bytes.
    Otp(SecretText),
    /// As a message to this key's owner.
    Pgp(Box<PublicKey>),
}

impl Cover {
    /// One of the two that a caller may choose; neither draws a one-time password, which is given back.
    pub(crate) fn choose(
        otp: Option<SecretField>,
        pgp_key: &str,
        now: Wall,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Option<SecretField>), Refusal> {
        match otp.filter(|otp| !otp.is_empty()) {
            Some(_) if !pgp_key.is_empty() => Err(Refusal::invalid("give `otp` or `pgp_key`, not both")),
            // EXPOSE: counted.
            Some(otp) if otp.expose().len() != otp_length() => Err(Refusal::invalid(format!(
                "OTP string is wrong length: it must have {} bytes",
                otp_length()
            ))),
            Some(otp) => Ok((Self::Otp(otp.into_secret()), None)),
            None if !pgp_key.is_empty() => Ok((Self::Pgp(Box::new(pgp_key_of(pgp_key, now)?)), None)),
            None => {
                let otp = SecretText::new(ids::base62(entropy, otp_length()).map_err(Refusal::bug)?);
                let shown = SecretField::new(otp.duplicate());
                Ok((Self::Otp(otp), Some(shown)))
            }
        }
    }

    /// The fingerprint of the PGP key; empty without one.
    pub(crate) fn fingerprint(&self) -> String {
        match self {
            Self::Otp(_) => String::new(),
            Self::Pgp(key) => key.fingerprint(),
        }
    }

    /// The token, covered, as text.
    pub(crate) fn cover(&self, token: &SecretText, entropy: &dyn Entropy) -> Result<SecretField, Refusal> {
        // EXPOSE: covered here.
        let bytes = token.expose().as_bytes();
        match self {
            // EXPOSE: covers the token.
            Self::Otp(otp) => {
                Ok(secret(STANDARD_NO_PAD.encode(xor(bytes, otp.expose().as_bytes()).expose())))
            }
            Self::Pgp(key) => Ok(secret(STANDARD.encode(encrypt(key, bytes, entropy)?))),
        }
    }
}

/// The token below a one-time password. It reads nothing but its arguments.
pub(crate) fn uncover(encoded: &SecretField, otp: &SecretField) -> Result<SecretField, Refusal> {
    // EXPOSE: the caller's own values, combined for the caller.
    let text = encoded.expose().trim().trim_end_matches('=');
    let covered = STANDARD_NO_PAD.decode(text).map(SecretVec::new);
    let covered = covered.map_err(|_| Refusal::invalid("encoded_token is not base64"))?;
    // EXPOSE: as above.
    if covered.expose().len() != otp.expose().len() {
        return Err(Refusal::invalid("encoded_token and otp do not belong together: their lengths differ"));
    }
    // EXPOSE: as above.
    let token = xor(covered.expose(), otp.expose().as_bytes());
    let token = std::str::from_utf8(token.expose());
    let token = token.map_err(|_| Refusal::invalid("encoded_token and otp do not belong together"))?;
    Ok(secret(token.to_owned()))
}

/// A PGP key for each of `count` shares, or none at all.
pub(crate) fn pgp_keys(texts: &[String], count: u8, now: Wall) -> Result<Vec<PublicKey>, Refusal> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    if texts.len() != usize::from(count) {
        return Err(Refusal::invalid(format!(
            "the number of PGP keys ({}) and of shares ({count}) must be the same",
            texts.len()
        )));
    }
    texts.iter().map(|text| pgp_key_of(text, now)).collect()
}

/// One PGP key.
pub(crate) fn pgp_key_of(text: &str, now: Wall) -> Result<PublicKey, Refusal> {
    PublicKey::parse(text, now).map_err(|bad| Refusal::invalid(bad.to_string()))
}

/// A message to the key's owner.
pub(crate) fn encrypt(key: &PublicKey, plain: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, Refusal> {
    key.encrypt(plain, entropy).map_err(|failed| match failed {
        EncryptFailed::Key => Refusal::invalid(failed.to_string()),
        EncryptFailed::Entropy(failed) => Refusal::bug(failed),
    })
}

/// As long as the shorter of the two; callers compare the lengths.
fn xor(a: &[u8], b: &[u8]) -> SecretVec {
    SecretVec::new(a.iter().zip(b).map(|(a, b)| a ^ b).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffre_ambient::SystemEntropy;

    #[test]
    fn a_covered_token_is_uncovered_by_its_password_alone() {
        let now = Wall::from_secs(0);
        let token = SecretText::from("hvs.abcdefghijklmnopqrstuvwx");
        let (cover, otp) = Cover::choose(None, "", now, &SystemEntropy).unwrap();
        let (covered, otp) = (cover.cover(&token, &SystemEntropy).unwrap(), otp.unwrap());
        assert_eq!(uncover(&covered, &otp).unwrap().expose(), token.expose());
        assert!(!covered.expose().contains('='));
        let other = secret("x".repeat(otp_length()));
        assert_ne!(
            uncover(&covered, &other).map(|t| t.expose().to_owned()).ok(),
            Some(token.expose().to_owned())
        );
        assert!(uncover(&covered, &secret("short".into())).is_err());
        assert!(uncover(&secret("*".into()), &otp).is_err());
    }

    #[test]
    fn a_cover_is_one_of_the_two_and_fits() {
        let choose = |otp: &str, pgp: &str| {
            Cover::choose(Some(secret(otp.into())), pgp, Wall::from_secs(0), &SystemEntropy)
        };
        assert!(choose(&"o".repeat(28), "").is_ok());
        assert!(choose(&"o".repeat(27), "").is_err());
        assert!(choose(&"o".repeat(28), "key").is_err());
        assert!(choose("", "keybase:me").is_err());
    }
}
