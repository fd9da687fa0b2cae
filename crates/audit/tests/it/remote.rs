//! What goes to sockets and the system's log: whole, framed and chained; a peer that hangs up, stops reading or was never
//! there costs at most the time limit, is left alone for a while, and is found again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

use crate::world::{Answer, World, ask, json, key, try_open};
use coffre_ambient::{Clock, SystemClock};
use coffre_api::RawInput;
use coffre_audit::chain::{ChainKey, verify};
use coffre_audit::{Condition, DeviceSpec, EnableError, Manner};

async fn enable(world: &World, kind: &str, options: &[(&str, &str)], test: bool) -> Result<(), EnableError> {
    let options: BTreeMap<String, String> =
        options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let spec = DeviceSpec::parse(kind, &options, None).unwrap();
    let device = try_open(&spec, None, 1).unwrap();
    world.broker.enable(&format!("{kind}/"), device, &key(1), Manner::default(), test).await
}

async fn works(world: &World) -> bool {
    ask(&world.broker, "id", &RawInput::empty(), Answer::default()).await.is_ok()
}

fn condition(world: &World) -> Condition {
    world.broker.health().first().unwrap().1.condition
}

#[tokio::test]
async fn lines_over_tcp_are_a_whole_chain_and_a_peer_that_came_back_is_found() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    enable(&world, "socket", &[("address", &address)], true).await.unwrap();
    let (first, _) = listener.accept().unwrap();
    for _ in 0..10 {
        assert!(works(&world).await);
    }
    let mut lines = BufReader::new(first.try_clone().unwrap()).lines();
    let seen: String = (0..21).map(|_| lines.next().unwrap().unwrap() + "\n").collect();
    assert_eq!(verify(seen.as_bytes(), None, Some(&ChainKey::new(&key(1)))).unwrap().lines, 21);
    drop((first, lines));

    // It hung up: the next entry goes to a new connection, and says what it continues.
    assert!(works(&world).await);
    let (second, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(second).lines();
    let seen: String = (0..2).map(|_| lines.next().unwrap().unwrap() + "\n").collect();
    let part = verify(seen.as_bytes(), None, Some(&ChainKey::new(&key(1)))).unwrap();
    assert_eq!((part.from.seq, part.to.seq), (21, 23));
    assert_eq!(condition(&world), Condition::Healthy);
}

