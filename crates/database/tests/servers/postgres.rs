//! A real PostgreSQL for tests: a cluster of its own, that logs every statement that defines something.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use coffre_database::{Limits, PasswordAuthentication, Plugin, Settings, Tls};
use coffre_secret::SecretText;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// The superuser, and its password.
pub(crate) const BOSS: &str = "boss";
pub(crate) const BOSS_PASSWORD: &str = "CANARY-boss/pass";
/// Who makes users: `CREATEROLE`, and the admin option on `app_owner`.
pub(crate) const ADMIN: &str = "admin";
pub(crate) const ADMIN_PASSWORD: &str = "CANARY-admin@pass";

/// A server. Dropped, it is stopped and its files are removed.
pub(crate) struct Server {
    programs: PathBuf,
    /// Who runs it, where we are root.
    user: Option<(u32, u32)>,
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
    extra: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// `None`, and a line that says so, where PostgreSQL is not installed. With a database `shop`, a role `app_owner` that
    /// owns it and a table `t` in it, and the administrator.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(|_| Vec::new()).await
    }

    /// The same with more settings, made from the directory.
    pub(crate) async fn start_with(extra: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        let Some(programs) = programs() else {
            println!("SKIPPED: no PostgreSQL (apt-get install postgresql)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let user = unprivileged(directory.path());
        let extra = extra(directory.path());
        let mut server = Self { programs, user, directory, port, extra, child: None };
        server.own(server.directory.path());
        server.make();
        server.run().await;
        server.fill().await;
        Some(server)
    }

    fn make(&self) {
        let kept = self.directory.path().join("password");
        fs::write(&kept, BOSS_PASSWORD).unwrap();
        self.own(&kept);
        let mut command = self.command("initdb");
        command.arg("-D").arg(self.data()).args([
            "-U",
            BOSS,
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--no-sync",
        ]);
        command.arg("--locale=C.UTF-8").arg(format!("--pwfile={}", kept.display()));
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Starts the process and waits until it answers.
    pub(crate) async fn run(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "log_statement=ddl"]
                .into_iter()
                .chain(self.extra.iter().map(String::as_str))
        {
            command.args(["-c", setting]);
        }
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        for _ in 0..500 {
            if connect(self.port, BOSS, BOSS_PASSWORD, "postgres").await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("PostgreSQL does not come up: {}", self.log());
    }

    async fn fill(&self) {
        // Verifiers, so that the log stays free of passwords that are not under test.
        let verifier = coffre_database::postgresql::verifier(&SecretText::from(ADMIN_PASSWORD));
        let boss = self.boss("postgres").await;
        let role = format!("CREATE ROLE {ADMIN} LOGIN CREATEROLE PASSWORD '{}'", verifier.expose());
        for sql in ["CREATE ROLE app_owner NOLOGIN", &role, "GRANT app_owner TO admin WITH ADMIN OPTION"] {
            boss.batch_execute(sql).await.unwrap();
        }
        boss.batch_execute("CREATE DATABASE shop OWNER app_owner").await.unwrap();
        let shop = self.boss("shop").await;
        shop.batch_execute(
            "GRANT ALL ON SCHEMA public TO app_owner; SET ROLE app_owner; CREATE TABLE t (x int)",
        )
        .await
        .unwrap();
    }

    /// `fast`: sessions are ended in order; otherwise as in a crash.
    pub(crate) fn stop(&mut self, fast: bool) {
        if let Some(mut child) = self.child.take() {
            let signal = if fast { "-INT" } else { "-QUIT" };
            Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
            child.wait().unwrap();
        }
    }

    /// The superuser, in that database.
    pub(crate) async fn boss(&self, database: &str) -> Client {
        connect(self.port, BOSS, BOSS_PASSWORD, database).await.unwrap()
    }

    /// The first column of all rows.
    pub(crate) async fn ask(&self, sql: &str) -> Vec<String> {
        column(&self.boss("shop").await, sql).await
    }

    /// The server's log as far as it is written.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// The administrator's settings for the database `shop`.
    pub(crate) fn settings(&self) -> Settings {
        settings(&format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/shop", self.port))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives a file to whoever runs the server.
    pub(crate) fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.user {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(false);
    }
}

pub(crate) fn settings(url: &str) -> Settings {
    Settings {
        plugin: Plugin::Postgresql,
        url: Some(url.to_owned()),
        host: None,
        port: None,
        username: ADMIN.to_owned(),
        password: ADMIN_PASSWORD.into(),
        tls: Tls::default(),
        limits: Limits { timeout: Duration::from_secs(8), ..Limits::default() },
        authentication: PasswordAuthentication::default(),
        raw_url: false,
    }
}

/// A plain client, as an application is one.
pub(crate) async fn connect(
    port: u16,
    user: &str,
    password: &str,
    database: &str,
) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(user).password(password).dbname(database);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The first column of all rows.
pub(crate) async fn column(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.simple_query(sql).await.unwrap();
    let text = |row: &SimpleQueryMessage| match row {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("null").to_owned()),
        _ => None,
    };
    rows.iter().filter_map(text).collect()
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

/// PostgreSQL does not run as root: `postgres` where there is that user, else `nobody`.
fn unprivileged(directory: &Path) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata(directory).unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let fields: Vec<&str> =
            users.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody"))
}
