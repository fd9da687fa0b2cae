//! The application under `coffre run`: Flask where there is a Python for it, else the probe.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use coffre_ambient::{Clock, SystemClock, SystemEntropy, ids};
use coffre_secret::SecretText;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::migration::{AUTH, ENVIRONMENT, Original};
use super::probe::{self, Held};
use super::program::{Program, Ran, Surroundings, create, free_port, run};
use super::python::Python;
use super::server::{Server, tail};
use super::trouble::Trouble;

/// How long the application may take to answer, and the probe to end.
const START: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(50);
const LARGEST_ANSWER: u64 = 1 << 20;

/// What a run needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Runner<'a> {
    pub(crate) around: &'a Surroundings,
    pub(crate) server: &'a Server,
    pub(crate) original: &'a Original,
    pub(crate) logs: &'a Path,
}

/// What the application runs with, besides its secrets.
pub(crate) struct Identity {
    role_id: SecretText,
    /// Opens once.
    wrapped: SecretText,
}

impl Identity {
    /// As an operator would deliver it: the secret_id wrapped, for two minutes.
    pub(crate) async fn deliver(server: &Server, original: &Original) -> Result<Self, Trouble> {
        let (client, role) = (server.client(), original.role());
        let role_id = client.approle_role_id(AUTH, &role).await?;
        Ok(Self { role_id, wrapped: client.approle_wrapped_secret_id(AUTH, &role, "120s").await? })
    }
}

/// The fingerprints that the `.env` gives, with the nonce that they are made under.
struct Expected {
    nonce: String,
    secrets: BTreeMap<String, String>,
}

impl Expected {
    fn of(original: &Original) -> Result<Self, Trouble> {
        let nonce = ids::hex(&SystemEntropy, 16).map_err(|error| Trouble::broken(error.to_string()))?;
        let mac = probe::keyed(&nonce).ok_or_else(|| Trouble::broken("the nonce has another length"))?;
        let secrets = original.secrets().into_iter();
        let secrets = secrets.map(|(name, value)| (name.to_owned(), probe::print(&mac, value))).collect();
        Ok(Self { secrets, nonce })
    }

    /// How many are the same; an error names those that are not.
    fn compared(&self, held: &BTreeMap<String, String>) -> Result<usize, Trouble> {
        let other: Vec<&str> = self
            .secrets
            .iter()
            .filter(|(name, print)| held.get(*name) != Some(*print))
            .map(|(name, _)| name.as_str())
            .collect();
        if !other.is_empty() {
            return Err(Trouble::broken(format!("the program has other values for {}", other.join(", "))));
        }
        Ok(self.secrets.len())
    }
}

/// What the application said about itself.
pub(crate) struct Seen {
    /// Secrets whose fingerprints are those of the `.env`.
    pub(crate) same: usize,
    pub(crate) source: String,
    /// For how it was started.
    pub(crate) command: &'static str,
}

impl Runner<'_> {
    /// Starts Flask in a directory with its secrets from the vault, asks it, and ends it.
    pub(crate) async fn flask(
        &self,
        directory: &Path,
        python: &Python,
        identity: &Identity,
    ) -> Result<Seen, Trouble> {
        let port = free_port()?;
        let mut command = self.around.coffre(["run", "-wait=10s", "--"]);
        command.arg(&python.interpreter).args(["-m", "flask", "--app", "backend.app", "run", "--no-reload"]);
        command.arg(format!("--port={port}"));
        self.production(&mut command, directory, identity);
        command.env("ATMR_DATABASE", "sqlite").env("ATMR_SQLITE_PATH", self.logs.join("atmr.sqlite3"));
        command.env("ATMR_FINGERPRINTS", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        let log = self.logs.join("flask.log");
        command.stdout(create(&log)?).stderr(create(&log)?);
        let mut program = Program::start("the application", command)?;
        let health: Health = json(&until_it_answers(&mut program, port, &log).await?)?;
        let expected = Expected::of(self.original)?;
        let path = format!("/config/fingerprints?nonce={}", expected.nonce);
        let held: Fingerprints = json(&get(port, &path).await?)?;
        program.stop().await?;
        if health.status != "ok" || health.environment != ENVIRONMENT {
            let what = format!("/health says {} in {}", health.status, health.environment);
            return Err(Trouble::broken(what));
        }
        let same = expected.compared(&held.secrets)?;
        Ok(Seen {
            same,
            source: health.source,
            command: "coffre run -- python -m flask --app backend.app run",
        })
    }

    /// The same with the probe.
    pub(crate) async fn probe(&self, directory: &Path, identity: &Identity) -> Result<Seen, Trouble> {
        let expected = Expected::of(self.original)?;
        let mut command = self.probing(&expected, "10s");
        self.production(&mut command, directory, identity);
        let ran = run("probe", command, self.logs, START).await?;
        let held = held(&ran)?;
        let same = expected.compared(&held.secrets)?;
        Ok(Seen { same, source: held.source, command: "coffre run -- <a small program>" })
    }

    /// The probe, started although something speaks against it; the caller looks at how it ended.
    pub(crate) async fn refused(
        &self,
        name: &'static str,
        directory: &Path,
        identity: &Identity,
    ) -> Result<Ran, Trouble> {
        let mut command = self.probing(&Expected::of(self.original)?, "1s");
        self.production(&mut command, directory, identity);
        run(name, command, self.logs, START).await
    }

    /// The probe with settings of the caller; where it says its secrets came from, all of them being right.
    pub(crate) async fn source_of(
        &self,
        name: &'static str,
        directory: &Path,
        identity: &Identity,
        settings: &[(&str, &str)],
    ) -> Result<String, Trouble> {
        let expected = Expected::of(self.original)?;
        let mut command = self.probing(&expected, "1s");
        self.production(&mut command, directory, identity);
        command.envs(settings.iter().copied());
        let held = held(&run(name, command, self.logs, START).await?)?;
        expected.compared(&held.secrets)?;
        Ok(held.source)
    }

    fn probing(&self, expected: &Expected, wait: &str) -> Command {
        let mut command = self.around.coffre(["run"]);
        command.arg(format!("-wait={wait}")).arg("--").arg(self.around.coffre_path());
        command.args(["demo", probe::FLAG, &expected.nonce]).args(expected.secrets.keys());
        command
    }

    fn production(&self, command: &mut Command, directory: &Path, identity: &Identity) {
        command.current_dir(directory).env("COFFRE_ENV", ENVIRONMENT);
        command.env("VAULT_ADDR", self.server.client().address()).env("VAULT_CACERT", self.server.ca());
        // EXPOSE: into the environment of `coffre run`, which does not pass it on.
        command.env("VAULT_ROLE_ID", identity.role_id.expose());
        // EXPOSE: the same; it opens once.
        command.env("VAULT_WRAPPED_SECRET_ID", identity.wrapped.expose());
    }
}

