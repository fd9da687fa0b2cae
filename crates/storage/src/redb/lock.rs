//! The lock file of a data directory: one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::open::OpenRefused;

const NAME: &str = "coffre.lock";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Takes the lock file of this directory; it is free again when the file is closed, however the process ends.
///
/// The file says who holds it (process id and boot id), for the message to the next one. Only the kernel's lock
/// decides; what the file says may be old.
pub(super) fn take(directory: &Path) -> Result<File, OpenRefused> {
    let path = directory.join(NAME);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(OpenRefused::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenRefused::InUse(holder(&mut file))),
        Err(TryLockError::Error(error)) => return Err(OpenRefused::Io(error)),
    }
    write_holder(&mut file).map_err(OpenRefused::Io)?;
    Ok(file)
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{} {}", std::process::id(), boot_id())
}

/// `process 123`, with a hint if that was before the machine started.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // A lock file that cannot be read only makes the message poorer.
    let _ = file.take(256).read_to_string(&mut text);
    match text.trim().split_once(' ') {
        Some((pid, boot)) if boot == boot_id() => format!("process {pid}"),
        _ => "a process of another machine or container".to_owned(),
    }
}

fn boot_id() -> String {
    std::fs::read_to_string(BOOT_ID).map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}
