//! The Redis target through all its phases against a real Redis, which is killed and started again after each of them;
//! every call repeated; late holders refused; what consumers hold works at every moment.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test")]

#[path = "../../database/tests/servers/redis.rs"]
#[expect(dead_code, reason = "shared with the tests of the databases")]
mod server;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use coffre_ambient::{SeededEntropy, Wall};
use coffre_database::Settings;
use coffre_database::redis::Persistence;
use coffre_rotate::targets::{RedisProbe, RedisTwoPassword};
use coffre_rotate::{At, Document, Failure, FailureKind, Target as _, Which};
use coffre_rotation::{Kind, Pending, Reason, Record, Retiring, Target};
use coffre_secret::SecretText;
use server::{ADMIN, Keeps, Server, settings};

struct Bench {
    server: Server,
    target: RedisTwoPassword,
    record: Record,
    document: Document,
    entropy: SeededEntropy,
}

impl Bench {
    fn new(keeps: Keeps, probe: RedisProbe) -> Option<Self> {
        let server = Server::start(keeps)?;
        let commands = match keeps {
            Keeps::AclFile => "ACL SAVE",
            _ => "CONFIG REWRITE",
        };
        let rules = "on >old-password ~app:* resetchannels +@read +set +ping +multi +discard";
        says(&server, &format!("ACL SETUSER app {rules}\r\n{commands}"));
        let target = RedisTwoPassword::new(admin(&server), Persistence::Proven, "app", probe).unwrap();
        let document = Document::new()
            .with("value", &"redis://app:old-password@127.0.0.1:6379/0".into())
            .with("note", &"stays".into());
        let name = Target::new("redis/app").unwrap();
        let record = Record::new(name, Kind::RedisTwoPassword, "i".repeat(32), 1, now());
        Some(Self { server, target, record, document, entropy: SeededEntropy::new(7) })
    }

    fn at(&self, fence: u64) -> At<'_> {
        At {
            record: &self.record,
            document: Some(&self.document),
            earlier: None,
            fence,
            now: now(),
            until: now().plus(Duration::from_secs(60)),
            entropy: &self.entropy,
        }
    }

    async fn accepts(&self, password: &str) -> bool {
        let pending = Pending { gen_no: 9, principal: None, material: password.into(), created: now() };
        self.target.works(self.at(1), Which::Pending(&pending)).await.unwrap()
    }

    async fn active_works(&self) -> bool {
        self.target.works(self.at(1), Which::Active).await.unwrap()
    }

    /// After PROMOTE, as the machine has it.
    fn promoted(&mut self, document: Document, pending: &Pending, compromised: bool) {
        self.document = document;
        self.record.active = pending.gen_no;
        self.record.gens = pending.gen_no;
        self.record.retiring.push(Retiring {
            gen_no: 1,
            since: now(),
            earliest_retire: now(),
            principal: None,
            material: Some("old-password".into()),
            phase: coffre_rotation::Phase::Retire,
            phase_since: None,
            gate: None,
            not_before: None,
            tries: 0,
            compromised,
            confirmed: false,
            cleared: false,
            missing: Vec::new(),
            notes: std::collections::BTreeMap::new(),
            certificate: std::collections::BTreeMap::new(),
        });
    }
}

fn admin(server: &Server) -> Settings {
    let mut admin = settings("127.0.0.1", server.port, ADMIN);
    admin.username = "default".to_owned();
    admin
}

fn now() -> Wall {
    Wall::from_secs(1_800_000_000)
}

fn probe(allowed: &str, denied: &str) -> RedisProbe {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    RedisProbe { allowed: words(allowed), denied: words(denied) }
}

fn kind<T>(result: Result<T, Failure>) -> Option<FailureKind> {
    result.err().map(|failure| failure.kind())
}

