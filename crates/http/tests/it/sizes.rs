//! Sizes and slow clients (rows C12, K1, K3, K4): bounded, refused early, and no burden for others.

use std::time::Duration;

use coffre_http::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::rig::{Server, read};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c12_giant_heads_are_refused_and_the_connection_closed() {
    let server = Server::start().await;
    let token = "t".repeat(9 * 1024);
    server.ask("GET", "/v1/sys/mounts", &token, "").await.is(400);
    let many: String = (0..200).map(|number| format!("X-{number}: a\r\n")).collect();
    let reply = server.raw(format!("GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes()).await;
    assert!(matches!(reply.status, 400 | 431) && reply.closed, "{reply:?}");
    let big = "a".repeat(1 << 20);
    let reply =
        server.raw(format!("GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nX-A: {big}\r\n\r\n").as_bytes()).await;
    assert!(matches!(reply.status, 0 | 400 | 431) && reply.closed, "{}", reply.head);
    let reply = server.raw(format!("GET /v1/{big} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
    assert!(matches!(reply.status, 0 | 400 | 414 | 431) && reply.closed, "{}", reply.head);
    let long = format!("/v1/secret/data/{}", "a".repeat(2_000));
    server.root("GET", &long, "").await.is(400);
    let query: String = (0..1_000).map(|number| format!("q{number}=1&")).collect();
    server.root("GET", &format!("/v1/sys/health?{query}"), "").await.is(400);
    server.root("GET", "/v1/sys/health", "").await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_bodies_that_would_grow_are_refused_before_anybody_is_asked_who_they_are() {
    let server = Server::start().await;
    let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let arrays = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let keys: String = (0..1_000_000).map(|number| format!("\"{number}\":1,")).collect();
    let keys = format!("{{{keys}\"z\":1}}");
    let strings = format!(r#"{{"a":[{}"z"]}}"#, "\"a\",".repeat(1_000_000));
    let string = format!(r#"{{"a":"{}"}}"#, "a".repeat(30 << 20));
    let digits = format!(r#"{{"data":{{"a":{}}}}}"#, "1".repeat(1_000_000));
    for (name, body) in
        [("deep", deep), ("arrays", arrays), ("keys", keys), ("strings", strings), ("string", string)]
    {
        let begun = Instant::now();
        server.ask("POST", "/v1/secret/data/a", "", &body).await.is(400);
        assert!(begun.elapsed() < Duration::from_secs(15), "{name}: {:?}", begun.elapsed());
    }
    for body in [digits.as_str(), r#"{"a":1e999999}"#] {
        let reply = server.ask("POST", "/v1/secret/data/a", "", body).await;
        assert!(matches!(reply.status, 400 | 403 | 413), "{}", reply.head);
    }
    for body in
        ["[]", "1", "\"a\"", "{", "{}{}", r#"{"a":1,"a":2}"#, "\u{feff}{}", "nul", r#"{"a":"\ud800"}"#]
    {
        server.ask("POST", "/v1/secret/data/a", "", body).await.is(400);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k3_a_body_beyond_the_limit_is_refused_announced_or_not() {
    let server = Server::with(Limits { max_body: 64 << 10, ..Limits::default() }).await;
    let head = "POST /v1/secret/data/a HTTP/1.1\r\nHost: x\r\n";
    let announced = format!("{head}Content-Length: 10737418240\r\n\r\n");
    let reply = server.raw(announced.as_bytes()).await.is(413);
    assert_eq!(reply.answers, 1);
    let mut stream = server.connect().await;
    stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    let mut sent = 0;
    while sent < 64 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 1;
    }
    let reply = read(&mut stream, Duration::from_secs(2)).await;
    assert!(matches!(reply.status, 0 | 413) && reply.closed, "{reply:?}");
    let largest = format!(r#"{{"data":{{"k":"{}"}}}}"#, "a".repeat(60 << 10));
    server.root("POST", "/v1/secret/data/a", &largest).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k4_slow_heads_and_bodies_are_cut_off_and_others_are_served() {
    let short = Duration::from_millis(600);
    let idle = Duration::from_secs(6);
    let server = Server::with(Limits { headers: short, body: short, idle, ..Limits::default() }).await;
    let head = "POST /v1/secret/data/a HTTP/1.1\r\nHost: x\r\n";
    let mut slow = Vec::new();
    for number in 0..60 {
        let mut stream = server.connect().await;
        let begin = match number % 3 {
            0 => "",
            1 => head,
            _ => "POST /v1/secret/data/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        };
        stream.write_all(begin.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let begun = Instant::now();
    server.root("GET", "/v1/sys/health", "").await.is(200);
    assert!(begun.elapsed() < Duration::from_secs(1));
    // Those that began a request first: they have less time than those that wait.
    let (waiting, begun): (Vec<_>, Vec<_>) =
        slow.into_iter().enumerate().partition(|(number, _)| number % 3 == 0);
    let cut_off = async |streams: Vec<(usize, TcpStream)>| {
        for (number, mut stream) in streams {
            loop {
                // One byte now and then does not keep it open.
                let gone = number % 3 != 0 && stream.write_all(b" ").await.is_err();
                if gone || read(&mut stream, Duration::from_millis(50)).await.closed {
                    break;
                }
            }
        }
    };
    timeout(Duration::from_secs(4), cut_off(begun)).await.unwrap();
    timeout(Duration::from_secs(10), cut_off(waiting)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k4_connections_beyond_the_limit_wait_and_are_served_later() {
    let short = Duration::from_millis(500);
    let server =
        Server::with(Limits { connections: 4, idle: short, headers: short, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(server.connect().await);
    }
    server.root("GET", "/v1/sys/health", "").await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k4_a_client_that_does_not_read_its_answers_is_cut_off() {
    let short = Duration::from_millis(600);
    let server = Server::with(Limits { body: short, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    let requests = "GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
    let sending = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    timeout(Duration::from_secs(15), sending).await.unwrap();
}