fn held(ran: &Ran) -> Result<Held, Trouble> {
    if ran.code != Some(0) {
        let what = format!("`coffre run` ended with {:?}: {}", ran.code, ran.stderr.trim());
        return Err(Trouble::new(what, "The message says what is missing."));
    }
    json(ran.stdout.as_bytes())
}

#[derive(Deserialize)]
struct Health {
    status: String,
    environment: String,
    source: String,
}

#[derive(Deserialize)]
struct Fingerprints {
    secrets: BTreeMap<String, String>,
}

fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Trouble> {
    // serde's messages quote what they read.
    serde_json::from_slice(body)
        .map_err(|_| Trouble::broken("the application's answer is not what it should be"))
}

async fn until_it_answers(program: &mut Program, port: u16, log: &Path) -> Result<Vec<u8>, Trouble> {
    let began = SystemClock.boot();
    loop {
        let trouble = match get(port, "/health").await {
            Ok(body) => return Ok(body),
            Err(trouble) => trouble,
        };
        let said = || format!("It said:\n{}", tail(log).join("\n"));
        if let Some(status) = program.ended() {
            return Err(Trouble::new(format!("the application ended with {status}"), said()));
        }
        if SystemClock.boot().saturating_sub(began) > START {
            return Err(Trouble::new(trouble.what, said()));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The body of an answer with status 200.
async fn get(port: u16, path: &str) -> Result<Vec<u8>, Trouble> {
    let failed = |error: std::io::Error| Trouble::new(format!("no answer on {path}: {error}"), "");
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LARGEST_ANSWER).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), asked).await;
    let answer = answer.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(failed)?;
    body_of(&answer).ok_or_else(|| Trouble::new(format!("{path} was not answered with 200"), ""))
}

/// The body of an HTTP/1 answer of status 200 that ends with the connection.
fn body_of(answer: &[u8]) -> Option<Vec<u8>> {
    const BREAK: &[u8] = b"\r\n\r\n";
    let status = answer.split(|byte| *byte == b' ').nth(1)?;
    let at = answer.windows(BREAK.len()).position(|window| window == BREAK)?;
    (status == b"200").then(|| answer.get(at + BREAK.len()..).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}").as_deref(), Some(b"{}".as_slice()));
        assert_eq!(body_of(b"HTTP/1.1 404 NOT FOUND\r\n\r\n{}"), None);
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(body_of(b""), None);
    }

    #[test]
    fn another_value_is_noticed_and_named() {
        let original = Original::read().unwrap();
        let expected = Expected::of(&original).unwrap();
        let mut held = expected.secrets.clone();
        assert_eq!(expected.compared(&held).unwrap(), original.secrets().len());
        held.insert("SENTRY_DSN".into(), "0".repeat(64));
        held.remove("REDIS_URL");
        let text = expected.compared(&held).unwrap_err().to_string();
        assert!(text.contains("REDIS_URL, SENTRY_DSN"), "{text}");
    }
}
