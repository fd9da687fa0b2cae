//! Two passwords of one user in a real Redis, as the rotation engine has them: fenced, written down, proven; what was
//! measured about Redis and is relied on (R1 to R4); a restart after every action.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test")]

mod servers;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use coffre_database::redis::{Admin, Kept, Persistence};
use coffre_database::{Error, ErrorKind};
use coffre_secret::SecretText;
use servers::redis::{ADMIN, Keeps, Server, settings};

/// A server with a user `app` whose password is `old-password`, written down.
fn with_user(keeps: Keeps) -> Option<Server> {
    let server = Server::start(keeps)?;
    let made = admin_says(&server, "ACL SETUSER app on >old-password ~app:* resetchannels +@read +set");
    assert!(made.contains("+OK"), "{made}");
    let kept = match keeps {
        Keeps::AclFile => admin_says(&server, "ACL SAVE"),
        Keeps::ConfigFile => admin_says(&server, "CONFIG REWRITE"),
        Keeps::Nowhere => return Some(server),
    };
    assert!(kept.ends_with("+OK\r\n+OK\r\n"), "{kept}");
    Some(server)
}

fn admin(server: &Server, persistence: Persistence) -> Admin {
    Admin::open(server.settings(), persistence).unwrap()
}

fn text(password: &str) -> SecretText {
    password.into()
}

