//! Passwords of users that stay, on a real PostgreSQL: fenced against rotators that come late, verified on the path that
//! applications take, with sessions that go on until they are told to end.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test")]

#[path = "servers/postgres.rs"]
mod postgres;

use coffre_ambient::SeededEntropy;
use coffre_database::ErrorKind;
use coffre_database::postgresql::{Admin, FencedPassword, Probe};
use coffre_secret::SecretText;
use postgres::{Server, connect};

async fn pair(server: &Server) {
    let admin = connect(server.port, postgres::ADMIN, postgres::ADMIN_PASSWORD, "shop").await.unwrap();
    for role in ["app_a", "app_b"] {
        admin.batch_execute(&format!("CREATE ROLE {role} NOLOGIN IN ROLE app_owner")).await.unwrap();
    }
    server
        .boss("shop")
        .await
        .batch_execute("GRANT pg_signal_backend TO admin; GRANT pg_read_all_stats TO admin")
        .await
        .unwrap();
}

fn change<'a>(password: &'a SecretText, fence: u64) -> FencedPassword<'a> {
    FencedPassword { role: "app_a", password, fence, owner: Some("app_owner") }
}

#[tokio::test]
async fn p5_p6_a_late_rotator_is_refused_and_no_password_is_logged() {
    let Some(server) = Server::start().await else { return };
    pair(&server).await;
    server.boss("shop").await.batch_execute("COMMENT ON ROLE app_a IS 'the shop''s'").await.unwrap();
    let admin = Admin::open(server.settings()).unwrap();
    let (old, new) = (SecretText::from("CANARY-four"), SecretText::from("CANARY'five"));
    assert_eq!(admin.fence("app_a").await.unwrap(), 0);
    admin.set_password(&change(&new, 5)).await.unwrap();
    let late = admin.set_password(&change(&old, 4)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Fenced, "{late}");
    assert_eq!(
        admin.lock_out("app_a", 4, &SeededEntropy::new(1)).await.unwrap_err().kind(),
        ErrorKind::Fenced
    );
    assert!(admin.logs_in("app_a", &new).await.unwrap());
    assert!(!admin.logs_in("app_a", &old).await.unwrap());
    admin.set_password(&change(&new, 5)).await.unwrap();
    assert_eq!(admin.fence("app_a").await.unwrap(), 5);
    let comment = server.ask("SELECT shobj_description('app_a'::regrole, 'pg_authid')").await;
    assert_eq!(comment, ["the shop's\ncoffre fence 5"]);
    let missing = admin.fence("nobody").await.unwrap_err();
    assert!(missing.to_string().contains("CREATE ROLE"), "{missing}");
    let log = server.log();
    assert!(log.contains("ALTER ROLE \"app_a\"") && !log.contains("CANARY"));
}

#[tokio::test]
async fn a_new_password_outlives_a_crash_of_a_database_that_is_careless_by_default() {
    let careless =
        |_: &std::path::Path| vec!["synchronous_commit=off".to_owned(), "wal_writer_delay=10s".to_owned()];
    let Some(mut server) = Server::start_with(careless).await else { return };
    pair(&server).await;
    server.boss("shop").await.batch_execute("CHECKPOINT").await.unwrap();
    let admin = Admin::open(server.settings()).unwrap();
    let new = SecretText::from("CANARY-six");
    admin.set_password(&change(&new, 5)).await.unwrap();
    server.stop(false);
    server.run().await;
    let admin = Admin::open(server.settings()).unwrap();
    assert!(admin.logs_in("app_a", &new).await.unwrap());
    assert_eq!(admin.fence("app_a").await.unwrap(), 5);
}

#[tokio::test]
async fn p6_a_rotator_that_sleeps_within_its_change_loses_the_lock_and_the_change() {
    let Some(server) = Server::start().await else { return };
    pair(&server).await;
    let mut settings = server.settings();
    settings.limits.timeout = std::time::Duration::from_secs(3);
    let admin = Admin::open(settings).unwrap();
    // The one that sleeps holds the lock with the same session settings that each of our sessions has.
    let asleep = connect(server.port, postgres::ADMIN, postgres::ADMIN_PASSWORD, "shop").await.unwrap();
    asleep
        .batch_execute(
            "SET idle_in_transaction_session_timeout = 1000; BEGIN; \
             SELECT pg_advisory_xact_lock(x'636f6666'::int, 'app_a'::regrole::oid::int); ALTER ROLE app_a PASSWORD 'late'",
        )
        .await
        .unwrap();
    let new = SecretText::from("newer");
    admin.set_password(&change(&new, 5)).await.unwrap();
    assert!(asleep.batch_execute("COMMIT").await.is_err(), "the sleeper wakes up without its transaction");
    assert!(admin.logs_in("app_a", &new).await.unwrap());
}

