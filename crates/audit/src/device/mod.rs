//! Where entries go.

pub(crate) mod file;
pub(crate) mod options;
mod sink;
mod target;
mod writer;

use coffre_api::BoxFuture;

/// Something that keeps entries.
pub trait Device: Send + Sync {
    /// Takes one entry: a JSON object on one line, without its closing brace, so that the device can add members.
    ///
    /// The entry is written or queued before this returns, whether or not the future is polled; entries stay in the
    /// order of the calls. The future ends when the entry is with the system (and durable, where the device promises
    /// that), or has failed.
    fn append(&self, entry: Vec<u8>) -> BoxFuture<'_, Result<(), DeviceError>>;

    /// Opens the device's target anew (after log rotation), between two entries.
    fn reopen(&self) -> BoxFuture<'_, Result<(), DeviceError>>;

    /// The last entry's place in the chain, for devices that chain.
    fn head(&self) -> Option<Head>;
}

/// A place in the hash chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of entries so far.
    pub seq: u64,
    /// The last entry's link.
    pub link: [u8; 32],
}

impl Head {
    /// Before the first entry.
    pub const START: Self = Self { seq: 0, link: [0; 32] };
}

/// Why a device did not take an entry. Names neither paths nor values.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The system refused the write.
    #[error("the device could not be written; check free space and permissions")]
    Write(#[source] std::io::Error),
    /// The target could not be opened.
    #[error("the device could not be opened; check that its directory exists and is writable")]
    Open(#[source] std::io::Error),
    /// Somebody else writes the same file.
    #[error("another process or device writes to the same file; give each its own")]
    Taken,
    /// Nobody takes what we write, or the disk hangs.
    #[error("the device did not take the entry in time; check who reads from it")]
    Blocked,
    /// The device was shut or its thread has ended.
    #[error("the device is shut")]
    Shut,
    /// Neither a regular file nor a pipe nor a character device.
    #[error("the device's target must be a regular file, a pipe or a terminal")]
    Target,
}
