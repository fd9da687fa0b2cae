//! Retired files, sealed to a recovery key whose secret half the operator keeps elsewhere: who retires files needs only
//! the public half, and nobody who reads the archive without the other half learns anything.
//!
//! The format: one line `coffre-archive/1 <plan id>\n`, then 32 bytes of encapsulated key, then the ciphertext. HPKE base
//! mode (RFC 9180), DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, from rustls over aws-lc; `info` is
//! `coffre migrate archive 1`, the additional data is the first line. Inside: JSON with each file's name, mode, owner,
//! SHA-256 and bytes (base64).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use coffre_crypto::digest;
use coffre_secret::{SecretText, SecretVec};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use serde::{Deserialize, Serialize};

const INFO: &[u8] = b"coffre migrate archive 1";
const MAGIC: &str = "coffre-archive/1 ";
const PUBLIC: &str = "coffre-recovery-1:";
const SECRET: &str = "coffre-recovery-secret-1:";
/// Of an X25519 key, and of what it encapsulates.
const KEY_LENGTH: usize = 32;

/// An archive or a key cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The text is no recovery key.
    #[error(
        "this is no recovery key; give the file that `migrate recovery-key` wrote (its public half ends in .pub)"
    )]
    NoKey,
    /// The library failed.
    #[error("the archive cannot be sealed; nothing was retired")]
    Seal,
    /// Another key, another plan, or changed bytes.
    #[error(
        "the archive does not open with this recovery key, or was changed; give the secret half of the key that it was sealed to"
    )]
    Open,
}

/// The half that seals.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey(Vec<u8>);

/// The half that opens; never shown.
pub struct OpenKey(SecretVec);

impl SealKey {
    /// From the text that [`fmt::Display`] writes; what stands around it is ignored.
    pub fn parse(text: &str) -> Result<Self, ArchiveError> {
        key_in(text, PUBLIC).map(Self).ok_or(ArchiveError::NoKey)
    }
}

impl fmt::Display for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl OpenKey {
    /// From the text that [`OpenKey::to_text`] gives; what stands around it is ignored.
    pub fn parse(text: &SecretText) -> Result<Self, ArchiveError> {
        // EXPOSE: taken apart; the key is secret again.
        key_in(text.expose(), SECRET).map(|bytes| Self(bytes.into())).ok_or(ArchiveError::NoKey)
    }

    /// For the operator's own file.
    #[must_use]
    pub fn to_text(&self) -> SecretText {
        // EXPOSE: encoded; the text is secret again.
        SecretText::new(format!("{SECRET}{}", URL_SAFE_NO_PAD.encode(self.0.expose())))
    }
}

impl fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenKey(…)")
    }
}

fn key_in(text: &str, prefix: &str) -> Option<Vec<u8>> {
    let encoded = text.split_whitespace().find_map(|word| word.strip_prefix(prefix))?;
    URL_SAFE_NO_PAD.decode(encoded).ok().filter(|bytes| bytes.len() == KEY_LENGTH)
}

/// Draws a pair; randomness is the library's.
pub fn recovery_key() -> Result<(SealKey, OpenKey), ArchiveError> {
    let (public, secret) = SUITE.generate_key_pair().map_err(|_| ArchiveError::Seal)?;
    Ok((SealKey(public.0), OpenKey(secret.secret_bytes().to_vec().into())))
}

/// A file as it was.
pub struct Kept {
    /// Its name, as the plan calls it.
    pub name: String,
    /// Its content.
    pub bytes: SecretVec,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    mode: u32,
    uid: u32,
    gid: u32,
    sha256: String,
    bytes: String,
}

