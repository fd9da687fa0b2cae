//! Every child of this process: started in one place, waited for in one place, orphans included.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Resource, Rlimit, WaitOptions, getpid, set_child_subreaper, setrlimit, wait};
use tokio::sync::oneshot;

use super::machine::Status;

/// The children that somebody waits for. Shared: whoever starts a process in a supervising program starts it here,
/// since the end of any child is taken by whoever asks first.
#[derive(Debug, Default)]
pub struct Children(Mutex<BTreeMap<i32, oneshot::Sender<Status>>>);

/// One child.
#[derive(Debug)]
pub struct Child {
    /// Its process id, good until its end was taken.
    pub pid: Pid,
    /// How it ends.
    pub end: oneshot::Receiver<Status>,
    /// Its standard output, if the command said `piped`.
    pub stdout: Option<std::process::ChildStdout>,
    /// Its standard error, likewise.
    pub stderr: Option<std::process::ChildStderr>,
}

impl Children {
    /// Orphans below this process become its children (PR_SET_CHILD_SUBREAPER), and neither it nor what it starts
    /// leaves a core file. Both are best effort: a sandbox that forbids them is no reason not to start.
    pub fn adopt() {
        let _ = set_child_subreaper(Some(getpid()));
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }

    /// Starts a command. Returns when it has become the program, or could not.
    pub fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        let (sender, end) = oneshot::channel();
        // Held, so that its end is not taken before it is known.
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        waiting.insert(pid.as_raw_pid(), sender);
        Ok(Child { pid, end, stdout: child.stdout.take(), stderr: child.stderr.take() })
    }

    /// Takes the end of every child that has ended. To be called after CHLD.
    pub fn reap(&self) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(Some((pid, ended))) = wait(WaitOptions::NOHANG) {
            let status = match (ended.exit_status(), ended.terminating_signal()) {
                (Some(code), _) => Status::Exited(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
                (None, Some(signal)) => Status::Killed(signal),
                (None, None) => continue,
            };
            // An orphan has nobody who waits for it.
            if let Some(sender) = waiting.remove(&pid.as_raw_pid()) {
                let _ = sender.send(status);
            }
        }
    }
}
