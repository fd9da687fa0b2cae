//! Servers that only look like PostgreSQL: whatever they send or do not send, an action ends with an error in time, memory
//! stays bounded, other work goes on, and the password does not go over in clear.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test")]

use std::sync::Arc;
use std::time::Duration;

use coffre_database::{
    Connector as _, Database, Error, ErrorKind, Limits, Network, PasswordAuthentication, Plugin, Settings,
    Tls,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const PASSWORD: &str = "CANARY-password";
const TIMEOUT: Duration = Duration::from_millis(800);

/// A message of the protocol.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn login_done() -> Vec<u8> {
    [message(b'R', &[0, 0, 0, 0]), message(b'Z', b"I")].concat()
}

/// Answers each connection by `script`, what it gets as bytes after the startup message; all that was received.
async fn hostile(
    script: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
) -> (u16, Arc<tokio::sync::Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(tokio::sync::Mutex::new(Vec::new()));
    let all = Arc::clone(&heard);
    let script = Arc::new(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, Arc::clone(&script), Arc::clone(&all)));
        }
    });
    (port, heard)
}

async fn talk(
    mut stream: TcpStream,
    script: Arc<impl Fn(usize) -> Vec<u8>>,
    heard: Arc<tokio::sync::Mutex<Vec<u8>>>,
) {
    let mut buffer = [0; 4096];
    for turn in 0.. {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        heard.lock().await.extend_from_slice(&buffer[..read]);
        if stream.write_all(&script(turn)).await.is_err() {
            return;
        }
    }
}

fn open(port: u16, more: &str) -> Arc<dyn Database> {
    Network
        .open(Settings {
            plugin: Plugin::Postgresql,
            url: Some(format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/d{more}")),
            host: None,
            port: None,
            username: "admin".to_owned(),
            password: PASSWORD.into(),
            tls: Tls::default(),
            limits: Limits { timeout: TIMEOUT, ..Limits::default() },
            authentication: PasswordAuthentication::default(),
            raw_url: false,
        })
        .unwrap()
}

/// The error, which came in time and says nothing that it must not.
async fn refused(port: u16, more: &str) -> Error {
    let database = open(port, more);
    let started = Instant::now();
    // Other work on the same worker goes on.
    let mut ticks = 0;
    let mut clock = tokio::time::interval(Duration::from_millis(10));
    let asked = async {
        let users = database.users("v-").await.map(drop);
        users.and(database.verify().await)
    };
    tokio::pin!(asked);
    let failed = loop {
        tokio::select! {
            done = &mut asked => break done.unwrap_err(),
            _ = clock.tick() => ticks += 1,
        }
    };
    // Two actions, each with its time.
    let took = started.elapsed();
    assert!(took < TIMEOUT * 2 + Duration::from_millis(400), "{took:?}");
    assert!(ticks > 0 || took < Duration::from_millis(100), "{took:?}");
    assert!(!failed.to_string().contains("CANARY"), "{failed}");
    failed
}

#[tokio::test]
async fn i9_what_a_server_sends_costs_an_error_in_time() {
    let sasl = || message(b'R', &[&[0, 0, 0, 10][..], b"SCRAM-SHA-256\0\0"].concat());
    let rounds = |text: &'static [u8]| message(b'R', &[&[0, 0, 0, 11][..], text].concat());
    let row = |fields: u16, body: &[u8]| message(b'D', &[&fields.to_be_bytes()[..], body].concat());
    let columns = |count: u16| {
        let one = b"rolname\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
        message(b'T', &[&count.to_be_bytes()[..], &one.repeat(usize::from(count))].concat())
    };
    let query = move |rows: Vec<u8>| {
        [
            message(b'1', b""),
            message(b'2', b""),
            columns(1),
            rows,
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"I"),
        ]
        .concat()
    };
    let answers: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("silence", vec![vec![]]),
        ("noise", vec![vec![0xff; 100]]),
        ("http", vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]),
        ("a negative length", vec![b"R\xff\xff\xff\xff".to_vec()]),
        ("a length of 2 GiB", vec![[b"R\x7f\xff\xff\xff".as_slice(), &[0; 4096]].concat()]),
        ("a huge row", vec![login_done(), message(b'Z', b"I"), b"D\x7f\xff\xff\xff\0\x01".to_vec()]),
        ("2^31 rounds", vec![sasl(), rounds(b"r=x,s=c2FsdA==,i=2147483648")]),
        ("2^31 - 1 rounds of our nonce", vec![sasl(), rounds(b"r=,s=c2FsdA==,i=2147483647")]),
        ("no rounds", vec![sasl(), rounds(b"")]),
        ("no mechanisms", vec![message(b'R', &[0, 0, 0, 10])]),
        ("an error without fields", vec![message(b'E', b"")]),
        ("an error of noise", vec![message(b'E', b"S\xff\xfe\0C")]),
        ("an error in the midst", vec![login_done(), message(b'E', b"SFATAL\0C57P01\0MCANARY-password\0\0")]),
        (
            "a short row",
            vec![login_done(), [message(b'C', b"SET\0"), message(b'Z', b"I")].concat(), query(row(0, b""))],
        ),
        (
            "a row of -2",
            vec![
                login_done(),
                [message(b'C', b"SET\0"), message(b'Z', b"I")].concat(),
                query(row(1, b"\xff\xff\xff\xfe")),
            ],
        ),
        (
            "a field of 2 GiB",
            vec![
                login_done(),
                [message(b'C', b"SET\0"), message(b'Z', b"I")].concat(),
                query(row(1, b"\x7f\xff\xff\xff")),
            ],
        ),
        (
            "a row of other bytes",
            vec![
                login_done(),
                [message(b'C', b"SET\0"), message(b'Z', b"I")].concat(),
                query(row(1, b"\0\0\0\x02\xff\xfe")),
            ],
        ),
        (
            "too many fields",
            vec![
                login_done(),
                [message(b'C', b"SET\0"), message(b'Z', b"I")].concat(),
                query(row(0xffff, b"")),
            ],
        ),
        ("ready without an answer", vec![login_done(), message(b'Z', b"I"), message(b'Z', b"I")]),
    ];
    for (what, script) in answers {
        let (port, _) = hostile(move |turn| script.get(turn).cloned().unwrap_or_default()).await;
        let failed = refused(port, "?sslmode=disable").await;
        assert!(matches!(failed.kind(), ErrorKind::Unavailable | ErrorKind::Failed), "{what}: {failed:?}");
    }
}

