//! A real `redis-server` for tests, in each of the ways in which it keeps its users.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use coffre_database::{Limits, PasswordAuthentication, Plugin, Settings, Tls};
use tempfile::TempDir;

/// Where a server keeps its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    AclFile,
    ConfigFile,
    Nowhere,
}

/// A `redis-server` (or `valkey-server`) with an administrator `default` / `admin-password`.
pub(crate) struct Server {
    program: PathBuf,
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
    pub(crate) keeps: Keeps,
    extra: Vec<String>,
    child: Option<Child>,
}

pub(crate) const ADMIN: &str = "admin-password";

impl Server {
    /// `None`, and a line that says so, where no program is installed.
    pub(crate) fn start(keeps: Keeps) -> Option<Self> {
        Self::start_with(keeps, |_| Vec::new())
    }

    /// The same with more lines of configuration, made from the directory.
    pub(crate) fn start_with(
        keeps: Keeps,
        extra: impl FnOnce(&std::path::Path) -> Vec<String>,
    ) -> Option<Self> {
        let Some(program) = program() else {
            println!("SKIPPED: no redis-server on PATH (apt-get install redis-server)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let extra = extra(directory.path());
        let mut server = Self { program, directory, port, keeps, extra, child: None };
        server.configure();
        server.run();
        Some(server)
    }

    fn configure(&self) {
        let directory = self.directory.path().display();
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("port {}", self.port),
            "save \"\"".to_owned(),
            format!("dir {directory}"),
            // The fence is data: it outlives a restart where data does.
            "appendonly yes".to_owned(),
            "appendfsync always".to_owned(),
        ];
        if self.keeps == Keeps::AclFile {
            fs::write(self.acl_file(), format!("user default on >{ADMIN} ~* &* +@all\n")).unwrap();
            lines.push(format!("aclfile {}", self.acl_file().display()));
        } else {
            lines.push(format!("requirepass {ADMIN}"));
        }
        lines.extend(self.extra.iter().cloned());
        fs::write(self.config_file(), lines.join("\n") + "\n").unwrap();
    }

    fn run(&mut self) {
        let mut command = Command::new(&self.program);
        if self.keeps == Keeps::Nowhere {
            let directory = self.directory.path().to_str().unwrap();
            command.args(["--bind", "127.0.0.1", "--save", "", "--dir", directory, "--port"]);
            command.arg(self.port.to_string()).args(["--requirepass", ADMIN]);
        } else {
            command.arg(self.config_file());
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.child = Some(child);
        for _ in 0..500 {
            if self.is_ready() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        unreachable!("redis-server does not come up");
    }

    /// Whether it answers, and no longer that it is `LOADING` its data.
    fn is_ready(&self) -> bool {
        let mut answer = [0; 64];
        let asked = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).and_then(|mut stream| {
            stream.write_all(b"PING\r\n")?;
            stream.read(&mut answer)
        });
        asked.is_ok_and(|read| read > 0) && !answer.starts_with(b"-LOADING")
    }

    /// Ends the process at once, as a crash does, and starts it with the files that are there.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.run();
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn acl_file(&self) -> PathBuf {
        self.directory.path().join("users.acl")
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.directory.path().join("redis.conf")
    }

    pub(crate) fn settings(&self) -> Settings {
        settings("127.0.0.1", self.port, ADMIN)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn settings(host: &str, port: u16, password: &str) -> Settings {
    Settings {
        plugin: Plugin::Redis,
        url: None,
        host: Some(host.to_owned()),
        port: Some(port),
        username: String::new(),
        password: password.into(),
        tls: Tls::default(),
        limits: Limits { timeout: Duration::from_secs(5), ..Limits::default() },
        authentication: PasswordAuthentication::default(),
        raw_url: false,
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    ["redis-server", "valkey-server"]
        .iter()
        .find_map(|name| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()))
}
