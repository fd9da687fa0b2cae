//! Notices reach a webhook and a mailbox: signed, once, in order, again after failures, never material. The HTTP and
//! SMTP servers here are stand-ins of a few lines, not real ones.
#![expect(clippy::unwrap_used, reason = "test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_ambient::{Clock, ManualClock, SeededEntropy, Wall};
use coffre_crypto::mac;
use coffre_rotate::notify::{Email, Notifier, NotifySettings, Security, Webhook};
use coffre_rotation::{EventKind, Happening, Phase, RotationId, Target};

const KEY: &str = "whsec_c2l4dGVlbiBieXRlcyBvciBtb3JlIG9mIGtleQ==";

/// What one HTTP request was.
struct Request {
    head: String,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> String {
        let found = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_default().to_owned()
    }
}

/// A stand-in for a web server: answers one request after the other with these statuses, the last one for ever.
fn web(answers: &'static [&'static str]) -> (u16, Receiver<Request>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        for number in 0.. {
            let (stream, _) = listener.accept().unwrap();
            let answer = answers.get(number).or(answers.last()).unwrap();
            let Some(request) = read_request(&stream) else { continue };
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            (&stream).write_all(answer.as_bytes()).unwrap();
            if tell.send(request).is_err() {
                return;
            }
        }
    });
    (port, heard)
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body: String::from_utf8(body).unwrap() })
}

/// A stand-in for a mail server without TLS: takes every mail, or answers `MAIL FROM` with this.
fn mail(refusal: Option<&'static str>, greeting: &'static str) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let said = converse(&stream, refusal, greeting);
            if tell.send(said).is_err() {
                return;
            }
        }
    });
    (port, heard)
}

fn converse(stream: &TcpStream, refusal: Option<&str>, extensions: &str) -> String {
    let mut said = String::new();
    let mut writer = stream;
    writer.write_all(b"220 stand-in\r\n").unwrap();
    let mut data = false;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        said.push_str(&line);
        said.push('\n');
        let word = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let answer = match word.as_str() {
            _ if data && line != "." => continue,
            "." => "250 taken",
            "EHLO" => extensions,
            "MAIL" => refusal.unwrap_or("250 ok"),
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        data = word == "DATA";
        if writer.write_all(format!("{answer}\r\n").as_bytes()).is_err() || word == "QUIT" {
            break;
        }
        if word == "." {
            break;
        }
    }
    said
}

fn happening(event: EventKind, dedupe: &str) -> Happening {
    Happening {
        at: Wall::parse("2026-11-22T10:00:00Z").unwrap(),
        event,
        rotation: RotationId::default(),
        phase: Phase::Drain,
        gen_no: Some(9),
        old: Some(8),
        fingerprints: vec!["0123456789abcdef0123".to_owned()],
        consumers: Vec::new(),
        actor: "host.boot.1".to_owned(),
        note: "Grant the rotator the right, then `coffre rotate resume`.".to_owned(),
        facts: std::collections::BTreeMap::new(),
        dedupe: dedupe.to_owned(),
    }
}

fn target() -> Target {
    Target::new("redis/app").unwrap()
}

fn notifier(webhooks: Vec<Webhook>, email: Vec<Email>) -> (Notifier, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(1_800_000_000)));
    let settings =
        NotifySettings { project: "shop".to_owned(), environment: "prod".to_owned(), webhooks, email };
    (Notifier::new(settings, clock.clone(), Arc::new(SeededEntropy::new(1))).unwrap(), clock)
}

fn hook(port: u16) -> Webhook {
    let url = format!("http://127.0.0.1:{port}/hooks/secret-path");
    Webhook {
        url: url.as_str().into(),
        may_be_here: true,
        key: Some(KEY.into()),
        events: Vec::new(),
        ca: None,
    }
}

