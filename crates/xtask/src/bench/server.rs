//! Starting the servers that are measured.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use coffre_ambient::{Clock as _, SystemClock};

use super::process::Process;
use super::setup;

/// How long a server may take until it accepts connections.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server, ready for load.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) process: Process,
    /// `host:port`.
    pub(super) address: String,
    /// An administrator's token; empty for the bare server.
    pub(super) root: String,
    /// The token that the load uses: one policy, one path.
    pub(super) token: String,
    /// The one unseal key; empty where there is none.
    pub(super) key: String,
    /// How our own server is started again.
    start: Option<(PathBuf, PathBuf)>,
}

impl Server {
    /// Our server: redb in `dir`, no TLS, initialised, unsealed, KV v2 mounted.
    pub(super) fn coffre(binary: &Path, dir: &Path) -> Result<Self> {
        let address = free_address()?;
        let config = dir.join("server.hcl");
        let data = dir.join("data");
        fs::write(&config, configuration(&address, &data))
            .with_context(|| format!("writing {}", config.display()))?;
        let log = File::create(dir.join("server.log")).context("making the server's log")?;
        let mut command = Command::new(binary);
        command.arg("server").arg(format!("-config={}", config.display()));
        let mut server = Self::start(&mut command, address, &log)?;
        server.start = Some((binary.to_owned(), dir.to_owned()));
        (server.root, server.key) = setup::initialise(&server)?;
        setup::unseal(&server, &server.key)?;
        setup::mount(&server)?;
        server.token = setup::token(&server)?;
        Ok(server)
    }

    /// The yardstick, answering `sample` to everything.
    pub(super) fn bare(sample: &str, dir: &Path) -> Result<Self> {
        let address = free_address()?;
        let file = dir.join("sample.json");
        fs::write(&file, sample).with_context(|| format!("writing {}", file.display()))?;
        let log = File::create(dir.join("bare.log")).context("making the bare server's log")?;
        let own = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(own);
        command.args(["bench", "--as=bare", &address]).arg(file);
        Self::start(&mut command, address, &log)
    }

    /// Another Vault-compatible server in its development mode, in memory.
    pub(super) fn peer(program: &str, dir: &Path) -> Result<Self> {
        let address = free_address()?;
        let root = format!("bench-{}", std::process::id());
        let log = File::create(dir.join(format!("{program}.log"))).context("making the peer's log")?;
        let mut command = Command::new(program);
        command.args(["server", "-dev", "-dev-no-store-token"]);
        command.arg(format!("-dev-listen-address={address}")).arg(format!("-dev-root-token-id={root}"));
        let mut server = Self::start(&mut command, address, &log)?;
        server.root = root;
        setup::ready(&server)?;
        server.token = setup::token(&server)?;
        Ok(server)
    }

    fn start(command: &mut Command, address: String, log: &File) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let mut process = Process::new(child);
        let target: SocketAddr = address.parse().context("an address")?;
        let end = SystemClock.boot() + PATIENCE;
        while TcpStream::connect_timeout(&target, Duration::from_millis(200)).is_err() {
            if let Some(status) = process.ended() {
                bail!("{} ended with {status} instead of serving", command.get_program().display());
            }
            if SystemClock.boot() > end {
                bail!("{} accepts no connection", command.get_program().display());
            }
            pause();
        }
        let (root, token, key) = (String::new(), String::new(), String::new());
        Ok(Self { process, address, root, token, key, start: None })
    }

    /// Kills our own server and starts it again over what it left; it is sealed then.
    pub(super) fn again(&mut self) -> Result<()> {
        let (binary, dir) = self.start.clone().context("only our own server is started again")?;
        self.process.kill()?;
        let log =
            File::options().append(true).open(dir.join("server.log")).context("opening the server's log")?;
        let mut command = Command::new(binary);
        command.arg("server").arg(format!("-config={}", dir.join("server.hcl").display()));
        self.process = Self::start(&mut command, self.address.clone(), &log)?.process;
        Ok(())
    }
}

/// A little time for another process.
pub(super) fn pause() {
    #[expect(clippy::disallowed_methods, reason = "waits for another program, not for our own state")]
    std::thread::sleep(Duration::from_millis(50));
}

/// A loopback address that was free a moment ago.
pub(super) fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr()?.to_string())
}

fn configuration(address: &str, data: &Path) -> String {
    format!(
        "storage \"redb\" {{\n  path = \"{}\"\n}}\n\nlistener \"tcp\" {{\n  address = \"{address}\"\n  \
         tls_disable = true\n}}\n\napi_addr = \"http://{address}\"\ndisable_mlock = true\nlog_level = \"warn\"\n",
        data.display()
    )
}
