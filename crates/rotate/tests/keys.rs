//! Signing and encryption keys through every phase, without a vault: what each call makes of the document, that each may
//! be repeated, and what becomes of a key that others know.
#![expect(clippy::unwrap_used, reason = "test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_ambient::{SeededEntropy, Wall};
use coffre_rotate::targets::encryption::{EncryptionKey, Meter, Rate, Registry, Rules, Testimony, Witness};
use coffre_rotate::targets::signing::{PUBLIC, SigningKey};
use coffre_rotate::{At, BoxFuture, Document, Failure, FailureKind, Target, Which};
use coffre_rotation::{Kind, Reason, Record};
use coffre_secret::SecretText;
use serde_json::{Value, json};

const NOW: Wall = Wall::from_secs(1_790_000_000);

struct Nobody;

impl Witness for Nobody {
    fn testify<'a>(&'a self, _: At<'a>, _: u64, _: &'a str) -> BoxFuture<'a, Result<Testimony, Failure>> {
        let none = Testimony { meter: Meter::default(), in_use: Vec::new(), approvals: Vec::new() };
        Box::pin(std::future::ready(Ok(none)))
    }
}

fn encryption() -> EncryptionKey {
    let registry = Registry {
        holders: Vec::new(),
        servers: BTreeMap::new(),
        drains: Vec::new(),
        rules: Rules::default(),
        rate: Rate::default(),
        safe: None,
    };
    EncryptionKey::new("value", registry, Arc::new(Nobody))
}

/// A target with its record and document, as the engine keeps them.
struct Rig {
    record: Record,
    document: Option<Document>,
    entropy: SeededEntropy,
}

impl Rig {
    fn new(kind: Kind, value: &str) -> Self {
        let name = coffre_rotation::Target::new("jwt/secret_key").unwrap();
        let record = Record::new(name, kind, "one".to_owned(), 1, NOW);
        let document = Document::new().with("value", &SecretText::from(value));
        Self { record, document: Some(document), entropy: SeededEntropy::new(1) }
    }

    fn at(&self) -> At<'_> {
        At {
            record: &self.record,
            document: self.document.as_ref(),
            earlier: None,
            fence: 1,
            now: NOW,
            until: NOW.plus(std::time::Duration::from_secs(60)),
            entropy: &self.entropy,
        }
    }

    fn json(&self) -> Value {
        self.document.as_ref().unwrap().decode().unwrap()
    }

    /// Prepares, tries and publishes; each twice.
    async fn published(&mut self, target: &dyn Target) -> coffre_rotation::Pending {
        let pending = target.prepare(self.at()).await.unwrap();
        self.record.gens = pending.gen_no;
        for _ in 0..2 {
            target.verify(self.at(), &pending).await.unwrap();
            assert!(target.works(self.at(), Which::Pending(&pending)).await.unwrap());
            if let Some(document) = target.publish(self.at(), &pending).unwrap() {
                self.document = Some(document);
            }
        }
        pending
    }

    async fn rotated(&mut self, target: &dyn Target) -> u64 {
        let pending = self.published(target).await;
        for _ in 0..2 {
            self.document = Some(target.promote(self.at(), &pending).unwrap());
        }
        self.record.active = pending.gen_no;
        assert!(target.works(self.at(), Which::Active).await.unwrap());
        pending.gen_no
    }
}

fn kid(document: &Value, generation: u64) -> Option<&Value> {
    document["keys"].as_array().unwrap().iter().find(|key| key["gen"] == generation)
}

#[tokio::test]
async fn a_signing_key_from_a_plain_value_to_retirement() {
    let (target, mut rig) =
        (SigningKey::new("value", None), Rig::new(Kind::SigningKey, "correct horse battery"));
    let pending = rig.published(&target).await;
    let published = rig.json();
    assert_eq!(published["value"], "correct horse battery", "not used before promotion");
    assert_eq!(kid(&published, 2).unwrap()["state"], "accept");
    rig.document = Some(target.promote(rig.at(), &pending).unwrap());
    rig.record.active = 2;
    let promoted = rig.json();
    // EXPOSE: a key of this test.
    assert_eq!(&promoted["value"], pending.material.expose());
    assert_eq!(kid(&promoted, 1).unwrap()["state"], "accept");
    let back: Value = target.rollback(rig.at(), 1).unwrap().decode().unwrap();
    assert_eq!(
        (&back["value"], &kid(&back, 2).unwrap()["state"]),
        (&json!("correct horse battery"), &json!("accept"))
    );
    rig.document = target.retire(rig.at(), 1).await.unwrap();
    let retired = rig.json();
    assert!(kid(&retired, 1).is_none() && retired.get("legacy").is_none());
    assert!(target.retire(rig.at(), 1).await.unwrap().is_none(), "nothing left to write");
    assert!(
        target.companions(rig.document.as_ref().unwrap()).unwrap().is_empty(),
        "symmetric keys have no public half"
    );
}

