//! The server of the demonstration: this program as `server -config=…`, and the operator's steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coffre_ambient::{Clock, SystemClock};
use coffre_client::{Body, Client};
use coffre_http::tls::DevCertificate;
use coffre_secret::SecretText;
use serde::Deserialize;
use serde_json::json;

use super::place::Place;
use super::program::{Program, Surroundings, create, free_port};
use super::trouble::Trouble;

pub(crate) const SHARES: usize = 5;
pub(crate) const THRESHOLD: usize = 3;

const START: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Somebody else may take the free port before the server does.
const PORTS_TRIED: u32 = 3;
/// Where a neighbour's secret lives, which no step may touch.
const NEIGHBOUR: (&str, &str) = ("team", "other/app");
/// Made up, as everything in this demonstration.
pub(crate) const NEIGHBOUR_VALUE: &str = "sample-secret-of-another-team";

/// A running server and a client for it.
pub(crate) struct Server {
    program: Program,
    client: Client,
    log: PathBuf,
    audit: PathBuf,
    /// The certificate to trust.
    ca: PathBuf,
}

/// The keys of the new vault. They are in memory only.
pub(crate) struct Keys {
    pub(crate) shares: Vec<SecretText>,
    pub(crate) root: SecretText,
}

impl Server {
    /// Starts it: storage in a file, TLS with a certificate of its own. It is not initialised.
    pub(crate) async fn start(place: &Place, around: &Surroundings) -> Result<Self, Trouble> {
        let certificate = DevCertificate::make(&["127.0.0.1".into(), "localhost".into()], SystemClock.wall())
            .map_err(|error| Trouble::broken(format!("cannot make a certificate: {error}")))?;
        let ca = place.file("ca.pem", certificate.ca_pem.as_bytes())?;
        place.file("server.pem", certificate.cert_pem.as_bytes())?;
        // EXPOSE: written where only the server's user can read it.
        place.file("server-key.pem", certificate.key_pem.expose().as_bytes())?;
        let mut last = Trouble::new("no port", "");
        for _ in 0..PORTS_TRIED {
            match Self::start_on(place, around, free_port()?, &ca).await {
                Ok(server) => return Ok(server),
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    async fn start_on(place: &Place, around: &Surroundings, port: u16, ca: &Path) -> Result<Self, Trouble> {
        let root = place.root();
        let listener = json!({
            "address": format!("127.0.0.1:{port}"),
            "tls_cert_file": root.join("server.pem"), "tls_key_file": root.join("server-key.pem"),
        });
        let config =
            json!({ "storage": { "redb": { "path": root.join("vault") } }, "listener": { "tcp": listener } });
        let config = place.file("server.json", config.to_string().as_bytes())?;
        let log = root.join("server.log");
        let mut command = around.coffre(["server"]);
        command.arg(format!("-config={}", config.display())).stdout(create(&log)?).stderr(create(&log)?);
        let mut program = Program::start("the server", command)?;
        let client = Client::builder().address(format!("https://127.0.0.1:{port}")).ca_file(ca);
        let client = client.timeout(Duration::from_secs(20)).retries(0).build()?;
        wait_until_it_answers(&mut program, &client, &log).await?;
        Ok(Self { program, client, log, audit: root.join("audit.log"), ca: ca.to_owned() })
    }

    /// A client, with the root token once there is one.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }

    pub(crate) fn audit_log(&self) -> &Path {
        &self.audit
    }

    /// `operator init -key-shares=5 -key-threshold=3`. From here on the client has the root token.
    pub(crate) async fn init(&mut self) -> Result<Keys, Trouble> {
        #[derive(Deserialize)]
        struct Made {
            keys_base64: Vec<String>,
            root_token: String,
        }
        let body = Body::json(&json!({ "secret_shares": SHARES, "secret_threshold": THRESHOLD }))?;
        let answer = self.client.write("sys/init", body).await?;
        let nothing = || Trouble::broken("the server did not answer with keys");
        let made: Made = answer.ok_or_else(nothing)?.body()?;
        let shares = made.keys_base64.into_iter().map(SecretText::new).collect();
        let keys = Keys { shares, root: SecretText::new(made.root_token) };
        self.client = self.client.with_token(keys.root.duplicate());
        Ok(keys)
    }

    /// `operator unseal` with one share; whether the vault is still sealed.
    pub(crate) async fn unseal(&self, share: &SecretText) -> Result<bool, Trouble> {
        #[derive(Deserialize)]
        struct Status {
            sealed: bool,
        }
        let answer = self.client.without_token().write("sys/unseal", Body::fields([("key", share)])).await?;
        let nothing = || Trouble::broken("the server did not say whether it is sealed");
        Ok(answer.ok_or_else(nothing)?.body::<Status>()?.sealed)
    }

    /// `operator seal`.
    pub(crate) async fn seal(&self) -> Result<(), Trouble> {
        self.client.write("sys/seal", Body::fields([])).await?;
        match self.client.seal_status().await?.sealed {
            true => Ok(()),
            false => Err(Trouble::broken("the server says that it is not sealed")),
        }
    }

    /// `audit enable file file_path=…`.
    pub(crate) async fn enable_audit(&self) -> Result<(), Trouble> {
        let body = json!({ "type": "file", "options": { "file_path": self.audit } });
        self.client.write("sys/audit/file", Body::json(&body)?).await?;
        Ok(())
    }

    /// A secret that somebody else keeps in the same vault.
    pub(crate) async fn add_neighbour(&self) -> Result<(), Trouble> {
        let value = SecretText::from(NEIGHBOUR_VALUE);
        let (mount, path) = NEIGHBOUR;
        self.client.enable_kv2(mount, "another team's secrets").await?;
        self.client.kv2_write(mount, path, Body::fields([("value", &value)]), None).await?;
        Ok(())
    }

    /// What is in the vault: engines, methods, policies with their texts, audit devices, the neighbour's secret. Two
    /// of these are equal if nothing was added, changed or left behind.
    pub(crate) async fn contents(&self) -> Result<BTreeMap<String, String>, Trouble> {
        let mut found = BTreeMap::new();
        for (path, mount) in self.client.mounts().await? {
            found.insert(format!("engine {path}"), format!("{mount:?}"));
        }
        for (path, mount) in self.client.auth_methods().await? {
            found.insert(format!("method {path}"), format!("{mount:?}"));
        }
        for (path, device) in self.client.audit_devices().await? {
            found.insert(format!("device {path}"), format!("{device:?}"));
        }
        for name in self.client.list("sys/policies/acl").await?.into_iter().filter(|name| name != "root") {
            let text = self.client.policy(&name).await?.unwrap_or_default();
            found.insert(format!("policy {name}"), text);
        }
        let (mount, path) = NEIGHBOUR;
        let metadata = self.client.kv2_metadata(mount, path).await?;
        found.insert(format!("secret {mount}/{path}"), format!("{metadata:?}"));
        Ok(found)
    }

    /// Its last log lines, for when something failed.
    pub(crate) fn log_tail(&self) -> Vec<String> {
        tail(&self.log)
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> Result<(), Trouble> {
        let status = self.program.stop().await?;
        match status.success() {
            true => Ok(()),
            false => Err(Trouble::broken(format!("the server ended with {status}"))),
        }
    }
}

async fn wait_until_it_answers(program: &mut Program, client: &Client, log: &Path) -> Result<(), Trouble> {
    let began = SystemClock.boot();
    loop {
        let error = match client.seal_status().await {
            Ok(status) if !status.initialized => return Ok(()),
            Ok(_) => return Err(Trouble::new("another server answers there", "Try again.")),
            Err(error) => error,
        };
        if let Some(status) = program.ended() {
            let said = tail(log).join("\n");
            return Err(Trouble::new(format!("the server ended with {status}"), format!("It said:\n{said}")));
        }
        if SystemClock.boot().saturating_sub(began) > START {
            return Err(error.into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> Vec<String> {
    const LINES: usize = 6;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LINES);
    lines.get(from..).unwrap_or_default().iter().map(|line| (*line).to_owned()).collect()
}