#[tokio::test]
async fn i9_a_flood_ends_at_the_allowance() {
    let flood = [b"D\x7f\xff\xff\xff".as_slice(), &vec![b'x'; 64 << 20]].concat();
    let (port, _) = hostile(move |turn| match turn {
        0 => login_done(),
        1 => [message(b'C', b"SET\0"), message(b'Z', b"I")].concat(),
        _ => flood.clone(),
    })
    .await;
    let failed = refused(port, "?sslmode=disable").await;
    assert!(failed.transient(), "{failed}");
}

#[tokio::test]
async fn no_password_in_clear_without_tls() {
    for (mode, first) in [("disable", Vec::new()), ("prefer", b"N".to_vec())] {
        let asks = message(b'R', &[0, 0, 0, 3]);
        let skip = first.len();
        let (port, heard) = hostile(move |turn| match (skip, turn) {
            (1, 0) => b"N".to_vec(),
            _ => asks.clone(),
        })
        .await;
        let failed = refused(port, &format!("?sslmode={mode}")).await;
        assert!(failed.to_string().contains("in clear"), "{failed}");
        let heard = heard.lock().await;
        assert!(!heard.windows(PASSWORD.len()).any(|bytes| bytes == PASSWORD.as_bytes()));
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    for mode in ["require", "verify-full"] {
        let (port, heard) = hostile(|_| b"N".to_vec()).await;
        let failed = refused(port, &format!("?sslmode={mode}")).await;
        assert!(failed.to_string().contains("does not have it"), "{failed}");
        assert!(!String::from_utf8_lossy(&heard.lock().await).contains("admin"), "not even the user's name");
    }
}
