//! Encrypted texts: `e1.<kid>.<Fernet token>`, and bare Fernet tokens from before there were rings, which only the
//! legacy key opens. Fernet: <https://github.com/fernet/spec>.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use coffre_rotation::keyring::{Key, Keyring};
use coffre_secret::{SecretText, SecretVec};
use fernet::Fernet;

/// What stands before the key id.
const PREFIX: &str = "e1.";
/// How each Fernet token begins: version 0x80 and the high bytes of a time of this century.
pub(super) const BARE: &str = "gAAAAA";

/// Under what a text stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stands<'a> {
    /// It names its key.
    Under(&'a str),
    /// A Fernet token that names no key.
    Bare,
    /// Not one of ours.
    Plain,
}

/// Under what a text stands, without opening it.
#[must_use]
pub fn stands(text: &str) -> Stands<'_> {
    let named = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.'));
    let is_id = |kid: &str| {
        (1..=64).contains(&kid.len())
            && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    match named {
        Some((kid, _)) if is_id(kid) => Stands::Under(kid),
        _ if text.starts_with(BARE) => Stands::Bare,
        _ => Stands::Plain,
    }
}

/// The key of the ring that a text stands under, if it has it.
#[must_use]
pub(super) fn key_of<'a>(ring: &'a Keyring, text: &str) -> Option<&'a Key> {
    match stands(text) {
        Stands::Under(kid) => ring.by_kid(kid),
        Stands::Bare => ring.legacy(),
        Stands::Plain => None,
    }
}

/// The content of a text under this key; `None` if it does not open.
#[must_use]
pub fn opens(key: &Key, text: &str) -> Option<SecretVec> {
    let token = token_of(text);
    // The token's own time as the present: what was written by a clock that runs ahead is not refused.
    cipher(key)?.decrypt_at_time(token, None, time_of(token)?).ok().map(SecretVec::new)
}

/// A text under this key, written at `seconds` since 1970.
#[must_use]
pub fn encrypt(key: &Key, content: &[u8], seconds: u64) -> Option<SecretText> {
    let token = cipher(key)?.encrypt_at_time(content, seconds);
    Some(SecretText::new(format!("{PREFIX}{}.{token}", key.kid())))
}

/// The same content under the ring's active key, with the time at which it was first written. `None` if it does not open.
#[must_use]
pub fn rewritten(ring: &Keyring, from: &Key, text: &str) -> Option<SecretText> {
    let content = opens(from, text)?;
    // EXPOSE: goes from one text into the next.
    encrypt(ring.active()?, content.expose(), time_of(token_of(text))?)
}

/// Whether the key is one for Fernet, and decrypts what it encrypted.
#[must_use]
pub fn is_usable(key: &Key) -> bool {
    const TRIAL: &[u8] = b"coffre encrypts this to try a key; it means nothing";
    let text = encrypt(key, TRIAL, 1_700_000_000);
    // EXPOSE: a text of ours.
    text.and_then(|text| opens(key, text.expose())).is_some_and(|content| content.ct_eq(TRIAL))
}

fn token_of(text: &str) -> &str {
    match stands(text) {
        Stands::Under(_) => text.splitn(3, '.').nth(2).unwrap_or_default(),
        _ => text,
    }
}

/// The time in a token: after its version, eight bytes.
fn time_of(token: &str) -> Option<u64> {
    let head = URL_SAFE.decode(token.get(..12)?).ok()?;
    Some(u64::from_be_bytes(head.get(1..9)?.try_into().ok()?))
}

/// The cipher of a key: 32 bytes in either alphabet of RFC 4648, as the Python package reads them.
fn cipher(key: &Key) -> Option<Fernet> {
    // EXPOSE: the cipher is made from it.
    let digits = SecretText::new(key.material().expose().trim().replace('-', "+").replace('_', "/"));
    let raw = SecretVec::new(STANDARD.decode(digits.expose()).ok()?);
    let urlsafe = SecretText::new(URL_SAFE.encode(raw.expose()));
    if raw.len() == 32 { Fernet::new(urlsafe.expose()) } else { None }
}
