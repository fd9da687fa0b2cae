use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Gid, Mode, Uid, chmod, chown, flock};
use tokio::net::UnixListener;

use crate::config::ListenerSettings;

/// A socket that is taken, its lock, and its file, which is removed at the end.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: UnixListener,
    path: PathBuf,
    inode: u64,
    /// Held as long as the agent lives: an unlocked file is a dead agent's.
    _lock: File,
}

/// The socket could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {}: {what}", path.display())]
pub struct NotBound {
    path: PathBuf,
    what: String,
}

/// Takes the socket. A socket file that a dead agent left behind is replaced; a live agent's, and anything that is no
/// socket, is refused. The folder must not let others put something else in the socket's place.
pub fn bind(settings: &ListenerSettings) -> Result<Bound, NotBound> {
    let path = settings.socket.as_path();
    let fail = |what: String| NotBound { path: path.to_owned(), what };
    check_folder(path).map_err(fail)?;
    let lock = lock(path).map_err(fail)?;
    match std::fs::symlink_metadata(path) {
        Ok(about) if !about.file_type().is_socket() => {
            return Err(fail("something that is no socket stands there; move it away".to_owned()));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(fail("another program answers there; stop it, or choose another path".to_owned()));
        }
        Ok(_) => {
            std::fs::remove_file(path).map_err(|error| fail(format!("the old socket stays: {error}")))?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error.to_string())),
    }
    let socket = UnixListener::bind(path).map_err(|error| fail(error.to_string()))?;
    if settings.user.is_some() || settings.group.is_some() {
        chown(path, settings.user.map(Uid::from_raw), settings.group.map(Gid::from_raw))
            .map_err(|error| fail(format!("its owner cannot be set: {error}")))?;
    }
    chmod(path, Mode::from_raw_mode(settings.mode))
        .map_err(|error| fail(format!("its mode cannot be set: {error}")))?;
    let inode = std::fs::symlink_metadata(path).map_err(|error| fail(error.to_string()))?.ino();
    Ok(Bound { socket, path: path.to_owned(), inode, _lock: lock })
}

fn check_folder(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let about =
        std::fs::metadata(folder).map_err(|error| format!("its folder {}: {error}", folder.display()))?;
    let own = rustix::process::geteuid().as_raw();
    let trusted = about.uid() == own || about.uid() == 0;
    let shared = about.mode() & 0o022 != 0 && about.mode() & 0o1000 == 0;
    if !about.is_dir() || !trusted || shared {
        return Err(format!(
            "others may write in its folder {}: use one of the agent's own user or root, mode 0755 or less",
            folder.display()
        ));
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, String> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let beside = path.with_file_name(name);
    // O_NOFOLLOW: nobody leads the agent to another file.
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(nofollow);
    let file = options.open(&beside).map_err(|error| format!("its lock {}: {error}", beside.display()))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| "another agent lives there; stop it, or choose another path".to_owned())?;
    Ok(file)
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Only our own: somebody may have put another there.
        if std::fs::symlink_metadata(&self.path).is_ok_and(|about| about.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
