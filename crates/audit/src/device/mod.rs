//! Where entries go.

mod circuit;
mod file;
mod file_options;
pub(crate) mod health;
mod peer;
mod remote;
mod remote_options;
mod sink;
pub(crate) mod spec;
mod syslog;
mod target;
mod wire;
mod writer;

use coffre_api::BoxFuture;

use crate::device::health::Health;

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

    /// Opens the target anew if its name leads elsewhere by now: a file that was renamed or deleted. Never waits.
    fn follow(&self);

    /// The last entry's place in the chain, for devices that chain.
    fn head(&self) -> Option<Head>;

    /// What is known of the device.
    fn health(&self) -> &Health;
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

    /// The link as it stands in the log: 64 hexadecimal digits.
    #[must_use]
    pub fn link_hex(&self) -> String {
        coffre_crypto::digest::hex(&self.link)
    }
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
    /// The peer of a socket cannot be reached, or hung up. Says no more: it would tell who listens where.
    #[error("the device's peer does not take entries; check its address and socket_type, and that it runs")]
    Unreachable(#[source] std::io::Error),
    /// The device was shut or its thread has ended.
    #[error("the device is shut")]
    Shut,
    /// Neither a regular file nor a pipe nor a character device.
    #[error("the device's target must be a regular file, a pipe or a terminal")]
    Target,
    /// The file holds something else.
    #[error("the file exists and holds no audit entries; choose a new file, or move that one away")]
    Foreign,
}

impl DeviceError {
    /// One word, for reports and numbers.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Write(error) if error.kind() == std::io::ErrorKind::StorageFull => "full",
            Self::Write(_) => "write",
            Self::Open(_) => "open",
            Self::Taken => "taken",
            Self::Blocked => "blocked",
            Self::Unreachable(_) => "unreachable",
            Self::Shut => "shut",
            Self::Target => "target",
            Self::Foreign => "foreign",
        }
    }

    /// The same failure again, for another who waits.
    pub(crate) fn again(&self) -> Self {
        let copy = |e: &std::io::Error| {
            e.raw_os_error().map_or_else(|| e.kind().into(), std::io::Error::from_raw_os_error)
        };
        match self {
            Self::Write(e) => Self::Write(copy(e)),
            Self::Open(e) => Self::Open(copy(e)),
            Self::Taken => Self::Taken,
            Self::Blocked => Self::Blocked,
            Self::Unreachable(e) => Self::Unreachable(copy(e)),
            Self::Shut => Self::Shut,
            Self::Target => Self::Target,
            Self::Foreign => Self::Foreign,
        }
    }
}
