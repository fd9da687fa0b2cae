//! A PostgreSQL of the benchmark's own, with the settings it comes with: every commit is flushed.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use coffre_ambient::{Clock as _, SystemClock};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use super::super::process::Process;
use super::super::server::{free_address, pause};

/// Who makes users: no superuser, with `CREATEROLE` and the admin option on [`OWNER`].
pub(super) const ADMIN: &str = "admin";
/// Of both administrators; the server is this run's own.
pub(super) const PASSWORD: &str = "of-the-benchmark";
/// The role that users get their rights from.
pub(super) const OWNER: &str = "app_owner";
const BOSS: &str = "boss";
/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; stopped when dropped.
pub(super) struct Postgres {
    process: Process,
    pub(super) port: String,
    runtime: Runtime,
}

impl Postgres {
    /// `None` where PostgreSQL is not installed.
    pub(super) fn start(dir: &Path) -> Result<Option<Self>> {
        let Some(programs) = programs() else { return Ok(None) };
        let home = dir.join("postgresql");
        fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
        let secret = home.join("password");
        fs::write(&secret, PASSWORD).context("writing the password of the database")?;
        let user = unprivileged(&home)?;
        let own = |path: &Path| match user {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)).context("giving files to another user"),
            None => Ok(()),
        };
        own(&home)?;
        own(&secret)?;
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir(&home).stdin(Stdio::null()).arg("-D").arg(home.join("data"));
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        let mut initdb = command("initdb");
        initdb.args(["-U", BOSS, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]);
        let made =
            initdb.arg(format!("--pwfile={}", secret.display())).output().context("starting initdb")?;
        if !made.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        let address = free_address()?;
        let port = address.rsplit(':').next().unwrap_or_default().to_owned();
        let log = File::create(dir.join("postgresql.log")).context("making the database's log")?;
        let mut postgres = command("postgres");
        postgres.args(["-p", &port]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=150"] {
            postgres.args(["-c", setting]);
        }
        let child = postgres.stdout(log.try_clone()?).stderr(log).spawn().context("starting postgres")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = Self { process: Process::new(child), port, runtime };
        server.prepare()?;
        Ok(Some(server))
    }

    fn prepare(&self) -> Result<()> {
        let end = SystemClock.boot() + PATIENCE;
        while TcpStream::connect(format!("127.0.0.1:{}", self.port)).is_err() || self.ask("SELECT 1").is_err()
        {
            if SystemClock.boot() > end {
                bail!("PostgreSQL does not come up; its log is postgresql.log");
            }
            pause();
        }
        for sql in [
            format!("CREATE ROLE {OWNER} NOLOGIN"),
            format!("CREATE ROLE {ADMIN} LOGIN CREATEROLE PASSWORD '{PASSWORD}'"),
            format!("GRANT {OWNER} TO {ADMIN} WITH ADMIN OPTION"),
        ] {
            self.ask(&sql)?;
        }
        Ok(())
    }

    /// Users whose name begins so.
    pub(super) fn users(&self, prefix: &str) -> Result<u64> {
        self.ask(&format!("SELECT count(*) FROM pg_roles WHERE starts_with(rolname, '{prefix}')"))
    }

    /// One statement of the superuser; the number in its only row, 0 without one.
    fn ask(&self, sql: &str) -> Result<u64> {
        self.runtime.block_on(async {
            let client = connect(&self.port, BOSS).await?;
            let rows = client.simple_query(sql).await?;
            let number = rows.iter().find_map(|row| match row {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
                _ => None,
            });
            Ok(number.unwrap_or(0))
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // In order, so that nothing writes into the directory when it is removed.
        let _ = self.process.interrupt();
    }
}

/// A plain client, logged in.
pub(super) async fn connect(port: &str, user: &str) -> Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port.parse()?).user(user).password(PASSWORD).dbname("postgres");
    let (client, connection) = config.connect(NoTls).await.context("connecting to PostgreSQL")?;
    tokio::spawn(connection);
    Ok(client)
}

fn programs() -> Option<PathBuf> {
    let here = |dir: &PathBuf| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    let path = std::env::var_os("PATH")?;
    if let Some(found) = std::env::split_paths(&path).find(here) {
        return Some(found);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.filter_map(|entry| entry.ok().map(|entry| entry.path().join("bin"))).filter(here).max()
}

/// PostgreSQL does not run as root: as `postgres` where there is that user, else as `nobody`.
fn unprivileged(dir: &Path) -> Result<Option<(u32, u32)>> {
    if fs::metadata(dir)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Ok(find("postgres").or_else(|| find("nobody")))
}
