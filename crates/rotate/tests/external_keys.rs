//! A key of an outside service against a real HTTP service: tried where it was declared and nowhere else, before anybody
//! gets it; redirections are not followed; an old key counts as revoked only when the service itself refuses it.
#![expect(clippy::unwrap_used, reason = "test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use coffre_ambient::{SeededEntropy, Wall};
use coffre_manifest::rotation::HttpProbe;
use coffre_rotate::targets::external::{Answer, ExternalKey};
use coffre_rotate::{At, Document, FailureKind, Target, Which};
use coffre_rotation::{Kind, Record};
use coffre_secret::SecretText;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const OLD: &str = "CANARY-old-key";
const NEW: &str = "CANARY-new-key";
const NOW: Wall = Wall::from_secs(1_790_000_000);

/// A service that knows some keys; keeps the heads of all requests.
struct Service {
    port: u16,
    statuses: Arc<Mutex<BTreeMap<String, u16>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let statuses: Arc<Mutex<BTreeMap<String, u16>>> = Arc::default();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (known, kept) = (Arc::clone(&statuses), Arc::clone(&heads));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0; 1];
                    if socket.read_exact(&mut byte).await.is_err() {
                        break;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let named = |(key, _): &(&String, &u16)| head.contains(key.as_str());
                let status = known.lock().unwrap().iter().find(named).map_or(401, |(_, status)| *status);
                kept.lock().unwrap().push(head);
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:{port}/elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        Self { port, statuses, heads }
    }

    fn answers(&self, key: &str, status: u16) {
        self.statuses.lock().unwrap().insert(key.to_owned(), status);
    }

    fn target(&self) -> ExternalKey {
        let probe = HttpProbe {
            url: format!("http://127.0.0.1:{}/v1/balance", self.port),
            method: "GET".to_owned(),
            headers: BTreeMap::from([("authorization".to_owned(), "Bearer {value}".to_owned())]),
            body: None,
            expect: vec![200],
            refused: vec![401, 403],
        };
        ExternalKey::new("value", Some(probe), None).unwrap()
    }
}

struct Rig {
    record: Record,
    document: Document,
    earlier: Option<Document>,
    entropy: SeededEntropy,
}

impl Rig {
    fn new() -> Self {
        let name = coffre_rotation::Target::new("stripe/key").unwrap();
        let record = Record::new(name, Kind::External, "one".to_owned(), 1, NOW);
        let document = Document::new().with("value", &SecretText::from(OLD)).with_plain("owner", "billing");
        Self { record, document, earlier: None, entropy: SeededEntropy::new(1) }
    }

    fn at(&self) -> At<'_> {
        At {
            record: &self.record,
            document: Some(&self.document),
            earlier: self.earlier.as_ref(),
            fence: 1,
            now: NOW,
            until: NOW.plus(std::time::Duration::from_secs(60)),
            entropy: &self.entropy,
        }
    }
}

#[tokio::test]
async fn a_key_is_provided_tried_promoted_and_its_predecessor_confirmed_as_revoked() {
    let service = Service::start().await;
    service.answers(OLD, 200);
    service.answers(NEW, 200);
    let (target, mut rig) = (service.target(), Rig::new());
    assert!(target.prepare(rig.at()).await.unwrap_err().advice().contains("coffre rotate provide"));
    let pending = target.provide(rig.at(), SecretText::from("CANARY-new-key\n")).await.unwrap();
    assert!(pending.material.ct_eq(NEW.as_bytes()), "the end of the line is not a part of the key");
    target.verify(rig.at(), &pending).await.unwrap();
    assert!(target.publish(rig.at(), &pending).unwrap().is_none());
    let promoted = target.promote(rig.at(), &pending).unwrap();
    rig.earlier = Some(std::mem::replace(&mut rig.document, promoted));
    rig.record.active = 2;
    let document: Value = rig.document.decode().unwrap();
    assert_eq!(
        (&document["value"], &document["gen"], &document["owner"]),
        (&NEW.into(), &2.into(), &"billing".into())
    );
    assert!(target.works(rig.at(), Which::Active).await.unwrap());

    assert!(!target.revoked(rig.at(), 1).await.unwrap(), "the service still accepts it");
    service.answers(OLD, 503);
    let failure = target.revoked(rig.at(), 1).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Transient, "a service that is down has refused nothing");
    service.answers(OLD, 404);
    assert_eq!(target.revoked(rig.at(), 1).await.unwrap_err().kind(), FailureKind::Config);
    service.answers(OLD, 401);
    assert!(target.revoked(rig.at(), 1).await.unwrap());
}

#[tokio::test]
async fn a_key_that_the_service_refuses_is_not_given_to_anybody() {
    let service = Service::start().await;
    let (target, rig) = (service.target(), Rig::new());
    let pending = target.provide(rig.at(), SecretText::from(NEW)).await.unwrap();
    let failure = target.verify(rig.at(), &pending).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Permanent);
    assert!(!format!("{failure} {failure:?}").contains("CANARY"));
    for wrong in [OLD, "", "\n", "nul\0"] {
        let failure = target.provide(rig.at(), SecretText::from(wrong)).await.unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Permanent, "{wrong:?}");
    }
    assert_eq!(target.check(rig.at()).await, ["its service refuses the key that is in use now"]);
}

#[tokio::test]
async fn the_key_goes_to_the_declared_header_of_the_declared_place_alone() {
    let service = Service::start().await;
    service.answers(NEW, 302);
    let answer = service.target().ask(&SecretText::from(NEW)).await.unwrap();
    assert_eq!(answer, Some(Answer::Other(302)), "a redirection is an answer");
    let heads = service.heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 1, "and is not followed");
    assert!(heads[0].starts_with("GET /v1/balance HTTP/1.1"));
    let lines: Vec<&str> = heads[0].lines().filter(|line| line.contains("CANARY")).collect();
    assert_eq!(lines, ["authorization: Bearer CANARY-new-key"]);
}

#[tokio::test]
async fn nobody_there_is_no_answer() {
    let service = Service::start().await;
    let mut target = service.target();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{free}/{{value|pct}}");
    let probe = HttpProbe {
        url,
        method: "GET".to_owned(),
        headers: BTreeMap::new(),
        body: None,
        expect: vec![200],
        refused: vec![401],
    };
    target = ExternalKey::new("value", Some(probe), None).unwrap_or(target);
    let failure = target.ask(&SecretText::from(NEW)).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Transient);
    assert!(!format!("{failure} {failure:?}").contains("CANARY"), "the address holds the key");
}