#[tokio::test]
async fn undo_takes_back_what_was_published_and_nothing_else() {
    let (target, mut rig) =
        (SigningKey::new("value", None), Rig::new(Kind::SigningKey, "correct horse battery"));
    let pending = target.prepare(rig.at()).await.unwrap();
    assert!(target.undo(rig.at(), &pending).await.unwrap().is_none(), "it was never published");
    let pending = rig.published(&target).await;
    rig.document = target.undo(rig.at(), &pending).await.unwrap();
    let undone = rig.json();
    assert_eq!(
        (&undone["value"], undone["keys"].as_array().unwrap().len()),
        (&json!("correct horse battery"), 1)
    );
    assert!(target.undo(rig.at(), &pending).await.unwrap().is_none());
}

#[tokio::test]
async fn a_compromised_signing_key_is_gone_and_a_compromised_encryption_key_decrypts() {
    let (target, mut rig) = (SigningKey::new("value", None), Rig::new(Kind::SigningKey, "known to others"));
    rig.record.reason = Reason::Compromised;
    let number = rig.rotated(&target).await;
    let now = rig.json();
    assert_eq!((now["keys"].as_array().unwrap().len(), &now["keys"][0]["gen"]), (1, &json!(number)));
    assert!(!now.to_string().contains("known to others"));

    let master = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let (target, mut rig) = (encryption(), Rig::new(Kind::EncryptionKey, master));
    rig.record.reason = Reason::Compromised;
    rig.rotated(&target).await;
    assert_eq!(kid(&rig.json(), 1).unwrap()["state"], "decrypt-only");
}

#[tokio::test]
async fn an_encryption_key_decrypts_until_it_is_destroyed() {
    let master = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let (target, mut rig) = (encryption(), Rig::new(Kind::EncryptionKey, master));
    rig.rotated(&target).await;
    rig.document = target.retire(rig.at(), 1).await.unwrap();
    assert_eq!(kid(&rig.json(), 1).unwrap()["state"], "decrypt-only");
    assert!(target.retire(rig.at(), 1).await.unwrap().is_none());
    let progress = target.reencrypt(rig.at(), None).await.unwrap();
    assert!(progress.done, "there is no column");
    rig.record.work.insert("counts".to_owned(), json!(progress.counts));
    let verdict = target.may_destroy(rig.at(), 1).await.unwrap();
    let said = verdict.missing.join("\n");
    assert!(
        said.contains("a second scan") && said.contains("until") && said.contains("backup_retention"),
        "{said}"
    );
    rig.document = target.destroy(rig.at(), 1).await.unwrap();
    let destroyed = rig.json();
    assert!(
        kid(&destroyed, 1).is_none()
            && destroyed["min_epoch"].is_u64()
            && !destroyed.to_string().contains(master)
    );
    assert!(target.destroy(rig.at(), 1).await.unwrap().is_none());
    assert!(target.may_destroy(rig.at(), 1).await.unwrap().missing.is_empty(), "it was decided before");
}

#[tokio::test]
async fn without_a_document_the_first_key_is_made() {
    let (target, mut rig) = (SigningKey::new("value", Some("EdDSA")), Rig::new(Kind::SigningKey, "x"));
    (rig.document, rig.record.active, rig.record.gens) = (None, 0, 0);
    assert_eq!(rig.rotated(&target).await, 1);
    let companions = target.companions(rig.document.as_ref().unwrap()).unwrap();
    let (suffix, public) = &companions[0];
    let public: Value = public.decode().unwrap();
    assert_eq!((suffix.as_str(), &public["active"]), (PUBLIC, &rig.json()["active"]));
    assert!(
        public["value"].as_str().unwrap().contains("BEGIN PUBLIC KEY")
            && !public.to_string().contains("PRIVATE")
    );
}

#[tokio::test]
async fn eight_keys_are_accepted_and_no_ninth() {
    let (target, mut rig) =
        (SigningKey::new("value", None), Rig::new(Kind::SigningKey, "correct horse battery"));
    for _ in 0..7 {
        rig.rotated(&target).await;
    }
    let pending = target.prepare(rig.at()).await.unwrap();
    let failure = target.publish(rig.at(), &pending).unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Config);
    assert!(failure.message().contains("the limit") && failure.advice().contains("retirement"));
}

#[tokio::test]
async fn what_cannot_be_rotated_says_so_at_noon() {
    let (target, rig) = (encryption(), Rig::new(Kind::EncryptionKey, "a passphrase of words"));
    let found = target.check(rig.at()).await;
    assert!(found[0].contains("passphrase") && !found[0].contains("of words"), "{found:?}");
    let (target, rig) = (SigningKey::new("value", Some("EdDSA")), Rig::new(Kind::SigningKey, "no key pair"));
    assert!(target.check(rig.at()).await[0].contains("PEM"));
}
