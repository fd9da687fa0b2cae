//! Users of a real PostgreSQL as the database engine has them: made in one transaction, found, lengthened, removed with
//! their sessions and without losing what they made; no password in the server's log; nothing in a name is run.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test")]

#[path = "servers/postgres.rs"]
mod postgres;

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_database::{
    Connector as _, Database, Error, ErrorKind, Network, NewPassword, NewUser, PasswordAuthentication,
    statements,
};
use coffre_secret::SecretText;
use postgres::{ADMIN_PASSWORD, BOSS_PASSWORD, Server, column, connect};

const GROUP: &str = r#"CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE app_owner; ALTER ROLE "{{name}}" SET role = 'app_owner'"#;
const BARE: &str = "CREATE ROLE {{username}} LOGIN PASSWORD {{password}}";
const UNTIL: Wall = Wall::from_secs(4_000_000_000);
const PASSWORD: &str = "CANARY-user-1";

fn open(server: &Server) -> Arc<dyn Database> {
    Network.open(server.settings()).unwrap()
}

async fn create(database: &dyn Database, name: &str, password: &str, sql: &str) -> Result<(), Error> {
    let password = SecretText::from(password);
    let statements = [sql.to_owned()];
    database
        .create(&NewUser { name, password: &password, until: UNTIL, statements: &statements, rollback: &[] })
        .await
}

async fn until(server: &Server, name: &str) -> String {
    let name = statements::literal(name);
    let sql =
        format!("SELECT extract(epoch FROM rolvaliduntil)::bigint FROM pg_roles WHERE rolname = {name}");
    server.ask(&sql).await.join(",")
}

/// The text is not in the log, nor in the forms that it might be written in.
fn not_logged(server: &Server, secret: &str) {
    use base64::Engine as _;
    let log = server.log();
    assert!(log.contains("CREATE ROLE"), "the log holds statements at all");
    for form in [
        secret.to_owned(),
        percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string(),
        base64::engine::general_purpose::STANDARD.encode(secret),
        hex::encode(secret),
        secret.chars().rev().collect(),
    ] {
        assert!(!log.contains(&form), "{form} is in the server's log");
    }
}

#[tokio::test]
async fn a_user_lives_and_ends_with_its_lease_and_no_password_is_logged() {
    let Some(server) = Server::start().await else { return };
    let database = open(&server);
    database.verify().await.unwrap();
    for (name, sql) in [("v-one", GROUP), ("v-two", BARE)] {
        create(&*database, name, PASSWORD, sql).await.unwrap();
        assert_eq!(until(&server, name).await, "4000000000", "VALID UNTIL is the lease's end");
        assert!(database.logs_in(name, &PASSWORD.into()).await.unwrap());
        assert!(!database.logs_in(name, &"wrong".into()).await.unwrap());
        let again = create(&*database, name, PASSWORD, sql).await.unwrap_err();
        assert!(again.to_string().contains("already exists"), "{again}");
    }
    assert_eq!(database.users("v-").await.unwrap(), ["v-one", "v-two"]);
    assert_eq!(database.users("v_").await.unwrap(), Vec::<String>::new(), "no wildcard");
    database.extend("v-one", Wall::from_secs(4_100_000_000), &[]).await.unwrap();
    assert_eq!(until(&server, "v-one").await, "4100000000");
    let password = SecretText::from("CANARY-user-2");
    database
        .set_password(&NewPassword { name: "v-one", password: &password, statements: &[] })
        .await
        .unwrap();
    assert!(database.logs_in("v-one", &password).await.unwrap());
    assert!(!database.logs_in("v-one", &PASSWORD.into()).await.unwrap());
    for name in ["v-one", "v-two", "v-two", "never-there"] {
        database.remove(name, &[]).await.unwrap();
    }
    assert_eq!(database.users("v-").await.unwrap(), Vec::<String>::new());
    for secret in [PASSWORD, "CANARY-user-2", ADMIN_PASSWORD, BOSS_PASSWORD] {
        not_logged(&server, secret);
    }
}

