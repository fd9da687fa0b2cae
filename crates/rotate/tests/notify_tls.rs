//! Notices over TLS, with real handshakes: a webhook and a mail server whose certificate is trusted get them, one whose
//! certificate is another host's, another authority's, or out of date hears nothing of them, and no password.
#![expect(clippy::unwrap_used, reason = "test")]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use coffre_ambient::{ManualClock, SeededEntropy, Wall};
use coffre_rotate::notify::{Email, Notifier, NotifySettings, Security, Webhook};
use coffre_rotation::{EventKind, Happening, Phase, RotationId, Target};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;

const SOON: Duration = Duration::from_secs(10);
const BRIEFLY: Duration = Duration::from_millis(1_500);
const PASSWORD: &str = "mail-password-3f9";

/// An authority, and what a server shows that has a certificate of it.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn server(&self, name: &str, last_year: i32) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

/// What a server heard inside of TLS, connection by connection; empty if the handshake failed.
type Heard = Receiver<String>;

fn listen(serve: impl Fn(TcpStream) -> String + Send + 'static) -> (u16, Heard) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if tell.send(serve(stream.unwrap())).is_err() {
                return;
            }
        }
    });
    (port, heard)
}

/// A web server that takes one request of a connection.
fn web(config: Arc<ServerConfig>) -> (u16, Heard) {
    listen(move |stream| {
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        let mut said = String::new();
        let mut reader = BufReader::new(&mut tls);
        while !said.ends_with("\r\n\r\n") {
            if reader.read_line(&mut said).unwrap_or(0) == 0 {
                return said;
            }
        }
        let length = said.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        tls.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        said + &String::from_utf8(body).unwrap()
    })
}

/// A mail server with TLS from the beginning, or after it was asked for.
fn mail(config: Arc<ServerConfig>, security: Security) -> (u16, Heard) {
    listen(move |mut stream| {
        if security == Security::Starttls {
            let before = converse(&mut stream, "250-here\r\n250 STARTTLS");
            assert!(!before.contains("AUTH") && !before.contains("MAIL"), "in the clear: {before}");
        }
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        // After STARTTLS the client begins.
        if tls.conn.complete_io(&mut tls.sock).is_err() {
            return String::new();
        }
        if security == Security::Tls {
            tls.write_all(b"220 here\r\n").unwrap();
        }
        talk(&mut tls, "250-here\r\n250 AUTH PLAIN LOGIN")
    })
}

fn converse(stream: &mut (impl Read + Write), extensions: &str) -> String {
    stream.write_all(b"220 here\r\n").unwrap();
    talk(stream, extensions)
}

/// Until the connection ends or becomes TLS.
fn talk(stream: &mut (impl Read + Write), extensions: &str) -> String {
    let (mut said, mut data) = (String::new(), false);
    while let Some(line) = line(stream) {
        said.push_str(&line);
        let word = line.split([' ', ':', '\r']).next().unwrap_or_default().to_uppercase();
        let answer = match word.as_str() {
            _ if data && line != ".\r\n" => continue,
            "EHLO" => extensions,
            "AUTH" => "235 welcome",
            "DATA" => "354 go on",
            "STARTTLS" => "220 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        data = word == "DATA";
        if stream.write_all(format!("{answer}\r\n").as_bytes()).is_err() || word == "STARTTLS" {
            break;
        }
        // The client keeps the connection for the next mail.
        if word == "." {
            break;
        }
    }
    said
}

/// Byte by byte, so that nothing of the handshake is taken away.
fn line(stream: &mut impl Read) -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        match stream.read(&mut byte) {
            Ok(1) => line.extend_from_slice(&byte),
            _ => return None,
        }
    }
    String::from_utf8(line).ok()
}