fn post(port: u16) -> Email {
    Email {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::None,
        login: None,
        from: "Coffre <coffre@example.org>".to_owned(),
        to: vec!["ops@example.org".to_owned()],
        events: vec![EventKind::Halted],
        ca: None,
    }
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_request_is_signed_over_what_it_says_and_when() {
    let (port, heard) = web(&["204 No Content"]);
    let (notifier, clock) = notifier(vec![hook(port)], Vec::new());
    notifier.tell(&target(), &happening(EventKind::Halted, ""));
    assert_eq!(notifier.flush(SOON).await, 0);
    let request = heard.recv().unwrap();
    let (id, stamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    assert_eq!(stamp, clock.wall().secs().to_string());
    let key = STANDARD.decode(KEY.strip_prefix("whsec_").unwrap()).unwrap();
    let tag = mac::tag_under(mac::Hash::Sha256, &key, format!("{id}.{stamp}.{}", request.body).as_bytes());
    assert_eq!(request.header("webhook-signature"), format!("v1,{}", STANDARD.encode(tag)));
    assert_eq!(request.header("coffre-event"), "halted");
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(
        (&body["target"], &body["event"], &body["gen"]),
        (&"redis/app".into(), &"halted".into(), &9.into())
    );
    assert_eq!((&body["project"], &body["environment"]), (&"shop".into(), &"prod".into()));
    assert!(body["dedupe"].as_str().unwrap().contains("2026-11-22"), "{body}");
    assert!(!request.body.contains("sixteen bytes"));
}

#[tokio::test]
async fn a_state_that_lasts_is_told_once_a_day_and_an_event_once() {
    let (port, heard) = web(&["200 OK"]);
    let (notifier, _) = notifier(vec![hook(port)], Vec::new());
    let mut halted = happening(EventKind::Halted, "a");
    notifier.tell(&target(), &halted);
    halted.dedupe = "b".to_owned();
    notifier.tell(&target(), &halted);
    halted.at = Wall::parse("2026-11-23T00:00:01Z").unwrap();
    notifier.tell(&target(), &halted);
    for dedupe in ["1", "2", "1"] {
        notifier.tell(&target(), &happening(EventKind::Promoted, dedupe));
    }
    notifier.tell(&target(), &happening(EventKind::Phase, "x"));
    assert_eq!(notifier.flush(SOON).await, 0);
    let heard: Vec<String> = heard.try_iter().map(|request| request.header("coffre-event")).collect();
    assert_eq!(
        heard,
        ["halted", "halted", "promoted", "promoted"],
        "phases are for the log and the counters"
    );
    assert_eq!((notifier.counts().of(EventKind::Phase), notifier.counts().of(EventKind::Promoted)), (1, 2));
    let text = notifier.counts().prometheus();
    assert!(text.contains("coffre_rotate_notices_total{result=\"repeated\"} 2"), "{text}");
}

#[tokio::test]
async fn a_server_in_trouble_gets_it_later_in_order_with_the_same_id() {
    let (port, heard) = web(&["503 Busy", "429 Too Many", "200 OK"]);
    let (notifier, clock) = notifier(vec![hook(port)], Vec::new());
    notifier.tell(&target(), &happening(EventKind::Promoted, "1"));
    notifier.tell(&target(), &happening(EventKind::Promoted, "2"));
    let soon = Duration::from_millis(300);
    assert_eq!(notifier.flush(soon).await, 2, "a pause, no hammering");
    clock.advance(Duration::from_secs(5));
    assert_eq!(notifier.flush(soon).await, 2);
    clock.advance(Duration::from_secs(2));
    assert_eq!(notifier.flush(soon).await, 2, "the pause grows");
    clock.advance(Duration::from_secs(10));
    assert_eq!(notifier.flush(SOON).await, 0);
    let ids: Vec<String> = heard.try_iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!(ids.len(), 4);
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    assert_eq!((notifier.counts().delivered(), notifier.counts().failed()), (2, 2));
}

#[tokio::test]
async fn redirects_and_refusals_are_final_and_a_dead_server_is_given_up_after_a_day() {
    for answer in [&["302 Found\r\nLocation: http://127.0.0.1:1/"] as &'static [&'static str], &["400 Bad"]] {
        let (port, heard) = web(answer);
        let (notifier, _) = notifier(vec![hook(port)], Vec::new());
        notifier.tell(&target(), &happening(EventKind::Promoted, "1"));
        assert_eq!(notifier.flush(SOON).await, 0);
        assert_eq!((heard.try_iter().count(), notifier.counts().dropped()), (1, 1));
    }
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (notifier, clock) = notifier(vec![hook(closed)], Vec::new());
    notifier.tell(&target(), &happening(EventKind::Promoted, "1"));
    assert_eq!(notifier.flush(Duration::from_millis(100)).await, 1);
    clock.advance(Duration::from_secs(25 * 60 * 60));
    assert_eq!(notifier.flush(SOON).await, 0);
    assert_eq!(notifier.counts().dropped(), 1);
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (notifier, _) = notifier(vec![hook(closed)], Vec::new());
    for number in 0..1000 {
        notifier.tell(&target(), &happening(EventKind::Promoted, &number.to_string()));
    }
    assert_eq!(notifier.waiting(), 256);
    assert_eq!(notifier.counts().dropped(), 744);
}

#[tokio::test]
async fn a_mail_says_what_happened_and_what_to_do() {
    let (port, heard) = mail(None, "250 stand-in");
    let (notifier, _) = notifier(Vec::new(), vec![post(port)]);
    notifier.tell(&target(), &happening(EventKind::Promoted, "1"));
    notifier.tell(&target(), &happening(EventKind::Halted, "2"));
    assert_eq!(notifier.flush(SOON).await, 0);
    let said = heard.recv().unwrap();
    for part in [
        "MAIL FROM:<coffre@example.org>",
        "RCPT TO:<ops@example.org>",
        "[coffre] redis/app (shop prod)",
        "Date: Sun, 22 Nov 2026 10:00:00",
        "coffre rotate resume",
        "0123456789abcdef0123",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(heard.try_recv().is_err(), "only what this address wants");
}

#[tokio::test]
async fn a_mail_is_tried_again_or_given_up_as_the_server_says() {
    for (refusal, left) in [("451 later", 1), ("550 no", 0)] {
        let (port, _heard) = mail(Some(refusal), "250 stand-in");
        let (notifier, _) = notifier(Vec::new(), vec![post(port)]);
        notifier.tell(&target(), &happening(EventKind::Halted, "2"));
        assert_eq!(notifier.flush(Duration::from_secs(1)).await, left, "{refusal}");
    }
}

#[tokio::test]
async fn without_the_tls_that_is_demanded_nothing_is_said_and_no_password_leaves() {
    let (port, heard) = mail(None, "250-stand-in\r\n250 AUTH PLAIN LOGIN");
    let login = Some(("user".to_owned(), "mail-password".into()));
    let email = Email { security: Security::Starttls, login, ..post(port) };
    let (notifier, _) = notifier(Vec::new(), vec![email]);
    notifier.tell(&target(), &happening(EventKind::Halted, "2"));
    assert_eq!(notifier.flush(Duration::from_secs(1)).await, 1);
    let said = heard.recv().unwrap();
    assert!(!said.contains("MAIL") && !said.contains("AUTH"), "{said}");
}

#[tokio::test]
async fn settings_that_would_leak_or_never_work_are_refused() {
    let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(1)));
    let refused = |webhooks: Vec<Webhook>, email: Vec<Email>| {
        let settings = NotifySettings { project: String::new(), environment: String::new(), webhooks, email };
        Notifier::new(settings, clock.clone(), Arc::new(SeededEntropy::new(1)))
            .err()
            .map(|failure| failure.to_string())
    };
    let at = |url: &str| Webhook { url: url.into(), ..hook(1) };
    assert!(refused(vec![at("http://example.org/x")], Vec::new()).unwrap().contains("https://"));
    assert!(refused(vec![at("not a url s3cret")], Vec::new()).is_some_and(|text| !text.contains("s3cret")));
    assert!(refused(vec![Webhook { key: Some("short".into()), ..hook(1) }], Vec::new()).is_some());
    assert!(refused(vec![Webhook { ca: Some("none".to_owned()), ..hook(1) }], Vec::new()).is_some());
    assert!(refused(Vec::new(), vec![Email { host: "mail.example.org".to_owned(), ..post(1) }]).is_some());
    assert!(refused(Vec::new(), vec![Email { to: Vec::new(), ..post(1) }]).is_some());
    assert!(refused(Vec::new(), vec![Email { from: "nobody".to_owned(), ..post(1) }]).is_some());
    assert!(refused((0..17).map(hook).collect(), Vec::new()).is_some());
    assert!(refused(vec![at("https://example.org/x")], vec![post(1)]).is_none());
}

