//! Texts that Python's cryptography encrypted stand in a column of a real PostgreSQL and are written anew in batches while
//! an application writes: the job is killed and goes on, nothing that was written is lost, and afterwards nothing stands
//! under the old key. Holders that nobody registered are found.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "test")]

#[path = "../../database/tests/servers/postgres.rs"]
mod postgres;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coffre_ambient::{SeededEntropy, Wall};
use coffre_database::postgresql::Texts;
use coffre_manifest::rotation::Holder;
use coffre_rotate::targets::encryption::{
    EncryptionKey, Meter, Rate, Registry, Rules, Stands, Testimony, Witness, encrypt, opens, stands,
};
use coffre_rotate::{At, BoxFuture, Document, Failure, FailureKind, Target};
use coffre_rotation::keyring::{Form, Keyring};
use coffre_rotation::{Kind, Record};
use coffre_secret::SecretText;
use postgres::{BOSS, BOSS_PASSWORD, Server};
use serde_json::{Map, Value, json};

const MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// `Fernet(MASTER).encrypt_at_time(…, 1700000000)` of cryptography 45.
const FROM_PYTHON: [(&str, &str); 3] = [
    (
        "four lines of a note",
        "gAAAAABlU_EAE7uXLbmJbL2ExlhGthlvjoKsdlSdLT25NZrHwJWVYbcdDbuwFLB2_pLmzSlSHfAQw7C1nHgoxjwjVmPJPytJDDcf-MKjtwKX-l3_hgfCb7E=",
    ),
    (
        "Zürich, straße, 数",
        "gAAAAABlU_EAuP1Cz-7P3xyKxap6VZevivpSREo_75jL_UsjDU7TnjUrJnnydElVLEuE2Vz6scWuJCVQV6CzvxW4-MnsC7NOvZdhICWvmhZHy4qCl-1GUM8=",
    ),
    (
        "",
        "gAAAAABlU_EARUv-iIkHifDSdre5hUmW0fZ9aH7f814heB50JWWdGlMZA91yOgsNoK1mj_jAYtsmZjYoc7mUKVno3i-DCt6zCA==",
    ),
];
const FORM: Form<'static> = Form { target: "encryption/master_key", field: "value", first: 1 };
const NOW: u64 = 1_790_000_000;

struct Nobody;

impl Witness for Nobody {
    fn testify<'a>(&'a self, _: At<'a>, _: u64, _: &'a str) -> BoxFuture<'a, Result<Testimony, Failure>> {
        let none = Testimony {
            meter: Meter { counting: 1, ..Meter::default() },
            in_use: Vec::new(),
            approvals: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(none)))
    }
}

fn target(server: &Server) -> EncryptionKey {
    let mut settings = server.settings();
    (settings.username, settings.password) = (BOSS.to_owned(), BOSS_PASSWORD.into());
    let holder = |table: &str, pk: &str, column: &str| Holder {
        table: table.to_owned(),
        pk: pk.to_owned(),
        column: column.to_owned(),
        codec: coffre_manifest::rotation::Codec::Fernet,
        server: None,
    };
    let registry = Registry {
        holders: vec![holder("notes", "id", "body"), holder("public.odd \"table\"", "the key", "a;b")],
        servers: BTreeMap::from([("main".to_owned(), Arc::new(Texts::open(settings).unwrap()))]),
        drains: Vec::new(),
        rules: Rules { backup_retention: Some(Duration::ZERO), quiet: Duration::ZERO, ..Rules::default() },
        rate: Rate { rows_per_second: 1_000_000 },
        safe: None,
    };
    EncryptionKey::new("value", registry, Arc::new(Nobody))
}

struct Rig {
    record: Record,
    document: Document,
    entropy: SeededEntropy,
    now: Wall,
}

impl Rig {
    /// With generation 2 active, and generation 1 for decrypting alone.
    async fn new(target: &EncryptionKey) -> Self {
        let name = coffre_rotation::Target::new(FORM.target).unwrap();
        let record = Record::new(name, Kind::EncryptionKey, "one".to_owned(), 1, Wall::from_secs(NOW));
        let document = Document::new().with("value", &SecretText::from(MASTER));
        let mut rig = Self { record, document, entropy: SeededEntropy::new(4), now: Wall::from_secs(NOW) };
        let pending = target.prepare(rig.at()).await.unwrap();
        rig.document = target.promote(rig.at(), &pending).unwrap();
        (rig.record.active, rig.record.gens) = (2, 2);
        rig.document = target.retire(rig.at(), 1).await.unwrap().unwrap();
        let since = rig.now.rfc3339();
        let old = json!({"gen": 1, "since": since, "earliest_retire": since, "phase": "DESTROY", "phase_since": since});
        rig.record.retiring.push(serde_json::from_value(old).unwrap());
        rig
    }

