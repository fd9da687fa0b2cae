//! TLS to a real PostgreSQL: what each `sslmode` accepts, and that a certificate of the client opens a door that a
//! password alone does not.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test")]

#[path = "servers/postgres.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod postgres;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use coffre_database::{Connector as _, Database, Error, ErrorKind, Network, Tls};
use coffre_secret::SecretText;
use postgres::{ADMIN, ADMIN_PASSWORD, Server, settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

struct Certificates {
    ca: String,
    other_ca: String,
    /// Of `admin`, with its key.
    client: String,
}

fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server whose certificate is for `localhost`, and that believes clients with a certificate of the same issuer.
async fn server() -> Option<(Server, Certificates)> {
    let ca = issuer("tests");
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let mut server = Server::start().await?;
    let at = |name: &str| server.directory.path().join(name);
    for (name, text) in
        [("server.crt", certificate.pem()), ("server.key", key.serialize_pem()), ("ca.crt", ca.pem())]
    {
        fs::write(at(name), text).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
        server.own(&at(name));
    }
    let rules = "hostssl all certified all cert\nhost all all all scram-sha-256\n";
    fs::write(at("data/pg_hba.conf"), rules).unwrap();
    let settings = [("cert", "server.crt"), ("key", "server.key"), ("ca", "ca.crt")]
        .map(|(what, file)| format!("ssl_{what}_file = '{}'\n", at(file).display()));
    let conf = at("data/postgresql.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}\nssl = on\n{}", settings.concat())).unwrap();
    server.boss("shop").await.batch_execute("CREATE ROLE certified LOGIN").await.unwrap();
    server.stop(true);
    server.run().await;
    let client_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "certified");
    let client = params.signed_by(&client_key, &ca).unwrap();
    let client = format!("{}{}", client.pem(), client_key.serialize_pem());
    Some((server, Certificates { ca: ca.pem(), other_ca: issuer("others").pem(), client }))
}

async fn login(server: &Server, host: &str, mode: &str, user: &str, tls: Tls) -> Result<(), Error> {
    open(server, host, mode, user, tls)?.verify().await
}

fn open(server: &Server, host: &str, mode: &str, user: &str, tls: Tls) -> Result<Arc<dyn Database>, Error> {
    let parameter = if mode.is_empty() { String::new() } else { format!("?sslmode={mode}") };
    let mut settings = settings(&format!(
        "postgresql://{{{{username}}}}:{{{{password}}}}@{host}:{}/shop{parameter}",
        server.port
    ));
    (settings.username, settings.tls) = (user.to_owned(), tls);
    settings.password = SecretText::from(ADMIN_PASSWORD);
    Network.open(settings)
}

#[tokio::test]
async fn each_sslmode_accepts_what_it_says() {
    let Some((server, made)) = server().await else { return };
    let trust = |ca: Option<&String>| Tls { ca: ca.cloned(), ..Tls::default() };
    for (host, mode, ca, good) in [
        ("localhost", "verify-full", Some(&made.ca), true),
        ("localhost", "", Some(&made.ca), true),
        ("127.0.0.1", "verify-full", Some(&made.ca), false),
        ("127.0.0.1", "", Some(&made.ca), false),
        ("127.0.0.1", "verify-ca", Some(&made.ca), true),
        ("127.0.0.1", "require", Some(&made.ca), true),
        ("127.0.0.1", "require", None, true),
        ("127.0.0.1", "prefer", None, true),
        ("localhost", "verify-full", Some(&made.other_ca), false),
        ("localhost", "verify-ca", Some(&made.other_ca), false),
        ("localhost", "require", Some(&made.other_ca), false),
    ] {
        let done = login(&server, host, mode, ADMIN, trust(ca)).await;
        assert_eq!(done.is_ok(), good, "{host} {mode}: {done:?}");
        if let Err(refused) = done {
            assert!(refused.to_string().contains("certificate is not accepted"), "{refused}");
        }
    }
    let database = open(&server, "127.0.0.1", "prefer", ADMIN, trust(None)).unwrap();
    database.verify().await.unwrap();
    let encrypted = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'admin'";
    assert_eq!(server.ask(encrypted).await, ["t"], "TLS is used where the server has it");
    let insecure = Tls { insecure: true, ca: Some(made.other_ca.clone()), ..Tls::default() };
    login(&server, "127.0.0.1", "verify-full", ADMIN, insecure).await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_the_server_asks() {
    let Some((server, made)) = server().await else { return };
    let tls = |client: Option<&str>| Tls {
        ca: Some(made.ca.clone()),
        client: client.map(SecretText::from),
        ..Tls::default()
    };
    login(&server, "localhost", "verify-full", "certified", tls(Some(&made.client))).await.unwrap();
    assert!(login(&server, "localhost", "verify-full", "certified", tls(None)).await.is_err());
    for broken in ["", "nonsense", made.ca.as_str()] {
        let refused =
            login(&server, "localhost", "verify-full", "certified", tls(Some(broken))).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    }
}
