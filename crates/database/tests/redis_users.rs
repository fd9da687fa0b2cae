//! Users of a real Redis as the database engine has them: made, found, given another password, removed; written down in
//! both ways a server has; hostile peers cost an error and little memory.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test")]

mod servers;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_database::redis::Redis;
use coffre_database::{Database as _, Error, ErrorKind, NewPassword, NewUser, Tls};
use coffre_secret::SecretText;
use servers::redis::{ADMIN, Keeps, Server, settings};

const RULES: &str = r#"["~app:*", "resetchannels", "+@read", "+set"]"#;

async fn create(redis: &Redis, name: &str, password: &str, statements: &[&str]) -> Result<(), Error> {
    let statements: Vec<String> = statements.iter().map(|text| (*text).to_owned()).collect();
    let password = SecretText::from(password);
    let until = Wall::from_secs(4_000_000_000);
    redis.create(&NewUser { name, password: &password, until, statements: &statements, rollback: &[] }).await
}

async fn logs_in(redis: &Redis, name: &str, password: &str) -> bool {
    redis.logs_in(name, &password.into()).await.unwrap()
}

async fn set_password(redis: &Redis, name: &str, password: &str) -> Result<(), Error> {
    redis.set_password(&NewPassword { name, password: &password.into(), statements: &[] }).await
}

#[tokio::test]
async fn users_outlive_a_restart_and_removed_ones_stay_removed_in_both_modes() {
    for keeps in [Keeps::AclFile, Keeps::ConfigFile] {
        let Some(mut server) = Server::start(keeps) else { return };
        let redis = Redis::open(server.settings()).unwrap();
        redis.verify().await.unwrap();
        create(&redis, "v_one", "first-password", &[RULES]).await.unwrap();
        create(&redis, "v_two", "second-password", &[]).await.unwrap();
        server.restart();
        assert!(logs_in(&redis, "v_one", "first-password").await, "{keeps:?}");
        assert!(!logs_in(&redis, "v_one", "second-password").await);
        assert_eq!(redis.users("v_").await.unwrap(), ["v_one", "v_two"]);
        set_password(&redis, "v_one", "third-password").await.unwrap();
        redis.remove("v_two", &[]).await.unwrap();
        server.restart();
        assert!(logs_in(&redis, "v_one", "third-password").await, "{keeps:?}");
        assert!(!logs_in(&redis, "v_one", "first-password").await);
        assert_eq!(redis.users("v_").await.unwrap(), ["v_one"]);
        redis.remove("v_two", &[]).await.unwrap();
        for file in [server.acl_file(), server.config_file()] {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            assert!(!text.contains("first-password") && !text.contains("third-password"));
        }
    }
}