async fn works(admin: &Admin, password: &str) -> bool {
    admin.logs_in("app", &text(password)).await.unwrap()
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_password_is_rotated_with_a_restart_after_every_action_in_both_modes() {
    for keeps in [Keeps::AclFile, Keeps::ConfigFile] {
        let Some(mut server) = with_user(keeps) else { return };
        let admin = admin(&server, Persistence::Proven);
        server.restart();
        assert!(works(&admin, "old-password").await);
        assert_eq!(admin.add("app", &text("new-password"), 1).await.unwrap(), Kept::Proven);
        assert_eq!(
            admin.add("app", &text("new-password"), 1).await.unwrap(),
            Kept::Proven,
            "again is the same"
        );
        server.restart();
        assert!(
            works(&admin, "old-password").await && works(&admin, "new-password").await,
            "{keeps:?}: both (R1)"
        );
        assert_eq!(admin.account("app").await.unwrap().unwrap().hashes.len(), 2);
        assert_eq!(admin.remove("app", &text("old-password"), 2).await.unwrap(), Kept::Proven);
        assert_eq!(admin.remove("app", &text("old-password"), 2).await.unwrap(), Kept::Proven);
        server.restart();
        assert!(!works(&admin, "old-password").await && works(&admin, "new-password").await, "{keeps:?}");
    }
}

#[tokio::test]
async fn rights_that_the_administrator_lacks_are_named_as_rules_that_give_them() {
    let Some(server) = with_user(Keeps::ConfigFile) else { return };
    let other = "ACL SETUSER lesser on >lesser-password +acl|whoami +info +config|get +acl|dryrun";
    assert!(admin_says(&server, other).contains("+OK"));
    let mut settings = server.settings();
    (settings.username, settings.password) = ("lesser".to_owned(), "lesser-password".into());
    let lesser = Admin::open(settings, Persistence::Rewrite).unwrap();
    let lacks = lesser.missing_rights("app").await.unwrap();
    assert!(lacks.contains(&"+exec") && lacks.contains(&"+config|rewrite"), "{lacks:?}");
    assert!(!lacks.contains(&"+acl|save"), "{lacks:?}");
    admin_says(&server, &format!("ACL SETUSER lesser {}", lacks.join(" ")));
    assert_eq!(lesser.missing_rights("app").await.unwrap(), ["~_rot:fence:*"]);
    admin_says(&server, "ACL SETUSER lesser ~_rot:fence:*");
    assert_eq!(lesser.missing_rights("app").await.unwrap(), Vec::<&str>::new());
    lesser.add("app", &text("new-password"), 1).await.unwrap();
    admin_says(&server, "ACL SETUSER lesser -acl|dryrun");
    assert_eq!(lesser.missing_rights("app").await.unwrap(), ["+acl|dryrun"]);
}

#[tokio::test]
async fn a_late_holder_changes_nothing_even_after_a_restart() {
    let Some(mut server) = with_user(Keeps::AclFile) else { return };
    let admin = admin(&server, Persistence::Proven);
    admin.add("app", &text("five"), 5).await.unwrap();
    for _ in 0..2 {
        assert_eq!(kind(admin.add("app", &text("four"), 4).await), Some(ErrorKind::Fenced));
        assert_eq!(kind(admin.remove("app", &text("five"), 4).await), Some(ErrorKind::Fenced));
        assert!(works(&admin, "five").await && !works(&admin, "four").await);
        server.restart();
    }
    assert!(admin_says(&server, "GET _rot:fence:app").contains("$1\r\n5\r\n"));
    admin_says(&server, "SET _rot:fence:app garbage");
    assert_eq!(kind(admin.add("app", &text("six"), 6).await), Some(ErrorKind::Failed));
    assert!(!works(&admin, "six").await);
}

#[tokio::test]
async fn holders_at_the_same_time_leave_the_largest_fence() {
    let Some(server) = with_user(Keeps::AclFile) else { return };
    let admin = admin(&server, Persistence::Proven);
    let changes = (1..=6_u64).map(|fence| {
        let admin = &admin;
        async move { (fence, admin.add("app", &text(&format!("password-{fence}")), fence).await) }
    });
    let done = futures_util::future::join_all(changes).await;
    let last = done.iter().filter(|(_, result)| result.is_ok()).map(|(fence, _)| *fence).max().unwrap();
    assert!(admin_says(&server, "GET _rot:fence:app").contains(&format!("$1\r\n{last}\r\n")));
    for (fence, result) in done {
        let there = works(&admin, &format!("password-{fence}")).await;
        match result {
            Ok(_) => assert!(there),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Unavailable), "{error}");
                assert!(!there, "refused, and done nevertheless");
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_kept_or_proven_is_said_before_the_operator_relies_on_it() {
    let Some(server) = with_user(Keeps::AclFile) else { return };
    admin(&server, Persistence::Proven).check_persistence().await.unwrap();
    assert_eq!(
        kind(admin(&server, Persistence::Rewrite).check_persistence().await),
        Some(ErrorKind::Invalid)
    );
    let wrong = admin(&server, Persistence::Rewrite).add("app", &text("x"), 1).await.unwrap_err();
    assert!(wrong.kind() == ErrorKind::Invalid && wrong.to_string().contains("declare `aclfile`"), "{wrong}");
    assert_eq!(admin(&server, Persistence::AclFile).persist("app").await.unwrap(), Kept::Proven);
    let Some(server) = with_user(Keeps::ConfigFile) else { return };
    let wrong = admin(&server, Persistence::AclFile).persist("app").await.unwrap_err();
    assert!(wrong.kind() == ErrorKind::Invalid && wrong.to_string().contains("declare `rewrite`"), "{wrong}");
    assert_eq!(admin(&server, Persistence::Rewrite).persist("app").await.unwrap(), Kept::Proven);
    let Some(server) = with_user(Keeps::Nowhere) else { return };
    assert!(admin(&server, Persistence::Proven).check_persistence().await.is_err());
    let nowhere = admin(&server, Persistence::Proven).add("app", &text("x"), 1).await.unwrap_err();
    assert!(nowhere.to_string().contains("forgets users"), "{nowhere}");
    assert_eq!(admin(&server, Persistence::Volatile).add("app", &text("x"), 1).await.unwrap(), Kept::Nowhere);
}

#[tokio::test]
async fn a_file_that_does_not_hold_the_change_is_no_proof() {
    let Some(server) = with_user(Keeps::AclFile) else { return };
    // The server writes elsewhere than its configuration says, as one in a container with a mapped port would.
    let real = server.acl_file();
    let kept = std::fs::read(&real).unwrap();
    let admin = admin(&server, Persistence::Proven);
    admin.add("app", &text("new-password"), 1).await.unwrap();
    let directory = server.directory.path().join("users.acl");
    std::fs::write(&directory, kept).unwrap();
    assert_eq!(admin.persist("app").await.unwrap(), Kept::Proven, "persisting writes it again");
    std::fs::remove_file(&directory).unwrap();
    std::fs::create_dir(&directory).unwrap();
    let refused = admin.add("app", &text("third"), 2).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Failed | ErrorKind::Invalid), "{refused}");
    std::fs::remove_dir(&directory).unwrap();
    assert_eq!(
        admin.add("app", &text("third"), 2).await.unwrap(),
        Kept::Proven,
        "and it is mended by repeating"
    );
}

#[tokio::test]
async fn the_last_password_and_users_that_are_not_there_are_left_alone() {
    let Some(server) = with_user(Keeps::AclFile) else { return };
    let admin = admin(&server, Persistence::Proven);
    assert_eq!(kind(admin.remove("app", &text("old-password"), 1).await), Some(ErrorKind::Invalid));
    assert!(works(&admin, "old-password").await);
    assert_eq!(kind(admin.add("nobody", &text("x"), 1).await), Some(ErrorKind::Failed));
    assert_eq!(admin.account("nobody").await.unwrap(), None);
    admin_says(&server, "ACL SETUSER open on nopass ~* +get");
    assert_eq!(kind(admin.add("open", &text("x"), 1).await), Some(ErrorKind::Invalid));
    assert!(admin.account("open").await.unwrap().unwrap().nopass);
}

