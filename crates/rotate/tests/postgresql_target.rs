//! The pair of PostgreSQL users through all phases against a real PostgreSQL, which is stopped and started again after each
//! of them; every call repeated; late holders refused; what consumers hold works at every moment.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test")]

#[path = "../../database/tests/servers/postgres.rs"]
#[expect(dead_code, reason = "shared with the tests of the databases")]
mod server;

use std::time::Duration;

use coffre_ambient::{SeededEntropy, Wall};
use coffre_rotate::targets::{PgAlternating, PgPair, PgProbe};
use coffre_rotate::{At, Document, Drained, Failure, FailureKind, Target as _, Which};
use coffre_rotation::{Kind, Pending, Record, Target};
use coffre_secret::SecretText;
use server::{ADMIN, ADMIN_PASSWORD, Server, connect};

const USERS: [&str; 2] = ["app_a", "app_b"];

struct Bench {
    server: Server,
    target: PgAlternating,
    record: Record,
    document: Document,
    earlier: Option<Document>,
    entropy: SeededEntropy,
}

impl Bench {
    /// Both users exist; `app_a` is in use.
    async fn new() -> Option<Self> {
        let server = Server::start().await?;
        let admin = connect(server.port, ADMIN, ADMIN_PASSWORD, "shop").await.unwrap();
        for user in USERS {
            admin.batch_execute(&format!("CREATE ROLE {user} NOLOGIN IN ROLE app_owner")).await.unwrap();
        }
        let verifier = coffre_database::postgresql::verifier(&"old-password".into());
        let first = format!(
            "ALTER ROLE app_a LOGIN PASSWORD '{}'; ALTER ROLE app_a SET role = app_owner",
            verifier.expose()
        );
        admin.batch_execute(&first).await.unwrap();
        server.boss("shop").await.batch_execute("GRANT pg_signal_backend TO admin").await.unwrap();
        let target = PgAlternating::new(pair(&server), ADMIN, ADMIN_PASSWORD.into()).unwrap();
        let value = format!("postgresql+psycopg://app_a:old-password@127.0.0.1:{}/shop", server.port);
        let document = Document::new().with("value", &value.as_str().into()).with("note", &"stays".into());
        let name = Target::new("postgresql/app").unwrap();
        let record = Record::new(name, Kind::PgAlternating, "i".repeat(32), 1, now());
        Some(Self { server, target, record, document, earlier: None, entropy: SeededEntropy::new(7) })
    }

    fn at(&self, fence: u64) -> At<'_> {
        At {
            record: &self.record,
            document: Some(&self.document),
            earlier: self.earlier.as_ref(),
            fence,
            now: now(),
            until: now().plus(Duration::from_secs(60)),
            entropy: &self.entropy,
        }
    }

    /// What a consumer does with the document that it has.
    async fn consumer(&self, document: &Document) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let user =
            document.field("username").map_or_else(|| "app_a".to_owned(), |user| user.expose().clone());
        let password = document.field("password").unwrap_or_else(|| "old-password".into());
        connect(self.server.port, &user, password.expose(), "shop").await
    }

    async fn active_works(&self) -> bool {
        let client = self.consumer(&self.document).await.unwrap();
        client.batch_execute("INSERT INTO t VALUES (1)").await.is_ok()
            && self.target.works(self.at(1), Which::Active).await.unwrap()
    }

    /// After PROMOTE, as the machine has it.
    fn promoted(&mut self, document: Document, pending: &Pending) {
        let old = self.record.active;
        let user = self.document.field("username").map(|user| user.expose().clone());
        self.earlier = Some(std::mem::replace(&mut self.document, document));
        (self.record.active, self.record.gens) = (pending.gen_no, pending.gen_no);
        let retiring = serde_json::json!({
            "gen": old, "since": now().rfc3339(), "earliest_retire": now().rfc3339(), "principal": user, "phase": "RETIRE",
        });
        self.record.retiring.push(serde_json::from_value(retiring).unwrap());
    }

    async fn restart(&mut self, fast: bool) {
        self.server.stop(fast);
        let down = self.target.works(self.at(1), Which::Active).await.unwrap_err();
        assert_eq!(down.kind(), FailureKind::Transient, "{down}");
        self.server.run().await;
    }
}

fn pair(server: &Server) -> PgPair {
    PgPair {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        database: "shop".to_owned(),
        sslmode: "disable".to_owned(),
        ca: None,
        owner: "app_owner".to_owned(),
        users: USERS.map(str::to_owned),
        probe: PgProbe {
            privileges: vec![("t".to_owned(), "insert".to_owned())],
            read: Some("SELECT count(*) FROM t".to_owned()),
            write: Some("INSERT INTO t VALUES (7)".to_owned()),
        },
    }
}