#[tokio::test]
async fn a_removal_that_was_not_written_down_is_when_it_is_repeated() {
    let Some(mut server) = Server::start(Keeps::AclFile) else { return };
    let redis = Redis::open(server.settings()).unwrap();
    create(&redis, "v_gone", "a-password", &[RULES]).await.unwrap();
    // What a crash between DELUSER and ACL SAVE leaves.
    let admin = raw(server.port, &format!("AUTH default {ADMIN}\r\nACL DELUSER v_gone\r\n"));
    assert!(admin.contains(":1"), "{admin}");
    redis.remove("v_gone", &[]).await.unwrap();
    server.restart();
    assert_eq!(redis.users("v_").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_without_files_forgets_users_and_that_is_no_error() {
    let Some(mut server) = Server::start(Keeps::Nowhere) else { return };
    let redis = Redis::open(server.settings()).unwrap();
    create(&redis, "v_short", "a-password", &[RULES]).await.unwrap();
    assert!(logs_in(&redis, "v_short", "a-password").await);
    server.restart();
    assert!(!logs_in(&redis, "v_short", "a-password").await);
    redis.remove("v_short", &[]).await.unwrap();
}

#[tokio::test]
async fn removing_a_user_ends_its_connections() {
    let Some(server) = Server::start(Keeps::AclFile) else { return };
    let redis = Redis::open(server.settings()).unwrap();
    create(&redis, "v_open", "a-password", &[RULES]).await.unwrap();
    let mut open = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
    open.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    open.write_all(b"AUTH v_open a-password\r\nGET app:x\r\n").unwrap();
    let mut said = [0; 64];
    let mut there = 0;
    while !said[..there].ends_with(b"$-1\r\n") {
        there += open.read(&mut said[there..]).unwrap();
    }
    redis.remove("v_open", &[]).await.unwrap();
    let rest = open.read(&mut said);
    assert!(matches!(rest, Ok(0) | Err(_)), "the connection is closed: {rest:?}");
}

#[tokio::test]
async fn i14_rules_and_names_that_would_do_more_change_nothing() {
    let Some(mut server) = Server::start(Keeps::ConfigFile) else { return };
    let redis = Redis::open(server.settings()).unwrap();
    for rules in [
        r#"["nopass"]"#,
        r#"["~*", ">known"]"#,
        r#"["on", "+@all"]"#,
        r#"["~a\"b"]"#,
        "+@all",
        r#"["+@nosuch"]"#,
    ] {
        let refused = create(&redis, "v_bad", "a-password", &[rules]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{rules}: {refused}");
    }
    for name in ["v bad", "v\r\nFLUSHALL", "v\0", "v\"", "", "default"] {
        assert_eq!(
            create(&redis, name, "a-password", &[RULES]).await.unwrap_err().kind(),
            ErrorKind::Invalid,
            "{name:?}"
        );
        assert_eq!(redis.remove(name, &[]).await.unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
    }
    assert_eq!(redis.users("").await.unwrap(), ["default"]);
    // Passwords may be any text: only its hash is sent, and AUTH states its length.
    let odd = "a b\r\nFLUSHALL\r\n\"'\\ \u{e9}";
    create(&redis, "v_odd", odd, &[RULES]).await.unwrap();
    assert!(logs_in(&redis, "v_odd", odd).await);
    server.restart();
    assert!(logs_in(&redis, "v_odd", odd).await);
    assert_eq!(set_password(&redis, "v_nobody", "x").await.unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(redis.users("v_").await.unwrap(), ["v_odd"], "no user is made by a change of password");
}

#[tokio::test]
async fn the_administrator_can_change_its_own_password_for_good() {
    for keeps in [Keeps::AclFile, Keeps::ConfigFile] {
        let Some(mut server) = Server::start(keeps) else { return };
        let redis = Redis::open(server.settings()).unwrap();
        set_password(&redis, "default", "only-the-server-knows").await.unwrap();
        server.restart();
        assert_eq!(redis.verify().await.unwrap_err().kind(), ErrorKind::Unauthenticated);
        Redis::open(settings("127.0.0.1", server.port, "only-the-server-knows"))
            .unwrap()
            .verify()
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_administrator_without_rights_is_told_which() {
    let Some(server) = Server::start(Keeps::AclFile) else { return };
    raw(server.port, &format!("AUTH default {ADMIN}\r\nACL SETUSER little on >little +acl|whoami\r\n"));
    let mut weak = settings("127.0.0.1", server.port, "little");
    weak.username = "little".to_owned();
    let redis = Redis::open(weak).unwrap();
    redis.verify().await.unwrap();
    let refused = create(&redis, "v_x", "a-password", &[RULES]).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.to_string().contains("ACL SETUSER")),
        (ErrorKind::Denied, true),
        "{refused}"
    );
}

#[tokio::test]
async fn monitor_and_slow_log_hold_no_password() {
    let Some(server) = Server::start_with(Keeps::AclFile, |_| vec!["slowlog-log-slower-than 0".to_owned()])
    else {
        return;
    };
    let redis = Redis::open(server.settings()).unwrap();
    let mut monitor = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
    monitor.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    monitor.write_all(format!("AUTH default {ADMIN}\r\nMONITOR\r\n").as_bytes()).unwrap();
    create(&redis, "v_seen", "unseen-password", &[RULES]).await.unwrap();
    assert!(logs_in(&redis, "v_seen", "unseen-password").await);
    let mut heard = Vec::new();
    let _timed_out = monitor.read_to_end(&mut heard);
    let slow = raw(server.port, &format!("AUTH default {ADMIN}\r\nSLOWLOG GET 128\r\nACL LIST\r\n"));
    let all = String::from_utf8_lossy(&heard).into_owned() + &slow;
    assert!(slow.contains("v_seen"), "{slow}");
    assert!(!all.contains("unseen-password"), "{all}");
}

#[tokio::test]
async fn tls_is_verified_by_the_anchors_that_are_given() {
    let Some((_server, port, ca)) = tls_server() else { return };
    let with = |host: &str, ca: Option<&str>, insecure| {
        let mut settings = settings(host, port, ADMIN);
        settings.tls = Tls { required: true, ca: ca.map(str::to_owned), client: None, insecure };
        Redis::open(settings).unwrap()
    };
    let redis = with("localhost", Some(&ca), false);
    redis.verify().await.unwrap();
    create(&redis, "v_tls", "a-password", &[RULES]).await.unwrap();
    assert!(logs_in(&redis, "v_tls", "a-password").await);
    for (host, ca, why) in
        [("localhost", None, "no anchor"), ("127.0.0.1", Some(ca.as_str()), "another name")]
    {
        let refused = with(host, ca, false).verify().await.unwrap_err();
        assert!(refused.to_string().contains("not trusted"), "{why}: {refused}");
    }
    with("127.0.0.1", None, true).verify().await.unwrap();
    assert!(
        Redis::open({
            let mut settings = settings("localhost", port, ADMIN);
            settings.tls =
                Tls { required: true, ca: Some("no certificate".to_owned()), client: None, insecure: false };
            settings
        })
        .is_err_and(|error| error.kind() == ErrorKind::Invalid)
    );
}

/// A server, the port on which it speaks TLS with a certificate for `localhost`, and that certificate.
fn tls_server() -> Option<(Server, u16, String)> {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let tls_port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let server = Server::start_with(Keeps::AclFile, |directory| {
        std::fs::write(directory.join("cert.pem"), &certificate).unwrap();
        std::fs::write(directory.join("key.pem"), &key).unwrap();
        let directory = directory.display();
        vec![
            format!("tls-port {tls_port}"),
            format!("tls-cert-file {directory}/cert.pem"),
            format!("tls-key-file {directory}/key.pem"),
            "tls-auth-clients no".to_owned(),
        ]
    })?;
    Some((server, tls_port, certificate))
}

#[tokio::test]
async fn i9_a_hostile_server_costs_an_error_and_not_much_else() {
    let lies: [&'static [u8]; 7] = [
        b"$9223372036854775807\r\n",
        b"*2147483647\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-WRONGPASS Secret-Echo\r\n",
        b"-Secret-Echo what\r\n",
        b"",
    ];
    for lie in lies {
        let port = peer(lie);
        let redis = Redis::open(settings("127.0.0.1", port, "p")).unwrap();
        let refused = redis.verify().await.unwrap_err();
        assert!(!refused.to_string().contains("Secret-Echo"), "{refused}");
        assert_ne!(refused.kind(), ErrorKind::Denied);
    }
    let refused = Redis::open(settings("127.0.0.1", peer(b"+OK\r\n:1\r\n"), "p")).unwrap().users("v").await;
    assert_eq!(refused.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn i9_a_server_that_says_nothing_is_left_after_the_time_out() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut quick = settings("127.0.0.1", silent.local_addr().unwrap().port(), "p");
    quick.limits.timeout = Duration::from_millis(200);
    quick.limits.max_open = 1;
    let redis = Redis::open(quick).unwrap();
    let (one, two) = tokio::join!(redis.verify(), redis.verify());
    assert!(one.unwrap_err().transient() && two.unwrap_err().transient());
    drop(silent);
    assert!(redis.verify().await.unwrap_err().transient());
}

/// Answers everything with these bytes, once.
fn peer(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 512];
        let _read = stream.read(&mut asked);
        let _sent = stream.write_all(answer);
    });
    port
}

/// Inline commands of a plain client, and what comes back.
fn raw(port: u16, commands: &str) -> String {
    let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(format!("{commands}QUIT\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
