//! Where one request ends and the next begins (row C10): a smuggled request is answered by nobody.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::rig::{ROOT, Server, read};

/// A request that would show whether it got through.
fn smuggled() -> String {
    format!(
        "POST /v1/secret/data/smuggled HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {ROOT}\r\nContent-Length: 18\r\n\r\n{}",
        r#"{"data":{"k":"v"}}"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_ambiguous_framing_is_refused_and_the_connection_closed() {
    let server = Server::start().await;
    let inner = smuggled();
    let chunked = format!("0\r\n\r\n{inner}");
    let long = chunked.len();
    let cases = [
        ("both", format!("Content-Length: {long}\r\nTransfer-Encoding: chunked\r\n"), chunked.clone()),
        (
            "both, turned",
            format!("Transfer-Encoding: chunked\r\nContent-Length: {long}\r\n"),
            chunked.clone(),
        ),
        (
            "length 0 and chunks",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".into(),
            chunked.clone(),
        ),
        (
            "two codings",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".into(),
            chunked.clone(),
        ),
        ("odd coding", "Transfer-Encoding: xchunked\r\n".into(), chunked.clone()),
        ("coding not last", "Transfer-Encoding: chunked, gzip\r\n".into(), chunked.clone()),
        ("tab coding", "Transfer-Encoding:\x0bchunked\r\n".into(), chunked.clone()),
        (
            "two lengths",
            format!("Content-Length: 2\r\nContent-Length: {}\r\n", inner.len() + 2),
            format!("{{}}{inner}"),
        ),
        ("listed lengths", format!("Content-Length: 2, {}\r\n", inner.len() + 2), format!("{{}}{inner}")),
        ("signed length", "Content-Length: +2\r\n".into(), format!("{{}}{inner}")),
        ("negative length", "Content-Length: -2\r\n".into(), format!("{{}}{inner}")),
        ("hexadecimal length", "Content-Length: 0x2\r\n".into(), format!("{{}}{inner}")),
        ("huge length", "Content-Length: 18446744073709551618\r\n".into(), format!("{{}}{inner}")),
        (
            "huge chunk",
            "Transfer-Encoding: chunked\r\n".into(),
            format!("10000000000000002\r\n{{}}\r\n{chunked}"),
        ),
        ("signed chunk", "Transfer-Encoding: chunked\r\n".into(), format!("+2\r\n{{}}\r\n{chunked}")),
        ("coding before", "Transfer-Encoding: gzip, chunked\r\n".into(), chunked.clone()),
        ("equal lengths", "Content-Length: 2\r\nContent-Length: 2\r\n".into(), format!("{{}}{inner}")),
        ("bare line feed", "Content-Length: 2\nX-A: b\r\n".into(), format!("{{}}{inner}")),
        ("folded header", "X-A: a\r\n Content-Length: 2\r\n".into(), inner.clone()),
        ("space before colon", "Content-Length : 2\r\n".into(), format!("{{}}{inner}")),
        ("null in a header", "X-A: a\0b\r\n".into(), inner.clone()),
        ("line feed in a name", "X-A\nX-B: b\r\n".into(), inner.clone()),
    ];
    for (name, headers, body) in cases {
        let request = format!("POST /v1/secret/data/outer HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}");
        let reply = server.raw(request.as_bytes()).await;
        assert!(matches!(reply.status, 0 | 400 | 501), "{name}: {reply:?}");
        assert!(reply.closed && reply.answers <= 1, "{name}: {reply:?}");
        server.root("GET", "/v1/secret/data/smuggled", "").await.is(404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_what_follows_a_refused_body_is_not_a_request() {
    let server = Server::start().await;
    let inner = smuggled();
    // Refused by its head: the body is never read, and must not be read as a request.
    let length = inner.len();
    for head in [
        format!("POST /v1/a/../b HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
        format!(
            "POST /v1/secret/data/a HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n"
        ),
        format!("GET /v1/secret/data/a HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
        format!("BREW /v1/secret/data/a HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
    ] {
        let reply = server.raw(format!("{head}{inner}").as_bytes()).await;
        assert_eq!(reply.answers, 1, "{reply:?}");
        server.root("GET", "/v1/secret/data/smuggled", "").await.is(404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_a_row_are_answered_in_a_row() {
    let server = Server::start().await;
    let one = |number: usize| {
        let body = format!(r#"{{"data":{{"k":"{number}"}}}}"#);
        format!(
            "POST /v1/secret/data/{number} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {ROOT}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let all: String = (0..20).map(one).collect();
    let reply = server.raw(all.as_bytes()).await.is(200);
    assert_eq!(reply.answers, 20);
    let list = server.root("LIST", "/v1/secret/metadata", "").await.is(200).json();
    assert_eq!(list["data"]["keys"].as_array().unwrap().len(), 20);
}

/// A client that goes away leaves a whole write or none, and nothing that stops the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_leaves_nothing_half_done() {
    let server = Server::start().await;
    for round in 0..60_u64 {
        let mut stream = server.connect().await;
        stream.write_all(smuggled().as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_micros(round * 40)).await;
        drop(stream);
    }
    let mut stream = server.connect().await;
    stream.write_all(smuggled().as_bytes()).await.unwrap();
    let reply = read(&mut stream, Duration::from_secs(2)).await.is(200);
    let version = reply.json()["data"]["version"].as_u64().unwrap();
    let current = server.root("GET", "/v1/secret/metadata/smuggled", "").await.is(200).json();
    assert!(current["data"]["current_version"].as_u64().unwrap() >= version);
}