#[tokio::test]
async fn i1_i3_i4_nothing_in_a_name_or_password_is_run() {
    let Some(server) = Server::start().await else { return };
    server.boss("shop").await.batch_execute("CREATE ROLE victim").await.unwrap();
    let roles = server.ask("SELECT count(*) FROM pg_roles").await;
    for authentication in [PasswordAuthentication::ScramSha256, PasswordAuthentication::Password] {
        let mut settings = server.settings();
        settings.authentication = authentication;
        let database = Network.open(settings).unwrap();
        for name in [
            r#"x";DROP ROLE victim;--"#,
            "'",
            r"\",
            "{{password}}",
            "v\" WITH PASSWORD 'x';--",
            "é🔑",
            "a $$ b",
        ] {
            let password = r#"'"\;$$--{{name}}"#;
            for sql in [GROUP, BARE] {
                create(&*database, name, password, sql).await.unwrap();
                assert!(database.logs_in(name, &password.into()).await.unwrap(), "{name}");
                let other = SecretText::from(r"\'x'||$a$");
                database
                    .set_password(&NewPassword { name, password: &other, statements: &[] })
                    .await
                    .unwrap();
                assert!(database.logs_in(name, &other).await.unwrap(), "{name}");
                database.extend(name, UNTIL, &[]).await.unwrap();
                database.remove(name, &[]).await.unwrap();
            }
        }
        for name in ["a\0b", "", &"x".repeat(64), "a\nb"] {
            assert_eq!(create(&*database, name, "p", GROUP).await.unwrap_err().kind(), ErrorKind::Invalid);
            assert_eq!(database.remove(name, &[]).await.unwrap_err().kind(), ErrorKind::Invalid);
        }
        assert!(create(&*database, "n", "a\0b", GROUP).await.is_err());
    }
    assert_eq!(server.ask("SELECT 1 FROM pg_roles WHERE rolname = 'victim'").await, ["1"]);
    assert_eq!(server.ask("SELECT count(*) FROM pg_roles").await, roles, "no other role, none left");
}

#[tokio::test]
async fn i14_statements_run_together_or_not_at_all() {
    let Some(server) = Server::start().await else { return };
    let database = open(&server);
    let fails = format!("{GROUP}; CREATE TABLE made (x int); GRANT nobody_has_this TO \"{{{{name}}}}\"");
    let refused = create(&*database, "v-half", PASSWORD, &fails).await.unwrap_err();
    assert!(
        refused.to_string().contains("nobody_has_this"),
        "the author of the statements sees why: {refused}"
    );
    let syntax =
        create(&*database, "v-half", PASSWORD, "CREATE ROLE {{name}} PASSWORD {{password}} {{password}}")
            .await;
    let syntax = syntax.unwrap_err().to_string();
    assert!(syntax.contains("42601") && !syntax.contains("CANARY") && !syntax.contains("SCRAM"), "{syntax}");
    let unknown =
        create(&*database, "v-half", PASSWORD, "CREATE ROLE {{name}} IN ROLE {{role}}").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Invalid);
    let none = create(&*database, "v-half", PASSWORD, "-- nothing").await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Invalid);
    assert_eq!(database.users("v-").await.unwrap(), Vec::<String>::new());
    assert_eq!(server.ask("SELECT 1 FROM pg_class WHERE relname = 'made'").await, Vec::<String>::new());
    not_logged(&server, PASSWORD);
}