#[tokio::test]
async fn i8_an_address_that_a_document_gives_never_leads_inside() {
    let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(1)));
    let refused = |webhook: Webhook| {
        let settings = NotifySettings {
            project: String::new(),
            environment: String::new(),
            webhooks: vec![webhook],
            email: Vec::new(),
        };
        Notifier::new(settings, clock.clone(), Arc::new(SeededEntropy::new(1))).is_err()
    };
    for (url, from_the_manifest_too) in [
        ("http://127.0.0.1/x", false),
        ("https://localhost/x", false),
        ("https://[::1]/x", false),
        ("https://169.254.169.254/latest/meta-data", true),
        ("https://2852039166/", true),
        ("https://0x7f000001/", false),
        ("https://[::ffff:a9fe:a9fe]/", true),
        ("https://[fe80::1]/", true),
        ("https://0.0.0.0/", true),
        ("http://10.0.0.1/", true),
    ] {
        let webhook = |may_be_here| Webhook { url: url.into(), may_be_here, ..hook(1) };
        assert!(refused(webhook(false)), "{url}");
        assert_eq!(refused(webhook(true)), from_the_manifest_too, "{url}");
    }
    assert!(!refused(Webhook { url: "https://hooks.example/x".into(), may_be_here: false, ..hook(1) }));
}

#[tokio::test]
async fn i8_no_redirect_leads_anywhere() {
    let (inside, reached) = web(&["200 OK"]);
    let answer = format!("307 Temporary Redirect\r\nLocation: http://127.0.0.1:{inside}/latest/meta-data");
    let (port, heard) = web(Vec::leak(vec![&*answer.leak()]));
    let (notifier, _) = notifier(vec![hook(port)], Vec::new());
    notifier.tell(&target(), &happening(EventKind::Promoted, "1"));
    assert_eq!(notifier.flush(SOON).await, 0);
    assert_eq!((heard.try_iter().count(), reached.try_iter().count()), (1, 0));
}
