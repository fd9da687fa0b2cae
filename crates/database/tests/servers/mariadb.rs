//! A real MariaDB for tests.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The administrator is `admin` from anywhere, with this password.
pub(crate) const ADMIN: &str = "admin-password";

/// A `mariadbd` (or `mysqld`) with a database `shop`.
pub(crate) struct MariaDb {
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
    child: Child,
}

impl MariaDb {
    /// `None`, and a line that says so, where no program is installed. `extra` are more options.
    pub(crate) fn start(extra: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        let (Some(server), Some(install)) = (program(&["mariadbd"]), program(&["mariadb-install-db"])) else {
            println!("SKIPPED: no mariadbd (apt-get install mariadb-server)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let extra = extra(directory.path());
        let data = format!("--datadir={}/data", directory.path().display());
        let installed = Command::new(install)
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data])
            .arg("--innodb-buffer-pool-size=16M")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&installed.stdout).into_owned()
            + &String::from_utf8_lossy(&installed.stderr);
        assert!(installed.status.success(), "mariadb-install-db: {said}");
        let init = directory.path().join("init.sql");
        let sql = format!(
            "CREATE USER admin@'%' IDENTIFIED BY '{ADMIN}';\nGRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\nCREATE DATABASE shop;\n"
        );
        fs::write(&init, sql).unwrap();
        let place = directory.path().display();
        let child = Command::new(server)
            .args(["--no-defaults", &data, "--bind-address=127.0.0.1", "--skip-log-bin", "--user=root"])
            .args(["--innodb-buffer-pool-size=16M", "--skip-name-resolve"])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={place}/socket"))
            .arg(format!("--init-file={}", init.display()))
            .args(extra)
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Self { directory, port, child };
        server.wait();
        Some(server)
    }

    /// The port opens after the init file is done.
    fn wait(&self) {
        for _ in 0..1500 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        unreachable!("mariadbd does not come up: {log}");
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).collect();
    names.iter().find_map(|name| places.iter().map(|place| place.join(name)).find(|file| file.is_file()))
}