#[tokio::test]
async fn p1_p2_p3_i2_the_end_of_a_user_ends_its_sessions_and_keeps_what_it_made() {
    let Some(server) = Server::start().await else { return };
    let database = open(&server);
    let boss = server.boss("postgres").await;
    boss.batch_execute("CREATE DATABASE other OWNER app_owner").await.unwrap();
    server.boss("shop").await.batch_execute("SET ROLE app_owner; CREATE TABLE kept (x int)").await.unwrap();
    create(&*database, "v-one", PASSWORD, GROUP).await.unwrap();
    create(&*database, "v-own", PASSWORD, &format!("{BARE}; GRANT app_owner TO {{{{name}}}}")).await.unwrap();
    // What a user makes and is given: in its owner's name, in its own, in another database, with a name that bites.
    let one = connect(server.port, "v-one", PASSWORD, "shop").await.unwrap();
    one.batch_execute("CREATE TABLE by_one (x int)").await.unwrap();
    server
        .boss("shop")
        .await
        .batch_execute("GRANT CREATE ON DATABASE shop TO \"v-own\"; GRANT SELECT ON kept TO \"v-own\"")
        .await
        .unwrap();
    server.boss("other").await.batch_execute("CREATE SCHEMA theirs AUTHORIZATION \"v-own\"").await.unwrap();
    let own = connect(server.port, "v-own", PASSWORD, "shop").await.unwrap();
    own.batch_execute("CREATE SCHEMA \"s\"\"; DROP TABLE kept;--\"; CREATE TABLE \"s\"\"; DROP TABLE kept;--\".made (x int)").await.unwrap();
    // P1: a new password leaves the session alone.
    let other = SecretText::from("CANARY-other");
    database.set_password(&NewPassword { name: "v-one", password: &other, statements: &[] }).await.unwrap();
    one.batch_execute("INSERT INTO by_one VALUES (1)").await.unwrap();
    database.remove("v-one", &[]).await.unwrap();
    // P2: without the end of its session it would go on as app_owner.
    assert!(one.batch_execute("INSERT INTO by_one VALUES (2)").await.is_err());
    database.remove("v-own", &[]).await.unwrap();
    assert!(own.batch_execute("SELECT 1").await.is_err());
    assert_eq!(database.users("v-").await.unwrap(), Vec::<String>::new());
    assert_eq!(server.ask("SELECT 1 FROM pg_class WHERE relname = 'kept'").await, ["1"]);
    let owners = "SELECT relowner::regrole FROM pg_class WHERE relname IN ('made', 'by_one')";
    assert_eq!(server.ask(owners).await, ["app_owner", "app_owner"]);
    let schema = column(
        &server.boss("other").await,
        "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'theirs'",
    )
    .await;
    assert_eq!(schema, ["app_owner"], "in the other database too");
    not_logged(&server, PASSWORD);
}

