//! A key share as its holder keeps it.
//!
//! 48 bytes: `version 1 ‖ number x ‖ cluster tag (4) ‖ set tag (6) ‖ y (32) ‖ check (4)`. On paper 96 hexadecimal
//! digits or 64 characters of base64, so the length alone tells which. The cluster tag is the beginning of SHA-256
//! of the cluster id; the set tag is random, new for each splitting. The check is the beginning of SHA-256 over all
//! that precedes it: it finds typing errors and is no secret. Nothing here tells whether `y` is right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_crypto::digest;
use coffre_secret::{SecretBytes, SecretVec};
use coffre_shamir::Share;

/// Bytes of a share.
pub const LEN: usize = 48;
const FORMAT: u8 = 1;
const HEX: usize = LEN * 2;
const BASE64: usize = LEN / 3 * 4;
const CHECK: usize = 4;

/// Why something is no share of this cluster. What is wrong with it can be seen from the share alone and from what
/// is public about the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadShare {
    /// Not 96 hexadecimal digits, nor 64 characters of base64.
    #[error("this is not a key share: a share is {HEX} hexadecimal digits or {BASE64} characters of base64")]
    Malformed,
    /// The check does not fit.
    #[error(
        "this key share contains a typing error, or a part of it is missing; compare it with the original"
    )]
    Mistyped,
    /// A format of another version.
    #[error("this key share has a format that this version does not know; use a newer version of the server")]
    Format,
    /// It belongs to another cluster.
    #[error("this key share belongs to another vault")]
    Foreign,
    /// It was made before the key was split anew.
    #[error("this key share belongs to another set of shares of this vault: the key was split anew since")]
    OtherSet,
    /// Its number is 0 or greater than the number of shares.
    #[error("there is no key share with the number {0}")]
    NoSuchNumber(u8),
}

/// Which shares belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    cluster: [u8; 4],
    set: [u8; 6],
}

impl Set {
    /// The set with this tag in this cluster.
    #[must_use]
    pub fn new(cluster_id: &str, set: [u8; 6]) -> Self {
        let [a, b, c, d, ..] = digest::sha256(cluster_id.as_bytes());
        Self { cluster: [a, b, c, d], set }
    }
}

/// The 48 bytes of a share; `None` unless its `y` has 32 bytes.
#[must_use]
pub fn encode(set: Set, share: &Share) -> Option<SecretVec> {
    if share.y().len() != 32 {
        return None;
    }
    let mut out = SecretVec::new(Vec::with_capacity(LEN));
    let bytes = out.expose_mut();
    bytes.extend_from_slice(&[FORMAT, share.x()]);
    bytes.extend_from_slice(&set.cluster);
    bytes.extend_from_slice(&set.set);
    // EXPOSE: the share is given to its holder.
    bytes.extend_from_slice(share.y().expose());
    let check = check(bytes);
    bytes.extend_from_slice(&check);
    Some(out)
}

/// Reads a share in any of its forms (48 raw bytes, hexadecimal, base64; white space around it is ignored) and
/// checks that it belongs to this set of `shares` shares. Any bytes are fine as input.
pub fn decode(given: &[u8], set: Set, shares: u8) -> Result<Share, BadShare> {
    let raw = raw(given)?;
    // EXPOSE: the share is taken apart.
    let bytes = raw.expose();
    let (body, sum) = bytes.split_last_chunk::<CHECK>().ok_or(BadShare::Malformed)?;
    if check(body) != *sum {
        return Err(BadShare::Mistyped);
    }
    let (&[format, x], rest) = body.split_first_chunk::<2>().ok_or(BadShare::Malformed)?;
    let (cluster, rest) = rest.split_first_chunk::<4>().ok_or(BadShare::Malformed)?;
    let (tag, y) = rest.split_first_chunk::<6>().ok_or(BadShare::Malformed)?;
    if format != FORMAT {
        return Err(BadShare::Format);
    }
    if *cluster != set.cluster {
        return Err(BadShare::Foreign);
    }
    if *tag != set.set {
        return Err(BadShare::OtherSet);
    }
    if x == 0 || x > shares {
        return Err(BadShare::NoSuchNumber(x));
    }
    Ok(Share::new(x, SecretVec::new(y.to_vec())))
}

fn raw(given: &[u8]) -> Result<SecretBytes<LEN>, BadShare> {
    if let Some(raw) = SecretBytes::copy_of(given) {
        return Ok(raw);
    }
    let text = given.trim_ascii();
    SecretBytes::fill_with(|out| match text.len() {
        HEX => hex::decode_to_slice(text, out).map_err(|_| BadShare::Malformed),
        BASE64 => match STANDARD.decode_slice(text, out) {
            Ok(LEN) => Ok(()),
            _ => Err(BadShare::Malformed),
        },
        _ => Err(BadShare::Malformed),
    })
}

fn check(body: &[u8]) -> [u8; CHECK] {
    let [a, b, c, d, ..] = digest::sha256(body);
    [a, b, c, d]
}