#[tokio::test]
async fn a_peer_that_was_never_there_is_refused_or_fails_at_once() {
    let world = World::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let refused = enable(&world, "socket", &[("address", &address)], true).await.unwrap_err();
    let EnableError::Device(error) = refused else { panic!("{refused}") };
    assert!(!error.to_string().contains("refused") && error.class() == "unreachable", "{error}");

    // Recorded devices come up without their peers.
    enable(&world, "socket", &[("address", &address)], false).await.unwrap();
    let start = SystemClock.boot();
    for _ in 0..20 {
        assert!(!works(&world).await);
    }
    assert!(SystemClock.boot() - start < Duration::from_secs(1));
    assert_eq!(condition(&world), Condition::Degraded);
    let listener = TcpListener::bind(&address).unwrap();
    while !works(&world).await {
        assert!(SystemClock.boot() - start < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(listener);
    assert_eq!(condition(&world), Condition::Healthy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stops_reading_costs_one_time_limit_and_is_then_left_alone() {
    let world = World::new();
    let path = world.dir.path().join("log.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let options = [("address", path.to_str().unwrap()), ("write_timeout", "300ms")];
    enable(&world, "socket", &options, true).await.unwrap();
    let (peer, _) = listener.accept().unwrap();
    let large =
        json(&format!("{{{}\"z\":1}}", (0..2_000).map(|n| format!("\"k{n}\":1,")).collect::<String>()));
    let mut failed = 0;
    for _ in 0..50 {
        if ask(&world.broker, "id", &large, Answer::default()).await.is_err() {
            failed += 1;
            break;
        }
    }
    assert_eq!(failed, 1, "nobody read, and yet all was taken");
    let start = SystemClock.boot();
    for _ in 0..20 {
        assert!(!works(&world).await);
    }
    let waited = SystemClock.boot() - start;
    assert!(waited < Duration::from_millis(900), "{waited:?}");
    assert_eq!(condition(&world), Condition::Degraded);
    // Somebody who reads takes the next connection.
    drop(peer);
    let reader = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut first = [0; 9];
        peer.read_exact(&mut first).unwrap();
        (peer, first)
    });
    while !works(&world).await {
        assert!(SystemClock.boot() - start < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(&reader.join().unwrap().1, b"{\"time\":\"");
}

#[tokio::test]
async fn syslog_datagrams_carry_long_entries_in_parts() {
    let world = World::new();
    let path = world.dir.path().join("dev-log");
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let options = [("address", path.to_str().unwrap()), ("facility", "LOCAL3"), ("tag", "safe")];
    enable(&world, "syslog", &options, true).await.unwrap();
    // The system keeps few datagrams of those who do not read.
    let (push, datagrams) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut datagram = vec![0; 65_536];
        while let Ok(len) = listener.recv(&mut datagram) {
            push.send(String::from_utf8(datagram[..len].to_vec()).unwrap()).unwrap();
        }
    });
    let large = json(&format!("{{\"k\":[{}1]}}", "1,".repeat(1_000)));
    ask(&world.broker, "id", &large, Answer::default()).await.unwrap();
    let (mut lines, mut whole, mut parts) = (String::new(), String::new(), 0);
    while lines.lines().count() < 3 {
        let text: String = datagrams.recv().unwrap();
        assert!(text.len() <= 8_192 && text.starts_with("<158>1 ") && text.contains(" safe "), "{text}");
        if let Some((_, piece)) = text.split_once("\"] ") {
            parts += 1;
            whole.push_str(piece);
        } else {
            whole.push_str(text.split_once(" audit - ").unwrap().1);
        }
        if whole.ends_with("\"}") && serde_json::from_str::<serde_json::Value>(&whole).is_ok() {
            lines.push_str(&whole);
            lines.push('\n');
            whole.clear();
        }
    }
    assert!(parts > 5, "{parts}");
    assert_eq!(verify(lines.as_bytes(), None, Some(&ChainKey::new(&key(1)))).unwrap().lines, 3);
}

#[tokio::test]
async fn udp_and_octet_counting_reach_their_readers() {
    let world = World::new();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let address = udp.local_addr().unwrap().to_string();
    enable(&world, "socket", &[("address", &address), ("socket_type", "udp")], true).await.unwrap();
    let mut datagram = [0; 65_536];
    let len = udp.recv(&mut datagram).unwrap();
    let entry: serde_json::Value = serde_json::from_slice(&datagram[..len]).unwrap();
    assert_eq!(entry["request"]["path"], "sys/audit/test");
    world.broker.disable_all();

    // Where nobody listens any more the system may say so, once something was sent there.
    enable(&world, "socket", &[("address", &address), ("socket_type", "udp")], true).await.unwrap();
    drop(udp);
    let mut failed = 0;
    for _ in 0..4 {
        failed += usize::from(!works(&world).await);
    }
    assert!(failed > 0 && condition(&world) == Condition::Degraded, "{failed}");
    world.broker.disable_all();

    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    enable(&world, "syslog", &[("address", &address)], true).await.unwrap();
    assert!(works(&world).await);
    world.broker.disable_all();
    let (mut peer, _) = tcp.accept().unwrap();
    let mut stream = String::new();
    peer.read_to_string(&mut stream).unwrap();
    let (mut rest, mut messages) = (stream.as_str(), 0);
    while let Some((count, after)) = rest.split_once(' ') {
        let (message, next) = after.split_at(count.parse().unwrap());
        assert!(message.starts_with("<38>1 ") && message.ends_with("\"}"), "{message}");
        (rest, messages) = (next, messages + 1);
    }
    assert_eq!(messages, 3);
}