#[tokio::test]
async fn a_roles_own_statements_end_a_user_whose_sessions_are_ended_first() {
    let Some(server) = Server::start().await else { return };
    let database = open(&server);
    create(&*database, "v-one", PASSWORD, GROUP).await.unwrap();
    let one = connect(server.port, "v-one", PASSWORD, "shop").await.unwrap();
    let own = [
        "REASSIGN OWNED BY {{name}} TO app_owner; DROP OWNED BY {{name}}".to_owned(),
        "DROP ROLE {{name}};".to_owned(),
    ];
    let refused = database.remove("v-one", &["DROP ROLE {{password}}".to_owned()]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    server.boss("shop").await.batch_execute("GRANT \"v-one\" TO admin").await.unwrap();
    database.remove("v-one", &own).await.unwrap();
    assert!(one.batch_execute("SELECT 1").await.is_err());
    assert_eq!(database.users("v-").await.unwrap(), Vec::<String>::new());
    database.remove("v-one", &own).await.unwrap();
}

#[tokio::test]
async fn a_restart_in_the_middle_costs_one_error_and_leaves_nothing_half_done() {
    let Some(mut server) = Server::start().await else { return };
    let database = open(&server);
    for fast in [true, false] {
        create(&*database, "v-one", PASSWORD, GROUP).await.unwrap();
        server.stop(fast);
        let down = database.remove("v-one", &[]).await.unwrap_err();
        assert_eq!(down.kind(), ErrorKind::Unavailable, "{down}");
        let down = create(&*database, "v-two", PASSWORD, GROUP).await.unwrap_err();
        assert!(down.transient() && down.to_string().contains("refused"), "{down}");
        server.run().await;
        assert_eq!(database.users("v-").await.unwrap(), ["v-one"]);
        database.remove("v-one", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn i13_many_wait_for_few_connections_and_not_for_ever() {
    let Some(server) = Server::start().await else { return };
    let mut settings = server.settings();
    settings.limits.max_open = 3;
    let database = Network.open(settings).unwrap();
    let asks = (0..120).map(|_| database.verify());
    assert!(futures_util::future::join_all(asks).await.iter().all(Result::is_ok));
    let open = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'admin'";
    assert_eq!(server.ask(open).await, ["3"]);
    // One who holds a lock makes the others wait.
    let mut settings = server.settings();
    (settings.limits.max_open, settings.limits.timeout) = (1, Duration::from_millis(600));
    let database = Network.open(settings).unwrap();
    let boss = server.boss("shop").await;
    boss.batch_execute("BEGIN; LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let bound = Duration::from_secs(6);
    let asks = futures_util::future::join_all((0..8).map(|_| database.users("v-")));
    let answers = tokio::time::timeout(bound, asks).await.unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(Error::transient)));
    assert!(answers.iter().any(|answer| answer.as_ref().unwrap_err().to_string().contains("busy")));
    assert!(create(&*database, "v-late", PASSWORD, BARE).await.unwrap_err().transient());
    boss.batch_execute("ROLLBACK").await.unwrap();
    database.verify().await.unwrap();
    assert_eq!(database.users("v-").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn i5_i7_no_error_shows_a_credential_and_no_parameter_reads_a_file() {
    let Some(server) = Server::start().await else { return };
    let encoded =
        percent_encoding::utf8_percent_encode(ADMIN_PASSWORD, percent_encoding::NON_ALPHANUMERIC).to_string();
    let base = format!("127.0.0.1:{}/shop", server.port);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut seen = Vec::new();
    for url in [
        format!("postgresql://{{{{username}}}}x:{{{{password}}}}@{base}"),
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{free}/shop"),
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@no-such-host.invalid:{}/shop", server.port),
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/CANARY-none", server.port),
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@{base}?sslmode=require"),
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@{base}?sslrootcert=/etc/shadow"),
        "postgresql://{{username}}:{{password}}@%2Ftmp%2Fevil/{{password}}".to_owned(),
        format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@{base}/{{{{password}}}}?options={{{{password}}}}"
        ),
        "host=127.0.0.1 port={{password}} password={{password}} passfile={{password}}".to_owned(),
        format!("postgresql://admin:{ADMIN_PASSWORD}@{base}?{ADMIN_PASSWORD}={ADMIN_PASSWORD}"),
    ] {
        let failed = match Network.open(postgres::settings(&url)) {
            Ok(database) => database.verify().await.unwrap_err(),
            Err(failed) => failed,
        };
        for secret in [ADMIN_PASSWORD, &encoded, "CANARY-admin"] {
            assert!(!format!("{failed} {failed:?}").contains(secret), "{url}: {failed}");
        }
        seen.push(failed.kind());
    }
    assert_eq!(seen[0], ErrorKind::Unauthenticated);
    assert_eq!(seen[1], ErrorKind::Unavailable);
    assert_eq!(seen[2], ErrorKind::Unavailable);
    assert_eq!(seen[5], ErrorKind::Invalid);
    assert!(!server.log().contains("CANARY-admin"));
}

#[tokio::test]
async fn i11_a_user_that_is_still_being_made_is_not_taken_for_gone() {
    let Some(server) = Server::start().await else { return };
    let database = open(&server);
    let slow = format!("{GROUP}; SELECT pg_sleep(1.5)");
    let made = create(&*database, "v-slow", PASSWORD, &slow);
    let removed = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        database.remove("v-slow", &[]).await
    };
    let (made, removed) = futures_util::future::join(made, removed).await;
    made.unwrap();
    removed.unwrap();
    assert_eq!(database.users("v-").await.unwrap(), Vec::<String>::new());
}