    fn at(&self) -> At<'_> {
        At {
            record: &self.record,
            document: Some(&self.document),
            earlier: None,
            fence: 1,
            now: self.now,
            until: self.now.plus(Duration::from_secs(60)),
            entropy: &self.entropy,
        }
    }

    fn ring(&self) -> Keyring {
        let fields: Map<String, Value> = self.document.decode().unwrap();
        Keyring::read(&fields, &FORM).unwrap()
    }

    /// One batch, kept as the engine keeps it. True: there is no next one.
    async fn batch(&mut self, target: &EncryptionKey) -> bool {
        let cursor = self.record.work.get("cursor").and_then(Value::as_str).map(str::to_owned);
        let progress = target.reencrypt(self.at(), cursor.as_deref()).await.unwrap();
        self.record.work.insert("counts".to_owned(), json!(progress.counts));
        match progress.cursor {
            Some(cursor) => self.record.work.insert("cursor".to_owned(), cursor.into()),
            None => self.record.work.remove("cursor"),
        };
        progress.done
    }

    /// What is still missing for destruction, kept as the engine keeps it.
    async fn missing(&mut self, target: &EncryptionKey) -> Vec<String> {
        let verdict = target.may_destroy(self.at(), 1).await.unwrap();
        self.record.retiring[0].notes = verdict.notes;
        verdict.missing
    }
}

