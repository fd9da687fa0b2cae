//! A copy of an old key that only the offline recovery key opens, an OpenPGP message as every OpenPGP program reads it.
//! Who has backups for longer than keys opens it with that key, years later and without us.

use std::sync::Arc;

use coffre_pgp::PublicKey;
use coffre_rotation::destruction::Escrow;
use coffre_rotation::keyring::Key;
use coffre_rotation::{EscrowCopy, WireDocument as _, WriteId, paths};

use crate::{At, Failure, Kv};

/// The note of the record about the copy that was made.
pub(super) const NOTE: &str = "escrow";

/// Where copies are kept, and for whom.
pub struct Safe {
    kv: Arc<dyn Kv>,
    environment: String,
    recovery: String,
}

impl Safe {
    /// `recovery` is the public half of the recovery key, armoured or in base64. It is looked at when it is used: it may
    /// expire, or be of no use.
    #[must_use]
    pub fn new(kv: Arc<dyn Kv>, environment: &str, recovery: &str) -> Self {
        Self { kv, environment: environment.to_owned(), recovery: recovery.to_owned() }
    }

    /// Why it cannot be used now.
    pub(super) fn problem(&self, at: &At<'_>) -> Option<String> {
        let bad = PublicKey::parse(&self.recovery, at.now).err()?;
        Some(format!("`escrow` is not a recovery key that copies can be sealed to: {bad}"))
    }

    /// The copy of a key. It is made if there is none, or not the one that the record knows: what somebody else put in its
    /// place opens nothing. A recovery key that cannot be used is no failure of the engine, and holds the destruction up.
    pub(super) async fn copy(&self, at: &At<'_>, key: &Key) -> Result<Escrow, Failure> {
        let recovery = match PublicKey::parse(&self.recovery, at.now) {
            Ok(recovery) => recovery,
            Err(bad) => return Ok(Escrow::Failed(bad.to_string())),
        };
        let (target, gen_no) = (&at.record.target, key.generation());
        let path = paths::escrow(&self.environment, target, gen_no);
        let noted = at.record.retiring_gen(gen_no).and_then(|old| old.notes.get(NOTE));
        let (version, held) = self.held(&path).await?;
        let is_it = |copy: &EscrowCopy| {
            copy.gen_no == gen_no && copy.kid == key.kid() && copy.recipient == recovery.fingerprint()
        };
        if let Some(copy) = held.filter(is_it).filter(|copy| noted == Some(&said(copy))) {
            return Ok(sealed(&copy));
        }
        // EXPOSE: sealed to the recovery key.
        let message = match recovery.encrypt(key.material().expose().as_bytes(), at.entropy) {
            Ok(message) => message,
            Err(coffre_pgp::EncryptFailed::Entropy(failed)) => return Err(failed.into()),
            Err(failed) => return Ok(Escrow::Failed(failed.to_string())),
        };
        let recipient = recovery.fingerprint();
        let mut copy = EscrowCopy::new(target.clone(), gen_no, key.kid(), recipient, &message, at.now);
        copy.write = WriteId::draw(at.now, at.entropy)?;
        self.kv.write(&path, &copy.write()?, version).await?;
        match self.held(&path).await? {
            (_, Some(back)) if back == copy => Ok(sealed(&copy)),
            _ => Err(Failure::conflict(format!("{path} is not what was written there"))),
        }
    }

    async fn held(&self, path: &str) -> Result<(u64, Option<EscrowCopy>), Failure> {
        let Some(read) = self.kv.read(path, None).await? else { return Ok((0, None)) };
        // EXPOSE: sealed; nobody opens it here.
        let copy = read.document.and_then(|text| EscrowCopy::parse(text.expose().as_bytes()).ok());
        Ok((read.version, copy))
    }
}

/// What the record remembers of a copy.
fn said(copy: &EscrowCopy) -> String {
    note(&copy.digest(), &copy.recipient)
}

pub(super) fn note(digest: &str, recipient: &str) -> String {
    format!("{digest} for {recipient}")
}