/// Tells one thing, and gives what is left undelivered.
async fn told(webhooks: Vec<Webhook>, email: Vec<Email>, patience: Duration) -> usize {
    let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(1_800_000_000)));
    let settings =
        NotifySettings { project: "shop".to_owned(), environment: "prod".to_owned(), webhooks, email };
    let notifier = Notifier::new(settings, clock, Arc::new(SeededEntropy::new(1))).unwrap();
    let happening = Happening {
        at: Wall::from_secs(1_800_000_000),
        event: EventKind::Halted,
        rotation: RotationId::default(),
        phase: Phase::Drain,
        gen_no: Some(9),
        old: Some(8),
        fingerprints: Vec::new(),
        consumers: Vec::new(),
        actor: String::new(),
        note: "a note".to_owned(),
        facts: std::collections::BTreeMap::new(),
        dedupe: String::new(),
    };
    notifier.tell(&Target::new("redis/app").unwrap(), &happening);
    notifier.flush(patience).await
}

fn hook(port: u16, ca: String) -> Webhook {
    let url = format!("https://localhost:{port}/hook");
    Webhook { url: url.as_str().into(), may_be_here: true, key: None, events: Vec::new(), ca: Some(ca) }
}

fn post(port: u16, security: Security, ca: String) -> Email {
    Email {
        host: "localhost".to_owned(),
        port,
        security,
        login: Some(("user".to_owned(), PASSWORD.into())),
        from: "coffre@example.org".to_owned(),
        to: vec!["ops@example.org".to_owned()],
        events: Vec::new(),
        ca: Some(ca),
    }
}

/// A server for each way in which a certificate can be wrong, and whom the client trusts.
fn strangers(authority: &Authority) -> [(Arc<ServerConfig>, String); 3] {
    [
        (authority.server("example.org", 2100), authority.pem()),
        (Authority::new().server("localhost", 2100), authority.pem()),
        (authority.server("localhost", 2021), authority.pem()),
    ]
}

#[tokio::test]
async fn a_webhook_is_told_over_tls() {
    let authority = Authority::new();
    let (port, heard) = web(authority.server("localhost", 2100));
    assert_eq!(told(vec![hook(port, authority.pem())], Vec::new(), SOON).await, 0);
    let said = heard.recv_timeout(SOON).unwrap();
    assert!(said.starts_with("POST /hook HTTP/1.1\r\n") && said.contains("\"redis/app\""), "{said}");
}

#[tokio::test]
async fn a_webhook_that_shows_a_certificate_which_is_not_its_own_hears_nothing() {
    let authority = Authority::new();
    for (server, trusted) in strangers(&authority) {
        let (port, heard) = web(server);
        assert_eq!(told(vec![hook(port, trusted)], Vec::new(), BRIEFLY).await, 1, "it stays to be told");
        assert_eq!(heard.recv_timeout(SOON).unwrap(), "");
    }
}

#[tokio::test]
async fn a_mail_goes_over_tls_with_its_login() {
    let authority = Authority::new();
    for security in [Security::Tls, Security::Starttls] {
        let (port, heard) = mail(authority.server("localhost", 2100), security);
        assert_eq!(told(Vec::new(), vec![post(port, security, authority.pem())], SOON).await, 0);
        let said = heard.recv_timeout(SOON).unwrap();
        for part in ["AUTH PLAIN ", "MAIL FROM:<coffre@example.org>", "RCPT TO:<ops@example.org>", "a note"] {
            assert!(said.contains(part), "{security:?}: {part} in {said}");
        }
    }
}

#[tokio::test]
async fn a_mail_server_that_shows_a_certificate_which_is_not_its_own_gets_neither_mail_nor_password() {
    let authority = Authority::new();
    for security in [Security::Tls, Security::Starttls] {
        for (server, trusted) in strangers(&authority) {
            let (port, heard) = mail(server, security);
            let left = told(Vec::new(), vec![post(port, security, trusted)], BRIEFLY).await;
            assert_eq!(left, 1, "it stays to be told");
            assert_eq!(heard.recv_timeout(SOON).unwrap(), "");
        }
    }
}
