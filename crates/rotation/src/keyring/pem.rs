//! PEM (RFC 7468) of single keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_secret::{SecretText, SecretVec};

/// The bytes of the first private key: PKCS #8, or the forms of its family.
pub(super) fn private(text: &str) -> Option<SecretVec> {
    ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]
        .iter()
        .find_map(|label| block(text, label))
        .map(SecretVec::new)
}

/// The bytes of a public key, where there is no private one.
pub(super) fn public(text: &str) -> Option<Vec<u8>> {
    if text.contains("PRIVATE KEY-----") {
        return None;
    }
    block(text, "PUBLIC KEY")
}

/// A private key in PKCS #8 as text.
pub(super) fn of_private(der: &SecretVec) -> SecretText {
    // EXPOSE: the text is secret again.
    SecretText::new(encode("PRIVATE KEY", der.expose()))
}

/// A public key (`SubjectPublicKeyInfo`) as text.
pub(super) fn of_public(der: &[u8]) -> String {
    encode("PUBLIC KEY", der)
}

fn block(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, after) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = after.split_once(&format!("-----END {label}-----"))?;
    let digits = SecretText::new(body.chars().filter(|each| !each.is_ascii_whitespace()).collect());
    // EXPOSE: to be decoded.
    STANDARD.decode(digits.expose()).ok()
}

fn encode(label: &str, der: &[u8]) -> String {
    let digits = SecretText::new(STANDARD.encode(der));
    let mut text = format!("-----BEGIN {label}-----\n");
    // EXPOSE: written into the text, which the caller keeps.
    for (at, digit) in digits.expose().chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(digit);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}