fn sealed(copy: &EscrowCopy) -> Escrow {
    Escrow::Sealed { recipient: copy.recipient.clone(), digest: copy.digest() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use coffre_ambient::{SeededEntropy, Wall};
    use coffre_rotation::keyring::{Keyring, NewKey};
    use coffre_rotation::{Kind, Record, Target};
    use coffre_secret::SecretText;
    use serde_json::json;

    use super::*;
    use crate::{BoxFuture, Manage, Metadata, Version};

    /// `gpg --quick-generate-key … ed25519`, with a subkey `cv25519`; `gpg --export | base64`. Nobody has its other half.
    const RECOVERY: &str = "mDMEawOwexYJKwYBBAHaRw8BAQdAefaP5GVjKj6HHNZAP1yahxYS9/JduFczdajrY9artli0H1JlY292ZXJ5IDxyZWNvdmVyeUBleGFtcGxlLm9yZz6IkAQTFggAOBYhBLQBb4/asAvRDVeTyE4YcOnt6qKABQJrA7B7AhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEE4YcOnt6qKAv/MA/i0V1TwUz9b4PTqm/muZgtKIe7w6fJc35BF0DouQdkwYAP9kSEcA6moxuOaOMT+hH2+LvpBEf6We33Unq6TbwBOVBLg4BGsDsHsSCisGAQQBl1UBBQEBB0BTFyMRCrBAfx14Rdhzt5Q0XnaJp19Uqszgv9XsSa1NBQMBCAeIeAQYFggAIBYhBLQBb4/asAvRDVeTyE4YcOnt6qKABQJrA7B7AhsMAAoJEE4YcOnt6qKAkxoBANX4KdFdJ1lcpavzwEIqrNgqKG5NulwIqV1HZerfD4fWAQDQ0JhtzVDpvdBsUIXpn2Ng4+aDKPYgyBdx8DmObUX2AA==";
    const FINGERPRINT: &str = "b4016f8fdab00bd10d5793c84e1870e9edeaa280";
    const NOW: Wall = Wall::from_secs(1_800_000_000);
    const PATH: &str = "prod/_rot/escrow/encryption/master_key/3";

    #[derive(Default)]
    struct Shelf(Mutex<BTreeMap<String, (u64, String)>>);

    impl Kv for Shelf {
        fn read<'a>(
            &'a self,
            path: &'a str,
            _: Option<u64>,
        ) -> BoxFuture<'a, Result<Option<Version>, Failure>> {
            let found = self.0.lock().unwrap().get(path).cloned();
            let version = |(version, text): (u64, String)| {
                let document = Some(SecretText::from(text));
                Version { version, document, destroyed: false, created: Some(NOW) }
            };
            Box::pin(async move { Ok(found.map(version)) })
        }

        fn write<'a>(
            &'a self,
            path: &'a str,
            document: &'a SecretText,
            cas: u64,
        ) -> BoxFuture<'a, Result<u64, Failure>> {
            let mut all = self.0.lock().unwrap();
            let held = all.entry(path.to_owned()).or_default();
            assert_eq!(held.0, cas);
            *held = (cas + 1, document.expose().clone());
            Box::pin(async move { Ok(cas + 1) })
        }

        fn list<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn metadata<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Metadata>, Failure>> {
            Box::pin(async { Ok(None) })
        }

        fn manage<'a>(&'a self, _: &'a str, _: Manage) -> BoxFuture<'a, Result<(), Failure>> {
            Box::pin(async { Ok(()) })
        }

        fn server_time(&self) -> Option<Wall> {
            None
        }
    }

    const MATERIAL: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn ring() -> Keyring {
        Keyring::of_one(NewKey {
            generation: 3,
            material: SecretText::from(MATERIAL),
            algorithm: None,
            created: NOW,
            use_not_before: None,
        })
        .unwrap()
    }

    fn record(note: Option<&Escrow>) -> Record {
        let target = Target::new("encryption/master_key").unwrap();
        let mut record = Record::new(target, Kind::EncryptionKey, "one".to_owned(), 4, NOW);
        let mut old =
            json!({"gen": 3, "since": NOW.rfc3339(), "earliest_retire": NOW.rfc3339(), "phase": "DESTROY"});
        if let Some(Escrow::Sealed { recipient, digest }) = note {
            old["notes"] = json!({ NOTE: super::note(digest, recipient) });
        }
        record.retiring = vec![serde_json::from_value(old).unwrap()];
        record
    }

    async fn copy(kv: &Arc<Shelf>, recovery: &str, note: Option<&Escrow>, seed: u64) -> Escrow {
        let (record, entropy, ring) = (record(note), SeededEntropy::new(seed), ring());
        let (document, earlier) = (None, None);
        let at = At { record: &record, document, earlier, fence: 1, now: NOW, until: NOW, entropy: &entropy };
        let kv = Arc::clone(kv) as Arc<dyn Kv>;
        Safe::new(kv, "prod", recovery).copy(&at, ring.active().unwrap()).await.unwrap()
    }

    fn stored(kv: &Shelf) -> (u64, String) {
        kv.0.lock().unwrap()[PATH].clone()
    }

    #[tokio::test]
    async fn a_copy_is_made_once_and_again_if_it_is_not_the_one_that_is_known() {
        let kv = Arc::new(Shelf::default());
        let first = copy(&kv, RECOVERY, None, 1).await;
        let Escrow::Sealed { recipient, digest } = &first else { panic!("{first:?}") };
        assert_eq!((recipient.as_str(), digest.len()), (FINGERPRINT, 71));
        let (version, text) = stored(&kv);
        assert!(version == 1 && !text.contains(MATERIAL));
        assert_eq!(copy(&kv, RECOVERY, Some(&first), 2).await, first, "it is there");
        assert_eq!(stored(&kv).0, 1);

        let unknown = copy(&kv, RECOVERY, None, 3).await;
        assert!(unknown != first && stored(&kv).0 == 2, "a copy that nobody noted is not believed");
        kv.0.lock().unwrap().get_mut(PATH).unwrap().1 = text.replace("\"gen\":3", "\"gen\":2");
        let third = copy(&kv, RECOVERY, Some(&unknown), 4).await;
        assert!(third != unknown && stored(&kv).0 == 3, "of another key");
        kv.0.lock().unwrap().get_mut(PATH).unwrap().1 = "{}".to_owned();
        assert_ne!(copy(&kv, RECOVERY, Some(&third), 5).await, third);
        kv.0.lock().unwrap().remove(PATH);
        assert_ne!(copy(&kv, RECOVERY, Some(&third), 6).await, third, "it is gone");
    }

    #[tokio::test]
    async fn a_recovery_key_that_is_none_is_said_and_nothing_is_written() {
        let kv = Arc::new(Shelf::default());
        let failed = copy(&kv, "no key at all", None, 1).await;
        assert!(matches!(&failed, Escrow::Failed(why) if why.contains("PGP")), "{failed:?}");
        assert!(kv.0.lock().unwrap().is_empty());
    }
}