async fn fill(server: &Server, rows: usize) {
    let boss = server.boss("shop").await;
    let tables = "CREATE TABLE notes (id bigint PRIMARY KEY, body varchar, seen int DEFAULT 0); \
                  CREATE TABLE \"odd \"\"table\"\"\" (\"the key\" uuid PRIMARY KEY DEFAULT gen_random_uuid(), \"a;b\" text)";
    boss.batch_execute(tables).await.unwrap();
    for id in 0..rows {
        let text = FROM_PYTHON[id % 3].1;
        boss.execute("INSERT INTO notes VALUES ($1, $2)", &[&i64::try_from(id).unwrap(), &text])
            .await
            .unwrap();
    }
    for (_, text) in FROM_PYTHON {
        boss.execute("INSERT INTO \"odd \"\"table\"\"\" (\"a;b\") VALUES ($1)", &[&text]).await.unwrap();
    }
    boss.batch_execute(
        "INSERT INTO notes VALUES (-1, NULL), (-2, 'plain text'), (-3, 'e1.00000000.nothing of ours')",
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_texts_are_written_anew_while_the_application_writes() {
    let Some(server) = Server::start().await else { return };
    fill(&server, 1_700).await;
    let first = target(&server);
    let mut rig = Rig::new(&first).await;
    let ring = Arc::new(rig.ring());
    let over = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(writes(server.boss("shop").await, Arc::clone(&ring), Arc::clone(&over)));

    assert!(!rig.batch(&first).await && !rig.batch(&first).await);
    drop(first);
    // A new process: what it knows stands in the record.
    let second = target(&server);
    let mut batches = 0;
    while !rig.batch(&second).await {
        batches += 1;
        if batches == 12 {
            over.store(true, Ordering::Relaxed);
        }
        assert!(batches < 400, "it does not come to an end");
    }
    over.store(true, Ordering::Relaxed);
    let written = writer.await.unwrap();
    while !rig.batch(&second).await {}

    check_rows(&server, &ring, &written).await;
    let counts = &rig.record.work["counts"];
    println!("{} writes in between, {batches} batches, counts {counts}", written.len());
    assert!(counts["clean-since"].as_u64() == Some(NOW));
    assert!(!rig.missing(&second).await.iter().any(|text| text.contains("still stand")));
}

/// What the application wrote last for each row, under the old key and the new one by turns.
async fn writes(
    boss: tokio_postgres::Client,
    ring: Arc<Keyring>,
    over: Arc<AtomicBool>,
) -> BTreeMap<i64, String> {
    let (mut last, mut at) = (BTreeMap::new(), 0_i64);
    while !over.load(Ordering::Relaxed) {
        at += 1;
        let id = (at * 37) % 1_700;
        let content = format!("written {at} times");
        let key = ring.generation(if at % 2 == 0 { 2 } else { 1 }).unwrap();
        let text = encrypt(key, content.as_bytes(), NOW).unwrap();
        // EXPOSE: a ciphertext.
        let changed =
            boss.execute("UPDATE notes SET body = $2 WHERE id = $1", &[&id, text.expose()]).await.unwrap();
        assert_eq!(changed, 1);
        last.insert(id, content);
    }
    last
}

async fn check_rows(server: &Server, ring: &Keyring, written: &BTreeMap<i64, String>) {
    let boss = server.boss("shop").await;
    let active = ring.active().unwrap();
    let rows = boss.query("SELECT id, body FROM notes WHERE id >= 0", &[]).await.unwrap();
    assert_eq!(rows.len(), 1_700);
    for row in rows {
        let (id, body): (i64, String) = (row.get(0), row.get(1));
        assert_eq!(stands(&body), Stands::Under(active.kid()), "row {id}");
        let content = opens(active, &body).unwrap();
        let python = FROM_PYTHON[usize::try_from(id).unwrap() % 3].0;
        let expected = written.get(&id).map_or(python, String::as_str);
        // EXPOSE: the test's own texts.
        assert_eq!(String::from_utf8(content.expose().clone()).unwrap(), expected, "row {id}");
        if !written.contains_key(&id) {
            assert!(body.contains(".gAAAAABlU_EA"), "the time of writing is kept: row {id}");
        }
    }
    let odd = server.ask("SELECT count(*) FROM \"odd \"\"table\"\"\" WHERE \"a;b\" LIKE 'gAAAA%'").await;
    assert_eq!(odd, ["0"]);
    let others = server.ask("SELECT coalesce(body, 'null') FROM notes WHERE id < 0 ORDER BY id").await;
    assert_eq!(others, ["e1.00000000.nothing of ours", "plain text", "null"]);
}

#[tokio::test]
async fn stragglers_and_unregistered_holders_hold_destruction_up() {
    let Some(server) = Server::start().await else { return };
    fill(&server, 3).await;
    let target = target(&server);
    let mut rig = Rig::new(&target).await;
    while !rig.batch(&target).await {}
    let early = rig.missing(&target).await.join("\n");
    assert!(early.contains("a second scan"), "{early}");
    rig.now = rig.now.plus(Duration::from_hours(3));
    assert_eq!(rig.missing(&target).await, Vec::<String>::new());

    let boss = server.boss("shop").await;
    boss.execute("INSERT INTO notes VALUES (9, $1)", &[&FROM_PYTHON[0].1]).await.unwrap();
    let found = rig.missing(&target).await.join("\n");
    assert!(found.contains("1 texts still stand under"), "{found}");
    let body = server.ask("SELECT body FROM notes WHERE id = 9").await;
    assert!(body[0].starts_with("e1."), "it was written anew: {body:?}");
    let again = rig.missing(&target).await.join("\n");
    assert!(again.contains("a second scan"), "two new scans: {again}");
    rig.now = rig.now.plus(Duration::from_hours(1));
    assert!(!rig.missing(&target).await.is_empty(), "not far enough from each other");
    rig.now = rig.now.plus(Duration::from_hours(1));
    assert_eq!(rig.missing(&target).await, Vec::<String>::new());

    boss.batch_execute("CREATE TABLE audit (id int, line text)").await.unwrap();
    boss.execute("INSERT INTO audit VALUES (1, $1)", &[&FROM_PYTHON[1].1]).await.unwrap();
    let found = rig.missing(&target).await.join("\n");
    assert!(found.contains("public.audit.line") && !found.contains("notes"), "{found}");
}

#[tokio::test]
async fn a_text_that_does_not_open_stops_the_job_with_a_sentence() {
    let Some(server) = Server::start().await else { return };
    fill(&server, 3).await;
    let target = target(&server);
    let mut rig = Rig::new(&target).await;
    let kid = rig.ring().generation(1).unwrap().kid().to_owned();
    let boss = server.boss("shop").await;
    let damaged = format!("e1.{kid}.gAAAAABlU_EAdamaged");
    boss.execute("UPDATE notes SET body = $1 WHERE id = 1", &[&damaged]).await.unwrap();
    let failure = loop {
        let cursor = rig.record.work.get("cursor").and_then(Value::as_str).map(str::to_owned);
        match target.reencrypt(rig.at(), cursor.as_deref()).await {
            Err(failure) => break failure,
            Ok(progress) => rig.record.work.insert("cursor".to_owned(), json!(progress.cursor)),
        };
    };
    assert_eq!(failure.kind(), FailureKind::Config);
    assert!(failure.message().contains("1 texts under an old key do not open"), "{failure}");
    assert_eq!(server.ask("SELECT body FROM notes WHERE id = 1").await, [damaged]);
}