fn now() -> Wall {
    Wall::from_secs(1_800_000_000)
}

fn kind<T>(result: Result<T, Failure>) -> Option<FailureKind> {
    result.err().map(|failure| failure.kind())
}

#[tokio::test]
async fn every_phase_ends_well_with_a_restart_of_postgresql_after_it_and_every_call_repeated() {
    let Some(mut bench) = Bench::new().await else { return };
    assert_eq!(bench.target.check(bench.at(0)).await, Vec::<String>::new());
    let mut secrets = Vec::new();
    for round in 1..=3_u64 {
        let fence = round * 10;
        let chosen = if round % 2 == 1 { "app_b" } else { "app_a" };
        let pending = bench.target.prepare(bench.at(fence)).await.unwrap();
        assert_eq!((pending.principal.as_deref(), pending.gen_no), (Some(chosen), round + 1));
        secrets.push(pending.material.expose().clone());
        for repeated in [false, true] {
            bench.target.apply(bench.at(fence), &pending).await.unwrap();
            if !repeated {
                bench.restart(round % 2 == 0).await;
            }
        }
        assert!(bench.active_works().await, "the old one goes on");
        for _ in 0..2 {
            bench.target.verify(bench.at(fence), &pending).await.unwrap();
        }
        bench.restart(true).await;
        assert!(bench.target.works(bench.at(fence), Which::Pending(&pending)).await.unwrap());
        let document = bench.target.promote(bench.at(fence), &pending).unwrap();
        assert!(document.says_the_same(&bench.target.promote(bench.at(fence), &pending).unwrap()));
        assert_eq!(document.field("note").unwrap().expose(), "stays");
        let value = document.field("value").unwrap();
        assert!(
            value.expose().starts_with("postgresql+psycopg://app%5F")
                && value.expose().contains(pending.material.expose())
        );
        bench.promoted(document, &pending);
        assert!(bench.active_works().await);
        // An application that has not swapped yet: its session counts, and ends only with the old user.
        let straggler = bench.consumer(bench.earlier.as_ref().unwrap()).await.unwrap();
        let used = bench.target.drained(bench.at(fence), round).await.unwrap();
        assert!(matches!(used, Drained::Used(1, _)), "{used:?}");
        assert_eq!(
            kind(bench.target.prepare(bench.at(fence)).await),
            (round > 1).then_some(FailureKind::Transient)
        );
        for _ in 0..2 {
            assert!(bench.target.retire(bench.at(fence + 1), round).await.unwrap().is_none());
        }
        assert!(straggler.batch_execute("SELECT 1").await.is_err());
        assert_eq!(bench.target.drained(bench.at(fence), round).await.unwrap(), Drained::Empty);
        assert!(!bench.target.works(bench.at(fence), Which::Earlier).await.unwrap());
        bench.restart(true).await;
        assert!(bench.active_works().await);
        bench.record.retiring.clear();
    }
    assert_eq!(
        bench.server.ask("SELECT count(*) FROM t WHERE x = 7").await,
        ["0"],
        "the probe leaves nothing"
    );
    let log = bench.server.log();
    assert!(log.contains("ALTER ROLE \"app_b\""));
    assert!(secrets.iter().all(|secret| !log.contains(secret.as_str())) && !log.contains("old-password"));
}

