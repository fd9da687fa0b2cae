//! Every child of this process: started in one place, waited for in one place, orphans included.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rustix::process::{
    Pid, Resource, Rlimit, WaitOptions, WaitStatus, getpid, set_child_subreaper, setrlimit, wait, waitpid,
};
use tokio::sync::oneshot;

use super::machine::Status;

/// The children that somebody waits for.
///
/// Where orphans are adopted the end of every child is taken here, so that whoever else starts a process must do it with
/// [`Children::spawn`]. Where they are not, only what was started here is waited for, and `tokio::process` works beside it.
#[derive(Debug, Default)]
pub struct Children {
    waiting: Mutex<BTreeMap<i32, oneshot::Sender<Status>>>,
    adopts: bool,
}

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
    /// Neither this process nor what it starts leaves a core file. With `orphans`, those below it become its children
    /// (PR_SET_CHILD_SUBREAPER), as they do anyhow for the first process of a container. Both are best effort: a sandbox
    /// that forbids them is no reason not to start.
    #[must_use]
    pub fn taking(orphans: bool) -> Self {
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        if orphans {
            let _ = set_child_subreaper(Some(getpid()));
        }
        Self { waiting: Mutex::default(), adopts: orphans || getpid().is_init() }
    }

    /// Starts a command. Returns when it has become the program, or could not.
    pub fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        let (sender, end) = oneshot::channel();
        // Held, so that its end is not taken before it is known.
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        waiting.insert(pid.as_raw_pid(), sender);
        Ok(Child { pid, end, stdout: child.stdout.take(), stderr: child.stderr.take() })
    }

    /// Takes the end of every child that has ended. To be called after CHLD.
    pub fn reap(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.adopts {
            while let Ok(Some((pid, ended))) = wait(WaitOptions::NOHANG) {
                tell(&mut waiting, pid, ended);
            }
            return;
        }
        let ours: Vec<Pid> = waiting.keys().copied().filter_map(Pid::from_raw).collect();
        for pid in ours {
            if let Ok(Some((pid, ended))) = waitpid(Some(pid), WaitOptions::NOHANG) {
                tell(&mut waiting, pid, ended);
            }
        }
    }
}

fn tell(waiting: &mut BTreeMap<i32, oneshot::Sender<Status>>, pid: Pid, ended: WaitStatus) {
    let status = match (ended.exit_status(), ended.terminating_signal()) {
        (Some(code), _) => Status::Exited(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Status::Killed(signal),
        (None, None) => return,
    };
    // An orphan has nobody who waits for it.
    if let Some(sender) = waiting.remove(&pid.as_raw_pid()) {
        let _ = sender.send(status);
    }
}
