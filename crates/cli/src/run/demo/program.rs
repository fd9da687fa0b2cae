//! Programs that the demonstration starts: in a group of their own, with an environment of their own, and ended with
//! it.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::place::Place;
use super::trouble::Trouble;
use crate::world::Lookup;

/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(8);

/// What every program is given.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// This program.
    coffre: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

/// What passes from the caller's environment: nothing that steers a vault's client or an application.
const PASSED: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TZ"];

impl Surroundings {
    pub(crate) fn of(place: &Place, env: &dyn Lookup) -> Result<Self, Trouble> {
        let coffre = std::env::current_exe().map_err(|error| {
            Trouble::new(format!("cannot tell where this program is: {error}"), "Start it by its full path.")
        })?;
        let passed = PASSED.iter().filter_map(|name| Some((*name, OsString::from(env.var(name)?))));
        let mut environment: Vec<_> = passed.collect();
        // Nothing is read from, or left in, the user's own home.
        environment.push(("HOME", place.directory("home")?.into()));
        environment.push(("TMPDIR", place.directory("tmp")?.into()));
        environment.push(("LANG", "C.UTF-8".into()));
        Ok(Self { coffre, environment })
    }

    /// This program, for a command line that `coffre run` starts.
    pub(crate) fn coffre_path(&self) -> &Path {
        &self.coffre
    }

    /// This program with arguments.
    pub(crate) fn coffre<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.program(&self.coffre);
        command.args(args);
        command
    }

    /// Another program.
    pub(crate) fn program(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running program. Dropped, it is killed with everything that it started.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    group: Option<Pid>,
    name: &'static str,
}

impl Program {
    /// Starts it, without standard input.
    pub(crate) fn start(name: &'static str, mut command: Command) -> Result<Self, Trouble> {
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(|error| {
            Trouble::new(format!("cannot start {name}: {error}"), "Check that it may be executed.")
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, group, name })
    }

    /// Its end, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    pub(crate) async fn finish(&mut self, limit: Duration) -> Result<ExitStatus, Trouble> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => {
                Err(Trouble::new(format!("cannot wait for {}: {error}", self.name), "Try again."))
            }
            Err(_) => Err(Trouble::new(
                format!("{} did not end within {} s", self.name, limit.as_secs()),
                "Try again on a machine that is less busy.",
            )),
        }
    }

    /// Asks it to end (SIGTERM), and says how it did.
    pub(crate) async fn stop(mut self) -> Result<ExitStatus, Trouble> {
        self.signal(Signal::TERM);
        self.finish(GRACE).await
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may have ended meanwhile.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Until it has been waited for, its number is nobody else's.
        if self.child.id().is_some() {
            self.signal(Signal::KILL);
        }
    }
}

/// What a program that was run to its end left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end. Its output goes through files in `logs`, where it is searched later.
pub(crate) async fn run(
    name: &'static str,
    mut command: Command,
    logs: &Path,
    limit: Duration,
) -> Result<Ran, Trouble> {
    let (out, err) = (logs.join(format!("{name}.out")), logs.join(format!("{name}.err")));
    command.stdout(create(&out)?).stderr(create(&err)?);
    let status = Program::start(name, command)?.finish(limit).await?;
    let read = |path: &Path| -> Result<String, Trouble> {
        let bytes = std::fs::read(path).map_err(|error| Trouble::file(path, &error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Ran { code: status.code(), stdout: read(&out)?, stderr: read(&err)? })
}

/// A new file for a program's output.
pub(crate) fn create(path: &Path) -> Result<File, Trouble> {
    super::place::write(path, b"")?;
    File::options().append(true).open(path).map_err(|error| Trouble::file(path, &error))
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> Result<u16, Trouble> {
    let bound = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
    bound.map(|address| address.port()).map_err(|error| {
        Trouble::new(format!("cannot listen on 127.0.0.1: {error}"), "Allow the loopback interface.")
    })
}