#[tokio::test]
async fn two_rotators_at_once_leave_the_newer_password() {
    let Some(server) = Server::start().await else { return };
    pair(&server).await;
    let (one, two) = (Admin::open(server.settings()).unwrap(), Admin::open(server.settings()).unwrap());
    for round in 0..4_u64 {
        let (old, new) = (SecretText::new(format!("old{round}")), SecretText::new(format!("new{round}")));
        let (older, newer) = (change(&old, round * 2 + 1), change(&new, round * 2 + 2));
        let (late, won) =
            futures_util::future::join(one.set_password(&older), two.set_password(&newer)).await;
        won.unwrap();
        assert!(
            late.is_ok_and(|()| true)
                || one.set_password(&older).await.unwrap_err().kind() == ErrorKind::Fenced
        );
        assert!(one.logs_in("app_a", &new).await.unwrap());
    }
}

#[tokio::test]
async fn p1_p3_sessions_go_on_until_they_are_ended_and_what_a_pair_makes_is_its_owners() {
    let Some(server) = Server::start().await else { return };
    pair(&server).await;
    let admin = Admin::open(server.settings()).unwrap();
    let password = SecretText::from("first");
    admin.set_password(&change(&password, 1)).await.unwrap();
    let session = connect(server.port, "app_a", "first", "shop").await.unwrap();
    session.batch_execute("CREATE TABLE by_a (x int)").await.unwrap();
    assert_eq!(
        server.ask("SELECT relowner::regrole FROM pg_class WHERE relname = 'by_a'").await,
        ["app_owner"]
    );
    admin.lock_out("app_a", 2, &SeededEntropy::new(1)).await.unwrap();
    assert!(!admin.logs_in("app_a", &password).await.unwrap());
    session.batch_execute("INSERT INTO by_a VALUES (1)").await.unwrap();
    assert_eq!(admin.sessions("app_a").await.unwrap(), 1);
    assert_eq!(admin.terminate("app_a").await.unwrap(), 1);
    assert_eq!(admin.sessions("app_a").await.unwrap(), 0);
    assert!(session.batch_execute("SELECT 1").await.is_err());
    assert_eq!(server.ask("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app_a'").await, ["f"]);
}

#[tokio::test]
async fn a_probe_finds_what_an_application_would_find_and_leaves_nothing() {
    let Some(server) = Server::start().await else { return };
    pair(&server).await;
    server.boss("shop").await.batch_execute("CREATE TABLE of_boss (x int)").await.unwrap();
    let admin = Admin::open(server.settings()).unwrap();
    let password = SecretText::from("first");
    admin.set_password(&change(&password, 1)).await.unwrap();
    let good = Probe {
        owner: Some("app_owner"),
        privileges: &[("public.t", "SELECT"), ("t", "INSERT")],
        read: Some("SELECT x FROM t"),
        write: Some("INSERT INTO t VALUES (1)"),
    };
    admin.probe("app_a", &password, &good).await.unwrap();
    admin.probe("app_a", &password, &Probe::default()).await.unwrap();
    assert_eq!(server.ask("SELECT count(*) FROM t").await, ["0"], "rolled back");
    for (probe, say) in [
        (Probe { owner: Some("somebody"), ..good }, "ALTER ROLE"),
        (Probe { privileges: &[("of_boss", "SELECT")], ..good }, "no SELECT on of_boss"),
        (Probe { read: Some("SELECT x FROM of_boss"), ..good }, "the probe's read failed"),
        (Probe { write: Some("INSERT INTO of_boss VALUES (1)"), ..good }, "the probe's write failed"),
    ] {
        let missing = admin.probe("app_a", &password, &probe).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Denied, "{missing}");
        assert!(missing.to_string().contains(say), "{missing}");
    }
    let wrong = admin.probe("app_a", &SecretText::from("second"), &good).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn what_would_fail_at_night_is_said_at_noon() {
    let Some(server) = Server::start().await else { return };
    let admin = Admin::open(server.settings()).unwrap();
    let none = admin.inspect("nobody", &["app_a"]).await.unwrap().join("\n");
    assert!(none.contains("CREATE ROLE nobody NOLOGIN") && none.contains("CREATE ROLE app_a"), "{none}");
    pair(&server).await;
    assert_eq!(admin.inspect("app_owner", &["app_a", "app_b"]).await.unwrap(), Vec::<String>::new());
    let boss = server.boss("shop").await;
    boss.batch_execute("REVOKE pg_signal_backend FROM admin; REVOKE app_owner FROM app_a; ALTER ROLE app_owner LOGIN; ALTER ROLE app_b SUPERUSER").await.unwrap();
    let found = admin.inspect("app_owner", &["app_a", "app_b"]).await.unwrap().join("\n");
    for say in [
        "ALTER ROLE app_owner NOLOGIN",
        "GRANT app_owner TO app_a",
        "end sessions of app_a: GRANT pg_signal_backend",
        "ALTER ROLE app_b NOSUPERUSER",
        "may not change app_b",
    ] {
        assert!(found.contains(say), "{say}: {found}");
    }
    boss.batch_execute("ALTER ROLE admin NOCREATEROLE").await.unwrap();
    assert!(
        admin.inspect("app_owner", &["app_a"]).await.unwrap().join("\n").contains("may not change app_a")
    );
}
