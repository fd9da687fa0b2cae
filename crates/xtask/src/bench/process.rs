//! A child process and what the kernel says about it.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Kernel clock ticks per second; 100 on every Linux platform that we build for (`USER_HZ`).
const TICKS: u64 = 100;

/// Killed and reaped when dropped.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    pub(super) const fn new(child: Child) -> Self {
        Self(child)
    }

    /// Whether it has ended, with its status as text.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.0.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Kills it and waits for its end.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.0.kill().context("killing the server")?;
        self.0.wait().context("waiting for the server's end").map(drop)
    }

    /// Asks it to end in order (SIGINT) and waits for that.
    pub(super) fn interrupt(&mut self) -> Result<()> {
        let mut kill = Command::new("kill");
        kill.arg("-INT").arg(self.0.id().to_string());
        kill.status().context("sending a signal")?;
        self.0.wait().context("waiting for a server's end").map(drop)
    }

    /// CPU time so far, user and system, all threads. Exact to a hundredth of a second.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // The second field is the program's name in parentheses and may contain anything.
        let (_, rest) = stat.rsplit_once(')').context("/proc/<pid>/stat without a name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        let (user, system) = (ticks(11).context("no utime")?, ticks(12).context("no stime")?);
        Ok(Duration::from_millis((user + system) * 1000 / TICKS))
    }

    /// Resident memory now, in KiB.
    pub(super) fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Highest resident memory so far, in KiB.
    pub(super) fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Result<u64> {
        self.read("status")?
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("no {name} in /proc/<pid>/status"))
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.0.id());
        fs::read_to_string(&path).with_context(|| format!("reading {path}; has the server ended?"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_child_has_memory_and_cpu_time_and_dies_with_its_guard() {
        let process = Process::new(Command::new("sleep").arg("60").spawn().unwrap());
        assert!(process.peak().unwrap() >= process.resident().unwrap().min(1));
        assert!(process.cpu().unwrap() < Duration::from_secs(1));
        let path = format!("/proc/{}", process.0.id());
        drop(process);
        assert!(!std::path::Path::new(&path).exists());
    }
}
