//! What a program prints, on its way through us.

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::time::sleep;

use super::children::Child;
use super::redact::Redactor;

/// After the program's end its last output is waited for. Somebody who has left its group may hold the pipe longer.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);

/// The threads that copy.
#[derive(Debug, Default)]
pub(super) struct Output(Vec<JoinHandle<()>>);

impl Output {
    /// Streams that lead to a terminal stay as they are: somebody looks, and may need them so.
    pub(super) fn pipe(&self, command: &mut Command) {
        if !std::io::stdout().is_terminal() {
            command.stdout(Stdio::piped());
        }
        if !std::io::stderr().is_terminal() {
            command.stderr(Stdio::piped());
        }
    }

    /// Copies what a child prints, without the values that the redactor knows.
    pub(super) fn take(&mut self, child: &mut Child, redactor: Redactor) {
        let redactor = Arc::new(redactor);
        self.0.retain(|copying| !copying.is_finished());
        if let Some(from) = child.stdout.take() {
            self.copy(from, rustix::stdio::stdout(), redactor.clone());
        }
        if let Some(from) = child.stderr.take() {
            self.copy(from, rustix::stdio::stderr(), redactor);
        }
    }

    fn copy(&mut self, from: impl Read + AsFd + Send + 'static, to: BorrowedFd<'_>, redactor: Arc<Redactor>) {
        // A stream of ours that is closed takes nothing; the program learns it as it would without us.
        let Ok(to) = rustix::io::fcntl_dupfd_cloexec(to, 3) else { return };
        self.0.push(thread::spawn(move || drop(redactor.copy(from, File::from(to)))));
    }

    /// Waits for the last of it.
    pub(super) async fn finish(&mut self) {
        let mut waited = Duration::ZERO;
        while waited < PATIENCE && self.0.iter().any(|copying| !copying.is_finished()) {
            sleep(LOOK).await;
            waited = waited.saturating_add(LOOK);
        }
        self.0.clear();
    }
}
