//! What a file device writes to, and how it is opened.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fchmod, fstat, openat, openat2};
use rustix::io::Errno;

use crate::device::DeviceError;

/// Where entries go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nowhere.
    Discard,
    /// The process's standard output.
    Stdout,
    /// A path; with `root`, it must lie below that directory, and no symbolic link is followed on the way.
    Path { path: PathBuf, root: Option<PathBuf>, mode: Option<u32> },
}

impl Target {
    /// Opens it for appending; `None` if there is nothing to write to.
    pub(crate) fn open(&self) -> Result<Option<File>, DeviceError> {
        match self {
            Self::Discard => Ok(None),
            Self::Stdout => {
                let fd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3);
                fd.map(|fd| Some(File::from(fd))).map_err(|e| DeviceError::Open(e.into()))
            }
            Self::Path { path, root, mode } => open_path(path, root.as_deref(), *mode).map(Some),
        }
    }
}

impl Target {
    /// Gives a regular file its mode. Somebody else's file that we may write all the same keeps its own.
    pub(crate) fn set_mode(&self, file: &File) {
        if let Self::Path { mode: Some(mode), .. } = self {
            let _ = fchmod(file, Mode::from_raw_mode(*mode));
        }
    }

    /// The file that the name leads to by now, as device and inode; the inner `None` if there is none. The outer `None` for
    /// targets without a name, or if it cannot be told.
    pub(crate) fn identity(&self) -> Option<Option<(u64, u64)>> {
        let Self::Path { path, root, .. } = self else { return None };
        let full = root.as_deref().map_or_else(|| path.clone(), |root| root.join(path));
        match rustix::fs::lstat(&full) {
            Ok(stat) => Some(Some((stat.st_dev, stat.st_ino))),
            Err(Errno::NOENT) => Some(None),
            Err(_) => None,
        }
    }
}

fn open_path(path: &Path, root: Option<&Path>, mode: Option<u32>) -> Result<File, DeviceError> {
    let wrap = |errno: Errno| DeviceError::Open(errno.into());
    let create = Mode::from_raw_mode(mode.unwrap_or(0o600));
    // Reading is for the last line of a file that is continued.
    let base = OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = open_at(path, root, base | OFlags::RDWR | OFlags::CREATE, create).map_err(wrap)?;
    let stat = fstat(&file).map_err(wrap)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => {
            // While we hold a reading end ourselves, nothing would ever tell that nobody else reads.
            drop(file);
            open_at(path, root, base | OFlags::WRONLY, Mode::empty()).map_err(wrap)
        }
        _ => Ok(file),
    }
}

fn open_at(path: &Path, root: Option<&Path>, flags: OFlags, mode: Mode) -> Result<File, Errno> {
    let Some(root) = root else {
        return openat(CWD, path, flags | OFlags::NOFOLLOW, mode).map(File::from);
    };
    let below = path.strip_prefix(root).unwrap_or(path);
    if !below.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Errno::XDEV);
    }
    let dir = openat(CWD, root, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty())?;
    // The kernel refuses a mode without CREATE.
    let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(dir, below, flags, mode, resolve).map(File::from)
}
