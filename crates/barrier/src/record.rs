//! The format of a record at rest.
//!
//! `version (1 byte) ‖ term (u32) ‖ record version (u64) ‖ nonce (96 bits) ‖ ciphertext ‖ tag (128 bits)`, numbers
//! big-endian. Associated data: version ‖ term ‖ length of the cluster id (u32) ‖ cluster id ‖ length of the path
//! (u32) ‖ full path ‖ record version. So each byte of a record is authenticated, and it opens only in its cluster,
//! at its path, under its term. The lengths keep two different places from looking alike.

use coffre_ambient::Entropy;
use coffre_crypto::envelope::{Envelope, OVERHEAD, SealFailed};
use coffre_secret::SecretVec;

/// The one format there is. No reader of another one exists.
pub const VERSION: u8 = 1;
/// Bytes before the nonce.
const HEADER: usize = 1 + 4 + 8;

/// Where a record belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The cluster's id.
    pub cluster: &'a str,
    /// The full storage key.
    pub path: &'a str,
}

/// What a record says about itself. Not to be believed before the record was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The term of the key that sealed it; 0 for the barrier's own records.
    pub term: u32,
    /// The number of the message.
    pub version: u64,
}

/// The bytes are no record, or none that belongs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a record of this place")]
pub struct BadRecord;

/// Reads the header; any bytes are fine as input.
pub fn header(bytes: &[u8]) -> Result<Header, BadRecord> {
    split(bytes).map(|(header, _)| header)
}

/// Makes the record of `plain`.
pub fn seal(
    envelope: &Envelope,
    place: Place<'_>,
    header: Header,
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealFailed> {
    let mut out = Vec::with_capacity(HEADER + OVERHEAD + plain.len());
    out.push(VERSION);
    out.extend_from_slice(&header.term.to_be_bytes());
    out.extend_from_slice(&header.version.to_be_bytes());
    envelope.seal_onto(&associated(place, header), plain, entropy, &mut out)?;
    Ok(out)
}

/// Opens a record at its place; any bytes are fine as input.
pub fn open(envelope: &Envelope, place: Place<'_>, bytes: &[u8]) -> Result<SecretVec, BadRecord> {
    let (header, sealed) = split(bytes)?;
    envelope.open(&associated(place, header), sealed).map_err(|_| BadRecord)
}

fn split(bytes: &[u8]) -> Result<(Header, &[u8]), BadRecord> {
    let (&[version], rest) = bytes.split_first_chunk::<1>().ok_or(BadRecord)?;
    let (term, rest) = rest.split_first_chunk::<4>().ok_or(BadRecord)?;
    let (number, sealed) = rest.split_first_chunk::<8>().ok_or(BadRecord)?;
    if version != VERSION || sealed.len() < OVERHEAD {
        return Err(BadRecord);
    }
    Ok((Header { term: u32::from_be_bytes(*term), version: u64::from_be_bytes(*number) }, sealed))
}

fn associated(place: Place<'_>, header: Header) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut data = Vec::with_capacity(HEADER + 8 + place.cluster.len() + place.path.len());
    data.push(VERSION);
    data.extend_from_slice(&header.term.to_be_bytes());
    data.extend_from_slice(&length(place.cluster));
    data.extend_from_slice(place.cluster.as_bytes());
    data.extend_from_slice(&length(place.path));
    data.extend_from_slice(place.path.as_bytes());
    data.extend_from_slice(&header.version.to_be_bytes());
    data
}
