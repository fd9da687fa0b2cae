//! Users of a real MariaDB as the database engine has them; TLS; hostile names and peers.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test")]

#[path = "servers/mariadb.rs"]
mod mariadb;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_database::mysql::Mysql;
use coffre_database::{
    Database as _, Error, ErrorKind, Limits, NewPassword, NewUser, PasswordAuthentication, Plugin, Settings,
    Tls,
};
use coffre_secret::SecretText;
use mariadb::{ADMIN, MariaDb};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};

const CREATE: &str =
    "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON shop.* TO '{{name}}'@'%';";

fn settings(port: u16, parameters: &str) -> Settings {
    Settings {
        plugin: Plugin::Mysql,
        url: Some(format!("{{{{username}}}}:{{{{password}}}}@tcp(localhost:{port})/{parameters}")),
        host: None,
        port: None,
        username: "admin".to_owned(),
        password: ADMIN.into(),
        tls: Tls::default(),
        limits: Limits { timeout: Duration::from_secs(10), ..Limits::default() },
        authentication: PasswordAuthentication::default(),
        raw_url: false,
    }
}

async fn create(
    db: &Mysql,
    name: &str,
    password: &str,
    statements: &str,
    rollback: &[String],
) -> Result<(), Error> {
    let (password, statements) = (SecretText::from(password), [statements.to_owned()]);
    let until = Wall::from_secs(4_000_000_000);
    db.create(&NewUser { name, password: &password, until, statements: &statements, rollback }).await
}

async fn logs_in(db: &Mysql, name: &str, password: &str) -> bool {
    db.logs_in(name, &password.into()).await.unwrap()
}

async fn set_password(db: &Mysql, name: &str, password: &str) -> Result<(), Error> {
    db.set_password(&NewPassword { name, password: &password.into(), statements: &[] }).await
}

async fn plain(port: u16, user: &str, password: &str) -> Conn {
    let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).prefer_socket(false);
    Conn::new(options.user(Some(user)).pass(Some(password))).await.unwrap()
}

#[tokio::test]
async fn users_come_and_go_with_their_sessions() {
    let Some(server) = MariaDb::start(|_| Vec::new()) else { return };
    let db = Mysql::open(settings(server.port, "")).unwrap();
    db.verify().await.unwrap();
    made_changed_and_removed(&server, &db).await;
    half_made_users_are_cleared_away(&db).await;
    names_and_passwords_do_nothing_of_their_own(&server, &db).await;
    rights_are_told(&server).await;
}

async fn made_changed_and_removed(server: &MariaDb, db: &Mysql) {
    create(db, "v_one", "first-password", CREATE, &[]).await.unwrap();
    create(db, "v_two", "second-password", CREATE, &[]).await.unwrap();
    assert!(logs_in(db, "v_one", "first-password").await && !logs_in(db, "v_one", "second-password").await);
    assert_eq!(db.users("v_").await.unwrap(), ["v_one", "v_two"]);
    assert_eq!(db.users("%").await.unwrap(), Vec::<String>::new());
    set_password(db, "v_one", "third-password").await.unwrap();
    assert!(logs_in(db, "v_one", "third-password").await && !logs_in(db, "v_one", "first-password").await);
    assert_eq!(set_password(db, "v_nobody", "x").await.unwrap_err().kind(), ErrorKind::Failed);
    db.extend("v_one", Wall::from_secs(4_000_000_000), &[]).await.unwrap();

    let mut session = plain(server.port, "v_one", "third-password").await;
    session.query_drop("SELECT 1").await.unwrap();
    db.remove("v_one", &[]).await.unwrap();
    assert!(session.query_drop("SELECT 1").await.is_err(), "the open session ended with its user");
    db.remove("v_one", &[]).await.unwrap();
    let own =
        ["REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{{name}}'@'%'; DROP USER '{{name}}'@'%'".to_owned()];
    db.remove("v_two", &own).await.unwrap();
    db.remove("v_two", &own).await.unwrap();
    assert_eq!(db.users("v_").await.unwrap(), Vec::<String>::new());
    assert_eq!(db.remove("admin", &[]).await.unwrap_err().kind(), ErrorKind::Invalid);
}

async fn half_made_users_are_cleared_away(db: &Mysql) {
    let broken =
        "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT NONSENSE ON shop.* TO '{{name}}'@'%'";
    for rollback in [vec![], vec!["DROP USER '{{name}}'@'%'".to_owned()]] {
        let refused = create(db, "v_half", "half-password", broken, &rollback).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        assert!(!refused.to_string().contains("half-password"));
        assert_eq!(db.users("v_").await.unwrap(), Vec::<String>::new());
    }
    assert_eq!(create(db, "v_none", "p", "", &[]).await.unwrap_err().kind(), ErrorKind::Invalid);
    create(db, "v_once", "p1", CREATE, &[]).await.unwrap();
    create(db, "v_once", "p2", CREATE, &[]).await.unwrap_err();
    assert!(logs_in(db, "v_once", "p1").await, "the user who was there is left alone");
    db.remove("v_once", &[]).await.unwrap();
}