#[tokio::test]
async fn a_holder_that_comes_late_changes_nothing() {
    let Some(mut bench) = Bench::new().await else { return };
    let late = bench.target.prepare(bench.at(4)).await.unwrap();
    let newer = bench.target.prepare(bench.at(5)).await.unwrap();
    bench.target.apply(bench.at(5), &newer).await.unwrap();
    assert_eq!(kind(bench.target.apply(bench.at(4), &late).await), Some(FailureKind::Fenced));
    assert_eq!(kind(bench.target.undo(bench.at(4), &late).await), Some(FailureKind::Fenced));
    bench.target.verify(bench.at(5), &newer).await.unwrap();
    // What it believes to be pending is what others were given meanwhile.
    let document = bench.target.promote(bench.at(5), &newer).unwrap();
    bench.promoted(document, &newer);
    assert_eq!(kind(bench.target.apply(bench.at(9), &late).await), Some(FailureKind::Conflict));
    assert_eq!(kind(bench.target.undo(bench.at(9), &late).await), Some(FailureKind::Conflict));
    assert!(bench.active_works().await);
    // The old user is closed once; a sleeper of an earlier fence cannot even do that.
    bench.target.retire(bench.at(6), 1).await.unwrap();
    bench.record.retiring.clear();
    let third = bench.target.prepare(bench.at(7)).await.unwrap();
    bench.target.apply(bench.at(7), &third).await.unwrap();
    let holds = connect(bench.server.port, "app_a", third.material.expose(), "shop").await.unwrap();
    assert_eq!(kind(bench.target.retire(bench.at(6), 1).await), Some(FailureKind::Fenced));
    holds.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn undo_and_rollback_lead_back() {
    let Some(mut bench) = Bench::new().await else { return };
    let pending = bench.target.prepare(bench.at(1)).await.unwrap();
    // Never applied, then applied: both end with the user closed and the old one in use.
    for applied in [false, true] {
        if applied {
            bench.target.apply(bench.at(2), &pending).await.unwrap();
        }
        for _ in 0..2 {
            assert!(bench.target.undo(bench.at(2), &pending).await.unwrap().is_none());
        }
        assert!(!bench.target.works(bench.at(1), Which::Pending(&pending)).await.unwrap());
        assert!(bench.active_works().await);
    }
    bench.target.apply(bench.at(3), &pending).await.unwrap();
    let document = bench.target.promote(bench.at(3), &pending).unwrap();
    bench.document =
        bench.document.with("username", &"app_a".into()).with("password", &"old-password".into());
    bench.promoted(document, &pending);
    let back = bench.target.rollback(bench.at(4), 1).unwrap();
    assert_eq!(back.get::<u64>("gen"), Some(1));
    bench.document = back;
    assert!(bench.active_works().await);
    assert_eq!(
        kind(bench.target.retire(bench.at(5), 1).await),
        Some(FailureKind::Conflict),
        "it is in use again"
    );
}

#[tokio::test]
async fn what_cannot_work_says_so_at_the_right_moment() {
    let Some(bench) = Bench::new().await else { return };
    let one = |pair| PgAlternating::new(pair, ADMIN, ADMIN_PASSWORD.into());
    let refused = |pair| kind(one(pair).map(drop));
    let base = || pair(&bench.server);
    assert_eq!(
        refused(PgPair { users: ["x".to_owned(), "x".to_owned()], ..base() }),
        Some(FailureKind::Config)
    );
    assert_eq!(refused(PgPair { owner: "app_a".to_owned(), ..base() }), Some(FailureKind::Config));
    assert_eq!(refused(PgPair { host: "/tmp/evil".to_owned(), ..base() }), Some(FailureKind::Config));
    assert_eq!(
        refused(PgPair { host: "a' passfile='/etc/passwd".to_owned(), ..base() }),
        Some(FailureKind::Config)
    );
    // A right that is missing is found by the probe, before any consumer is sent there.
    let probe =
        PgProbe { privileges: vec![("pg_authid".to_owned(), "select".to_owned())], ..PgProbe::default() };
    let target = one(PgPair { probe, ..base() }).unwrap();
    let pending = target.prepare(bench.at(1)).await.unwrap();
    target.apply(bench.at(1), &pending).await.unwrap();
    let missing = target.verify(bench.at(1), &pending).await.unwrap_err();
    assert_eq!(missing.kind(), FailureKind::Config);
    assert!(missing.message().contains("no select on pg_authid"), "{missing}");
    // Somebody else set another password meanwhile: other material is drawn.
    let other = Pending { material: "not-this".into(), ..pending.duplicate() };
    assert_eq!(kind(target.verify(bench.at(1), &other).await), Some(FailureKind::Permanent));
    let wrong = PgAlternating::new(base(), ADMIN, SecretText::from("wrong")).unwrap();
    let said = wrong.check(bench.at(0)).await.join("\n");
    assert!(said.contains("not accepted") && !said.contains("wrong"), "{said}");
    let nobody = one(PgPair { users: ["app_a".to_owned(), "app_z".to_owned()], ..base() }).unwrap();
    assert!(
        nobody.check(bench.at(0)).await.join("\n").contains("CREATE ROLE app_z NOLOGIN IN ROLE app_owner")
    );
    let pending = nobody.prepare(bench.at(2)).await.unwrap();
    assert!(nobody.apply(bench.at(2), &pending).await.is_err());
    nobody.undo(bench.at(2), &pending).await.unwrap();
    assert!(bench.active_works().await);
}
