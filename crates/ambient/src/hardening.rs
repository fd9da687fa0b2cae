//! What a process that holds secrets does about itself at start, before it reads anything.
//!
//! Threat model: another process of the same user that wants to read our memory, a core dump on disk, and files that
//! others can read. All of it is inherited by threads and kept until the process ends.

use std::fmt;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior,
};
use rustix::process::{setrlimit, umask};

/// One measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// `PR_SET_DUMPABLE` = 0: no debugger of the same user, no core dump, `/proc/self` belongs to root.
    NotDumpable,
    /// `RLIMIT_CORE` = 0, soft and hard.
    NoCore,
    /// umask 077: new files are for the owner alone.
    PrivateFiles,
}

/// A measure that failed.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not protect the process ({measure}); a production server must not start so: look at the limits and the sandbox it runs in"
)]
pub struct NotHardened {
    /// Which one.
    pub measure: Measure,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// What came of [`harden`].
#[derive(Debug, Default)]
pub struct Report {
    /// Done, and read back where the system allows it.
    pub done: Vec<Measure>,
    /// Failed; the others were tried all the same.
    pub failed: Vec<NotHardened>,
}

impl Report {
    /// The first failure, for those who must not start with any.
    pub fn require(self) -> Result<Vec<Measure>, NotHardened> {
        self.failed.into_iter().next().map_or(Ok(self.done), Err)
    }
}

type Take = fn() -> std::io::Result<()>;

/// Takes every measure, also if one fails. To be called first thing, while there is one thread.
pub fn harden() -> Report {
    take(&[
        (Measure::NotDumpable, not_dumpable),
        (Measure::NoCore, no_core),
        (Measure::PrivateFiles, private_files),
    ])
}

/// For a command that holds secrets for a moment and writes files that people share: memory is protected, the umask
/// stays theirs.
pub fn harden_command() -> Report {
    take(&[(Measure::NotDumpable, not_dumpable), (Measure::NoCore, no_core)])
}

/// Raises the number of files that may be open to the one wanted, as far as the system allows, and tells what it is
/// then.
#[must_use]
pub fn open_files(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let soft = now.current.unwrap_or(u64::MAX);
    let reachable = wanted.min(now.maximum.unwrap_or(u64::MAX));
    if reachable > soft {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(reachable), maximum: now.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn take(measures: &[(Measure, Take)]) -> Report {
    let mut report = Report::default();
    for &(measure, take) in measures {
        match take() {
            Ok(()) => report.done.push(measure),
            Err(source) => report.failed.push(NotHardened { measure, source }),
        }
    }
    report
}

fn not_dumpable() -> std::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    held(dumpable_behavior()? == DumpableBehavior::NotDumpable)
}

fn no_core() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    held(getrlimit(Resource::Core).current == Some(0))
}

fn private_files() -> std::io::Result<()> {
    let private = Mode::RWXG | Mode::RWXO;
    umask(private);
    held(umask(private) == private)
}

fn held(holds: bool) -> std::io::Result<()> {
    if holds { Ok(()) } else { Err(std::io::Error::other("the system took the setting and did not keep it")) }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDumpable => "memory closed to debuggers and core dumps",
            Self::NoCore => "core file size 0",
            Self::PrivateFiles => "new files readable by their owner alone",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn all_measures_hold_in_this_process() {
        let report = harden();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.lines().any(|line| line.starts_with("Umask:") && line.ends_with("0077")), "{status}");
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
        // The files of a process that is not dumpable belong to root.
        assert_eq!(std::fs::metadata("/proc/self/mem").unwrap().uid(), 0);
        assert_eq!(report.require().unwrap().len(), 3);
    }

    #[test]
    fn a_command_keeps_its_umask() {
        let done = harden_command().require().unwrap();
        assert_eq!(done, [Measure::NotDumpable, Measure::NoCore]);
    }

    #[test]
    fn a_failure_is_told() {
        let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let report = Report { done: vec![], failed: vec![NotHardened { measure: Measure::NoCore, source }] };
        let text = report.require().unwrap_err().to_string();
        assert!(text.contains("core file size 0"), "{text}");
    }
}