async fn names_and_passwords_do_nothing_of_their_own(server: &MariaDb, db: &Mysql) {
    let name = "x'@'%'; DROP USER admin; -- x";
    let password = "a'b\\'c\"; DROP USER admin; -- \u{e9}";
    create(db, name, password, CREATE, &[]).await.unwrap();
    assert!(logs_in(db, name, password).await);
    set_password(db, name, "\\").await.unwrap();
    assert!(logs_in(db, name, "\\").await);
    assert_eq!(db.users("x'").await.unwrap(), [name]);
    // A server set to other quoting is spoken to as usual.
    let mut admin = plain(server.port, "admin", ADMIN).await;
    admin.query_drop("SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'").await.unwrap();
    set_password(db, name, password).await.unwrap();
    assert!(logs_in(db, name, password).await);
    db.remove(name, &[]).await.unwrap();
    admin.query_drop("SET GLOBAL sql_mode = DEFAULT").await.unwrap();
    for name in ["", "a ", "a\0b", "a\nb", "123456789012345678901234567890123"] {
        assert_eq!(
            create(db, name, "p", CREATE, &[]).await.unwrap_err().kind(),
            ErrorKind::Invalid,
            "{name:?}"
        );
    }
    db.verify().await.unwrap();
}

async fn rights_are_told(server: &MariaDb) {
    let mut admin = plain(server.port, "admin", ADMIN).await;
    admin
        .query_drop("CREATE USER little@'%' IDENTIFIED BY 'little'; GRANT SELECT ON mysql.user TO little@'%'")
        .await
        .unwrap();
    let mut weak = settings(server.port, "");
    (weak.username, weak.password) = ("little".to_owned(), "little".into());
    let db = Mysql::open(weak).unwrap();
    db.verify().await.unwrap();
    assert_eq!(create(&db, "v_x", "p", CREATE, &[]).await.unwrap_err().kind(), ErrorKind::Denied);
    let mut wrong = settings(server.port, "");
    wrong.password = "wrong".into();
    assert_eq!(Mysql::open(wrong).unwrap().verify().await.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn tls_is_verified_by_the_anchors_that_are_given() {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let started = MariaDb::start(|directory| {
        std::fs::write(directory.join("cert.pem"), &certificate).unwrap();
        std::fs::write(directory.join("key.pem"), &key).unwrap();
        let directory = directory.display();
        vec![format!("--ssl-cert={directory}/cert.pem"), format!("--ssl-key={directory}/key.pem")]
    });
    let Some(server) = started else { return };
    let with = |host: &str, parameters: &str, ca: Option<&str>| {
        let mut settings = settings(server.port, parameters);
        settings.url = settings.url.map(|url| url.replace("localhost", host));
        settings.tls.ca = ca.map(str::to_owned);
        Mysql::open(settings).unwrap()
    };
    with("localhost", "?tls=custom", Some(&certificate)).verify().await.unwrap();
    with("127.0.0.1", "?tls=skip-verify", None).verify().await.unwrap();
    for db in [with("localhost", "?tls=true", None), with("127.0.0.1", "", Some(&certificate))] {
        let refused = db.verify().await.unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
    let mut admin = plain(server.port, "admin", ADMIN).await;
    admin.query_drop("CREATE USER safe@'%' IDENTIFIED BY 'p' REQUIRE SSL").await.unwrap();
    assert!(with("localhost", "", Some(&certificate)).logs_in("safe", &"p".into()).await.unwrap());
    assert!(!with("localhost", "", None).logs_in("safe", &"p".into()).await.unwrap());
}

#[tokio::test]
async fn i9_a_hostile_or_silent_peer_costs_an_error_in_time() {
    let lies: [&'static [u8]; 5] = [
        b"\xff\xff\xff\x00\x0a5.5.5\0",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x01\x00\x00\x00\xff",
        b"\x00\x00\x00\x00",
        b"",
    ];
    for lie in lies {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut quick = settings(listener.local_addr().unwrap().port(), "");
        quick.limits.timeout = Duration::from_secs(2);
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _sent = stream.write_all(lie);
            let _read = stream.read(&mut [0; 64]);
        });
        let refused = Mysql::open(quick).unwrap().verify().await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Failed | ErrorKind::Unavailable), "{lie:?}: {refused}");
    }
}