/// Seals files for a plan.
pub(crate) fn seal(plan: &str, files: &[Kept], key: &SealKey) -> Result<Vec<u8>, ArchiveError> {
    let entries: Vec<Entry> = files
        .iter()
        .map(|file| Entry {
            name: file.name.clone(),
            mode: file.mode,
            uid: file.uid,
            gid: file.gid,
            // EXPOSE: into the archive, which is sealed below.
            sha256: digest::hex(&digest::sha256(file.bytes.expose())),
            bytes: STANDARD.encode(file.bytes.expose()),
        })
        .collect();
    let plain = SecretVec::new(serde_json::to_vec(&entries).map_err(|_| ArchiveError::Seal)?);
    drop_plain(entries);
    let head = format!("{MAGIC}{plan}\n");
    let (encapsulated, sealed) = SUITE
        // EXPOSE: sealed.
        .seal(INFO, head.as_bytes(), plain.expose(), &HpkePublicKey(key.0.clone()))
        .map_err(|_| ArchiveError::Seal)?;
    Ok([head.as_bytes(), &encapsulated.0, &sealed].concat())
}

/// Opens what [`seal`] made, and checks each file against its SHA-256.
pub(crate) fn open(plan: &str, archive: &[u8], key: &OpenKey) -> Result<Vec<Kept>, ArchiveError> {
    let head = format!("{MAGIC}{plan}\n");
    let rest = archive.strip_prefix(head.as_bytes()).ok_or(ArchiveError::Open)?;
    let (encapsulated, sealed) = rest.split_at_checked(KEY_LENGTH).ok_or(ArchiveError::Open)?;
    // EXPOSE: opens with it; the library wipes its copy.
    let secret = HpkePrivateKey::from(key.0.expose().clone());
    let plain = SUITE
        .open(&EncapsulatedSecret(encapsulated.to_vec()), INFO, head.as_bytes(), sealed, &secret)
        .map_err(|_| ArchiveError::Open)?;
    let plain = SecretVec::new(plain);
    // EXPOSE: taken apart; the bytes are secret again.
    let entries: Vec<Entry> = serde_json::from_slice(plain.expose()).map_err(|_| ArchiveError::Open)?;
    let files: Option<Vec<Kept>> = entries.iter().map(kept).collect();
    drop_plain(entries);
    files.ok_or(ArchiveError::Open)
}

fn kept(entry: &Entry) -> Option<Kept> {
    let bytes = SecretVec::new(STANDARD.decode(&entry.bytes).ok()?);
    // EXPOSE: checked.
    let same = digest::hex(&digest::sha256(bytes.expose())) == entry.sha256;
    same.then(|| Kept { name: entry.name.clone(), bytes, mode: entry.mode, uid: entry.uid, gid: entry.gid })
}

/// Wipes the encoded content.
fn drop_plain(entries: Vec<Entry>) {
    for entry in entries {
        drop(SecretText::new(entry.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_own_key_for_its_own_plan_alone() {
        let (public, secret) = recovery_key().unwrap();
        let public = SealKey::parse(&format!("# a key\n{public}\n")).unwrap();
        let file = Kept {
            name: ".env".into(),
            bytes: b"A=hunter2\r\n\xff".to_vec().into(),
            mode: 0o640,
            uid: 1,
            gid: 2,
        };
        let archive = seal("p1", &[file], &public).unwrap();
        assert!(!archive.windows(7).any(|window| window == b"hunter2"));
        let secret = OpenKey::parse(&secret.to_text()).unwrap();
        let opened = open("p1", &archive, &secret).unwrap();
        // EXPOSE: the test's own.
        assert_eq!((opened[0].bytes.expose().as_slice(), opened[0].mode), (&b"A=hunter2\r\n\xff"[..], 0o640));
        assert!(open("p2", &archive, &secret).is_err());
        assert!(open("p1", &archive, &recovery_key().unwrap().1).is_err());
        for at in 0..archive.len() {
            let mut changed = archive.clone();
            changed[at] ^= 1;
            assert!(open("p1", &changed, &secret).is_err(), "{at}");
            assert!(open("p1", &archive[..at], &secret).is_err(), "{at}");
        }
        assert!(
            SealKey::parse("coffre-recovery-1:AAAA").is_err() && !format!("{secret:?}").contains("secret-1")
        );
    }
}