#[tokio::test]
async fn every_phase_ends_well_with_a_restart_of_redis_after_it_and_every_call_repeated() {
    for keeps in [Keeps::AclFile, Keeps::ConfigFile] {
        let Some(mut bench) = Bench::new(keeps, probe("GET app:x", "FLUSHALL")) else { return };
        assert_eq!(bench.target.check(bench.at(1)).await, Vec::<String>::new());
        assert!(bench.active_works().await);
        let pending = bench.target.prepare(bench.at(1)).await.unwrap();
        let new = pending.material.expose().clone();
        assert_eq!((pending.gen_no, new.len() >= 20), (2, true));
        for _ in 0..2 {
            bench.server.restart();
            assert!(!bench.accepts(&new).await, "nothing leaves in PREPARE");
        }
        for _ in 0..2 {
            bench.target.apply(bench.at(2), &pending).await.unwrap();
            bench.server.restart();
            assert!(bench.active_works().await && bench.accepts(&new).await, "{keeps:?}: old and new");
        }
        for _ in 0..2 {
            bench.target.verify(bench.at(3), &pending).await.unwrap();
            bench.server.restart();
        }
        let document = bench.target.promote(bench.at(4), &pending).unwrap();
        assert_eq!(document.field("password").unwrap().expose(), &new);
        let value = document.field("value").unwrap();
        assert!(value.expose().starts_with("redis://app:") && !value.expose().contains("old-password"));
        assert_eq!(document.field("note").unwrap().expose(), "stays");
        bench.promoted(document, &pending, false);
        assert!(bench.active_works().await && bench.accepts("old-password").await);
        for _ in 0..2 {
            assert!(bench.target.retire(bench.at(5), 1).await.unwrap().is_none());
            bench.server.restart();
            assert!(bench.active_works().await && !bench.accepts("old-password").await, "{keeps:?}");
        }
        assert_eq!(kind(bench.target.apply(bench.at(4), &pending).await), Some(FailureKind::Fenced));
        assert_eq!(bench.target.check(bench.at(6)).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn undo_takes_the_new_password_back_applied_or_not() {
    let Some(mut bench) = Bench::new(Keeps::AclFile, RedisProbe::default()) else { return };
    let pending = bench.target.prepare(bench.at(1)).await.unwrap();
    let new = pending.material.expose().clone();
    bench.target.undo(bench.at(2), &pending).await.unwrap();
    bench.target.apply(bench.at(3), &pending).await.unwrap();
    for _ in 0..2 {
        bench.target.undo(bench.at(4), &pending).await.unwrap();
        bench.server.restart();
        assert!(bench.active_works().await && !bench.accepts(&new).await);
    }
    says(&bench.server, "ACL DELUSER app");
    bench.target.undo(bench.at(5), &pending).await.unwrap();
}

#[tokio::test]
async fn a_rollback_makes_the_old_password_active_again() {
    let Some(mut bench) = Bench::new(Keeps::AclFile, RedisProbe::default()) else { return };
    let pending = bench.target.prepare(bench.at(1)).await.unwrap();
    bench.target.apply(bench.at(2), &pending).await.unwrap();
    let document = bench.target.promote(bench.at(2), &pending).unwrap();
    bench.promoted(document, &pending, false);
    let back = bench.target.rollback(bench.at(3), 1).unwrap();
    assert_eq!(back.field("password").unwrap().expose(), "old-password");
    assert_eq!(back.get::<u64>("gen"), Some(1));
    bench.document = back;
    assert!(bench.active_works().await);
    let refused = bench.target.retire(bench.at(4), 1).await;
    assert_eq!(kind(refused), Some(FailureKind::Conflict), "the active password is not taken away");
    assert!(bench.active_works().await);
}

#[tokio::test]
async fn after_a_compromise_open_connections_of_the_user_end() {
    for compromised in [false, true] {
        let Some(mut bench) = Bench::new(Keeps::AclFile, RedisProbe::default()) else { return };
        let mut open = TcpStream::connect((Ipv4Addr::LOCALHOST, bench.server.port)).unwrap();
        open.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(ask(&mut open, "AUTH app old-password"), "+OK\r\n");
        let pending = bench.target.prepare(bench.at(1)).await.unwrap();
        bench.target.apply(bench.at(2), &pending).await.unwrap();
        let document = bench.target.promote(bench.at(2), &pending).unwrap();
        bench.promoted(document, &pending, compromised);
        if compromised {
            bench.record.reason = Reason::Compromised;
        }
        bench.target.retire(bench.at(3), 1).await.unwrap();
        let answer = ask(&mut open, "PING");
        assert_eq!(answer, if compromised { "" } else { "+PONG\r\n" });
    }
}

#[tokio::test]
async fn a_login_that_may_too_little_or_too_much_does_not_reach_consumers() {
    for (probe, word) in
        [(probe("DEL app:x", ""), "does not allow"), (probe("", "GET app:x"), "must not be able")]
    {
        let Some(bench) = Bench::new(Keeps::AclFile, probe) else { return };
        let pending = bench.target.prepare(bench.at(1)).await.unwrap();
        let early = bench.target.verify(bench.at(1), &pending).await;
        assert_eq!(kind(early), Some(FailureKind::Permanent), "never applied: refused by Redis");
        bench.target.apply(bench.at(2), &pending).await.unwrap();
        let failure = bench.target.verify(bench.at(2), &pending).await.unwrap_err();
        assert!(failure.kind() == FailureKind::Config && failure.message().contains(word), "{failure}");
        assert!(!format!("{failure} {failure:?}").contains(pending.material.expose()));
    }
}

#[tokio::test]
async fn what_fails_at_night_is_found_at_noon() {
    let Some(mut bench) = Bench::new(Keeps::AclFile, RedisProbe::default()) else { return };
    let found = async |bench: &Bench| bench.target.check(bench.at(1)).await.join("\n");
    says(&bench.server, "ACL SETUSER app >another");
    assert!(found(&bench).await.contains("2 passwords"));
    says(&bench.server, "ACL SETUSER app resetpass >another");
    assert!(found(&bench).await.contains("refuses the password"));
    says(&bench.server, "ACL SETUSER app off nopass");
    assert!(found(&bench).await.contains("nopass") && found(&bench).await.contains("switched off"));
    says(&bench.server, "ACL DELUSER app");
    assert!(found(&bench).await.contains("no user app"));
    bench.server.stop();
    assert!(found(&bench).await.contains("cannot be reached"));
    let pending = bench.target.prepare(bench.at(1)).await.unwrap();
    let down = bench.target.apply(bench.at(1), &pending).await;
    assert_eq!(kind(down), Some(FailureKind::Transient), "and a server that is down is tried again");
    let own =
        RedisTwoPassword::new(admin(&bench.server), Persistence::Proven, "default", RedisProbe::default());
    assert_eq!(own.map(|_| ()).map_err(|failure| failure.kind()), Err(FailureKind::Config));
}

#[tokio::test]
async fn an_old_password_that_nobody_knows_any_more_is_a_persons_business() {
    let Some(bench) = Bench::new(Keeps::AclFile, RedisProbe::default()) else { return };
    let failure = bench.target.retire(bench.at(1), 1).await.unwrap_err();
    assert!(failure.kind() == FailureKind::Config && failure.advice().contains("ACL SETUSER"), "{failure}");
    let earlier = Document::new().with("password", &SecretText::from("older"));
    says(&bench.server, "ACL SETUSER app >older");
    let at = At { earlier: Some(&earlier), ..bench.at(2) };
    bench.target.retire(at, 1).await.unwrap();
    assert!(bench.active_works().await && !bench.accepts("older").await);
}

fn ask(stream: &mut TcpStream, command: &str) -> String {
    let mut answer = [0; 256];
    if stream.write_all(format!("{command}\r\n").as_bytes()).is_err() {
        return String::new();
    }
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(answer.get(..read).unwrap()).into_owned()
}

fn says(server: &Server, commands: &str) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
    stream.write_all(format!("AUTH default {ADMIN}\r\n{commands}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(!answer.contains('-'), "{answer}");
}