#[tokio::test]
async fn open_connections_stay_until_they_are_ended_on_purpose() {
    let Some(server) = with_user(Keeps::AclFile) else { return };
    let admin = admin(&server, Persistence::Proven);
    let mut open = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
    open.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(say(&mut open, "AUTH app old-password"), "+OK\r\n");
    admin.add("app", &text("new-password"), 1).await.unwrap();
    admin.remove("app", &text("old-password"), 1).await.unwrap();
    assert_eq!(say(&mut open, "GET app:x"), "$-1\r\n", "removing a password leaves sessions alone (R2)");
    admin.kill("app").await.unwrap();
    assert_eq!(say(&mut open, "GET app:x"), "", "CLIENT KILL USER ends them (R2)");
    admin.kill("nobody").await.unwrap();
}

#[tokio::test]
async fn a_probe_tells_allowed_from_denied() {
    let Some(server) = with_user(Keeps::AclFile) else { return };
    let admin = admin(&server, Persistence::Proven);
    let command = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let allows = async |words: &str| admin.allows("app", &text("old-password"), &command(words)).await;
    assert!(allows("GET app:x").await.unwrap());
    assert!(allows("LLEN app:x").await.unwrap());
    assert!(!allows("GET other:x").await.unwrap());
    assert!(!allows("FLUSHALL").await.unwrap());
    assert_eq!(kind(allows("NOSUCHCOMMAND").await), Some(ErrorKind::Invalid));
    assert_eq!(
        kind(admin.allows("app", &text("wrong"), &command("PING")).await),
        Some(ErrorKind::Unauthenticated)
    );
    assert_eq!(kind(admin.allows("app", &text("old-password"), &[]).await), Some(ErrorKind::Invalid));
}

/// What Redis does that the code above stands on; a later version that does otherwise should fail here first.
#[tokio::test]
async fn redis_behaves_as_measured() {
    let Some(server) = with_user(Keeps::AclFile) else { return };
    // R3: with an ACL file CONFIG REWRITE says OK and writes no user.
    assert!(admin_says(&server, "CONFIG REWRITE").ends_with("+OK\r\n+OK\r\n"));
    assert!(!std::fs::read_to_string(server.config_file()).unwrap().contains("user app"));
    // R4: ACL SETUSER is refused in scripts.
    let script = admin_says(&server, "EVAL \"return redis.call('ACL','SETUSER','x','on')\" 0");
    assert!(script.contains("-ERR") && !admin_says(&server, "ACL USERS").contains("\nx\r"), "{script}");
    // R4: a watched fence that is written makes EXEC nil.
    let mut one = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
    for (command, answer) in [
        (format!("AUTH default {ADMIN}"), "+OK\r\n"),
        ("WATCH _rot:fence:app".to_owned(), "+OK\r\n"),
        ("MULTI".to_owned(), "+OK\r\n"),
        ("ACL SETUSER app >late".to_owned(), "+QUEUED\r\n"),
    ] {
        assert_eq!(say(&mut one, &command), answer);
    }
    admin_says(&server, "SET _rot:fence:app 9");
    assert_eq!(say(&mut one, "EXEC"), "*-1\r\n");
    // R3: without an ACL file ACL SAVE is an error.
    let Some(server) = with_user(Keeps::ConfigFile) else { return };
    assert!(admin_says(&server, "ACL SAVE").contains("-ERR"));
}

#[tokio::test]
async fn an_unreachable_server_is_tried_again_later() {
    let Some(mut server) = with_user(Keeps::AclFile) else { return };
    let admin = admin(&server, Persistence::Proven);
    server.stop();
    assert!(admin.add("app", &text("x"), 1).await.unwrap_err().transient());
    assert!(admin.verify().await.unwrap_err().transient());
    let wrong =
        Admin::open(settings("127.0.0.1", server.port, "not-the-password"), Persistence::Proven).unwrap();
    server.restart();
    assert_eq!(kind(wrong.verify().await), Some(ErrorKind::Unauthenticated));
    admin.verify().await.unwrap();
}

fn say(stream: &mut TcpStream, command: &str) -> String {
    let mut answer = [0; 512];
    if stream.write_all(format!("{command}\r\n").as_bytes()).is_err() {
        return String::new();
    }
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(answer.get(..read).unwrap()).into_owned()
}

/// An inline command of the administrator, and the answers to AUTH, to it and to nothing else.
fn admin_says(server: &Server, command: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
    stream.write_all(format!("AUTH default {ADMIN}\r\n{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned()
}
