//! Entries as lines of a file, chained.
//!
//! A regular file without `fsync` is written by the request itself, under a lock: one write(2) into the page cache, which
//! a kill of the process survives and which costs less than handing the entry to a thread. With `fsync=true` (which a
//! power cut survives too), and for pipes and terminals, a thread writes, and requests that come together share one write
//! and one fdatasync.

use std::future::ready;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coffre_api::BoxFuture;
use coffre_crypto::Key;

use crate::chain::ChainKey;
use crate::device::sink::Sink;
use crate::device::target::Target;
use crate::device::writer::Writer;
use crate::device::{Device, DeviceError, Head};

/// How to open a [`FileDevice`]; made by [`crate::DeviceSpec::parse`].
#[derive(Clone, Debug)]
pub struct FileOptions {
    pub(crate) target: Target,
    pub(crate) fsync: bool,
    pub(crate) resume: Option<Head>,
}

impl FileOptions {
    /// Continues the chain where it was when the server last kept its head: if the file ends before, the next line will
    /// show the gap.
    #[must_use]
    pub const fn resuming(mut self, head: Head) -> Self {
        self.resume = Some(head);
        self
    }
}

/// A file, a pipe, the standard output, or nothing (`discard`).
pub struct FileDevice(Mode);

enum Mode {
    Prompt(Mutex<Sink>),
    Threaded(Writer),
}

impl FileDevice {
    /// Opens the target and continues its chain. A pipe that nobody empties fails an entry after `patience`.
    pub fn open(options: FileOptions, key: &Key, patience: Duration) -> Result<Self, DeviceError> {
        let sink = Sink::open(options.target, ChainKey::new(key), options.resume, options.fsync, patience)?;
        let mode = if sink.is_prompt() {
            Mode::Prompt(Mutex::new(sink))
        } else {
            Mode::Threaded(Writer::start(sink)?)
        };
        Ok(Self(mode))
    }
}

impl Device for FileDevice {
    fn append(&self, entry: Vec<u8>) -> BoxFuture<'_, Result<(), DeviceError>> {
        match &self.0 {
            Mode::Prompt(sink) => {
                let written = sink.lock().unwrap_or_else(PoisonError::into_inner).append([entry]);
                Box::pin(ready(written))
            }
            Mode::Threaded(writer) => Box::pin(writer.append(entry)),
        }
    }

    fn reopen(&self) -> BoxFuture<'_, Result<(), DeviceError>> {
        match &self.0 {
            Mode::Prompt(sink) => {
                let opened = sink.lock().unwrap_or_else(PoisonError::into_inner).reopen();
                Box::pin(ready(opened))
            }
            Mode::Threaded(writer) => Box::pin(writer.reopen()),
        }
    }

    fn head(&self) -> Option<Head> {
        Some(match &self.0 {
            Mode::Prompt(sink) => sink.lock().unwrap_or_else(PoisonError::into_inner).head(),
            Mode::Threaded(writer) => writer.head(),
        })
    }
}
