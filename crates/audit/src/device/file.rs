//! Entries as lines of a file, chained.
//!
//! A regular file without `fsync` is written by the request itself, under a lock: one write(2) into the page cache, which
//! a kill of the process survives and which costs less than handing the entry to a thread. With `fsync=true` (which a
//! power cut survives too), and for pipes and terminals, a thread writes, and requests that come together share one write
//! and one fdatasync.

use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffre_api::BoxFuture;

use crate::chain::ChainKey;
use crate::device::health::Health;
use crate::device::sink::Sink;
use crate::device::target::Target;
use crate::device::writer::Writer;
use crate::device::{Device, DeviceError, Head};

/// Where and how a file device writes.
#[derive(Clone, Debug)]
pub(crate) struct FileOptions {
    pub(crate) target: Target,
    pub(crate) fsync: bool,
}

/// Opens the target and continues its chain: with `resume` where the server last kept its head, so that a file that
/// ends before shows the gap at its next line. A pipe that nobody empties fails an entry after `patience`.
pub(crate) fn open(
    options: FileOptions,
    key: ChainKey,
    resume: Option<Head>,
    patience: Duration,
    health: Arc<Health>,
) -> Result<Box<dyn Device>, DeviceError> {
    let sink = Sink::open(options.target, key, resume, options.fsync, patience)?;
    Ok(if sink.is_prompt() {
        Box::new(Prompt { sink: Mutex::new(sink), health })
    } else {
        Box::new(Writer::start(sink, health)?)
    })
}

/// Writes by the request itself.
struct Prompt {
    sink: Mutex<Sink>,
    health: Arc<Health>,
}

impl Prompt {
    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device for Prompt {
    fn append(&self, entry: Vec<u8>) -> BoxFuture<'_, Result<(), DeviceError>> {
        let written = self.sink().append([entry]);
        self.health.note(1, written.as_ref().copied());
        Box::pin(ready(written))
    }

    fn reopen(&self) -> BoxFuture<'_, Result<(), DeviceError>> {
        let opened = self.sink().reopen();
        Box::pin(ready(opened))
    }

    fn follow(&self) {
        self.sink().follow();
    }

    fn head(&self) -> Option<Head> {
        Some(self.sink().head())
    }

    fn health(&self) -> &Health {
        &self.health
    }
}
