//! The last step: this process becomes the program.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};

use coffre_source::inject::Injected;

/// Secrets are not available or not valid; the program was not started.
pub const UNAVAILABLE: u8 = 125;
/// The program was found and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The program was not found.
pub const NOT_FOUND: u8 = 127;

/// Why the program did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start `{program}`: {reason}")]
pub struct NotStarted {
    program: String,
    reason: &'static str,
    /// The exit code that a shell would use.
    pub code: u8,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// Replaces this process; returns only if that failed. The program has the same process id, terminal, streams and
/// signals, and leaves no core file in which its environment could be read.
#[must_use]
pub fn exec(program: &OsString, args: &[OsString], environment: &Injected) -> NotStarted {
    // If the limit cannot be set it was lower already, or the system refuses for a reason that concerns no secret.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(environment.expose());
    NotStarted::of(program, command.exec())
}

impl NotStarted {
    /// What the system's answer to a start means, with the code that `env` and shells give.
    pub(crate) fn of(program: &OsString, source: std::io::Error) -> Self {
        let (code, reason) = match source.kind() {
            ErrorKind::NotFound => (NOT_FOUND, "it was not found; check its name and PATH"),
            ErrorKind::PermissionDenied => {
                (NOT_EXECUTABLE, "it may not be executed; check its mode (chmod +x)")
            }
            ErrorKind::ArgumentListTooLong => (
                UNAVAILABLE,
                "arguments and environment are too long together; deliver large values as files",
            ),
            _ => (NOT_EXECUTABLE, "it cannot be executed; a script needs a first line such as #!/bin/sh"),
        };
        Self { program: program.to_string_lossy().into_owned(), reason, code, source }
    }
}
