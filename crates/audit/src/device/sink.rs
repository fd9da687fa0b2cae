//! An open target with its chain. Whoever holds it writes alone.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, FlockOperation};
use rustix::io::Errno;

use crate::chain::{Chain, ChainKey, LONGEST_LINE, head_of};
use crate::device::target::Target;
use crate::device::writer::EntrySink;
use crate::device::{DeviceError, Head};
use crate::json::Line;

/// An open file, pipe or terminal, and the chain of what is written to it.
pub(crate) struct Sink {
    target: Target,
    file: Option<File>,
    is_regular: bool,
    fsync: bool,
    chain: Chain,
    /// The last write may have left half a line that could not be taken back.
    torn: bool,
    patience: Duration,
}

impl Sink {
    pub(crate) fn open(
        target: Target,
        key: ChainKey,
        resume: Option<Head>,
        fsync: bool,
        patience: Duration,
    ) -> Result<Self, DeviceError> {
        let chain = Chain::continuing(key, resume.unwrap_or(Head::START));
        let mut sink = Self { target, file: None, is_regular: false, fsync, chain, torn: false, patience };
        sink.reopen()?;
        Ok(sink)
    }

    /// Whether writes go to the page cache at once and need no thread of their own.
    pub(crate) const fn is_prompt(&self) -> bool {
        self.file.is_none() || (self.is_regular && !self.fsync)
    }

    pub(crate) const fn head(&self) -> Head {
        self.chain.head()
    }

    /// Opens the target anew. On failure the old one stays in use.
    pub(crate) fn reopen(&mut self) -> Result<(), DeviceError> {
        let Some(file) = self.target.open()? else { return Ok(()) };
        let stat = rustix::fs::fstat(&file).map_err(|e| DeviceError::Open(e.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                if let Some(old) = &self.file
                    && rustix::fs::fstat(old)
                        .is_ok_and(|o| (o.st_dev, o.st_ino) == (stat.st_dev, stat.st_ino))
                {
                    return Ok(());
                }
                lock(&file)?;
                refuse_foreign(&file)?;
                self.target.set_mode(&file);
                self.torn = false;
                self.continue_after(&file)?;
                self.is_regular = true;
            }
            FileType::Fifo | FileType::CharacterDevice => {
                self.chain.tell_prev();
                self.torn = false;
                self.is_regular = false;
            }
            _ => return Err(DeviceError::Target),
        }
        self.file = Some(file);
        Ok(())
    }

    /// Opens the target anew if its name leads to another file by now (it was renamed and nobody said so), or to none.
    /// What goes wrong is left to the next attempt: the open file is still there.
    pub(crate) fn follow(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.is_regular) else { return };
        let Ok(open) = rustix::fs::fstat(file) else { return };
        if self.target.identity().is_some_and(|named| named != Some((open.st_dev, open.st_ino))) {
            let _ = self.reopen();
        }
    }

    /// Takes off a line that a crash cut short (it was never acknowledged), and continues the chain where the file's
    /// last line or the head kept elsewhere ends, whichever is further.
    fn continue_after(&mut self, file: &File) -> Result<(), DeviceError> {
        let wrap = |e: io::Error| DeviceError::Open(e);
        let len = file.metadata().map_err(wrap)?.len();
        let start = len.saturating_sub(LONGEST_LINE);
        let mut tail = vec![0; usize::try_from(len - start).unwrap_or(0)];
        file.read_exact_at(&mut tail, start).map_err(wrap)?;
        let whole = tail.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let half = tail.get(whole..).unwrap_or_default();
        if half.starts_with(BEGINNING) || BEGINNING.starts_with(half) {
            file.set_len(start + whole as u64).map_err(wrap)?;
        } else {
            // Not ours to cut.
            self.torn = true;
        }
        tail.truncate(whole);
        let last =
            tail.strip_suffix(b"\n").map(|rest| rest.rsplit(|b| *b == b'\n').next().unwrap_or_default());
        match last.and_then(head_of) {
            Some(head) if head == self.chain.head() || head.seq > self.chain.head().seq => {
                self.chain.commit(head)
            }
            // An empty or foreign file, or one that ends before the head kept elsewhere: the next line tells what it
            // continues, so that a verifier sees the gap.
            _ => self.chain.tell_prev(),
        }
        Ok(())
    }

    /// Writes entries, all or none, in one write.
    pub(crate) fn append(&mut self, entries: impl IntoIterator<Item = Line>) -> Result<(), DeviceError> {
        if self.file.is_none() {
            return Ok(());
        }
        if self.is_deleted() {
            // What is written to a file without a name is gone.
            self.reopen()?;
        }
        let mut lines = if self.torn { vec![b'\n'] } else { Line::new() };
        let mut head = self.chain.head();
        for (at, entry) in entries.into_iter().enumerate() {
            let (line, next) = self.chain.close(&head, entry, at == 0);
            if lines.is_empty() {
                lines = line
            } else {
                lines.extend_from_slice(&line)
            }
            head = next;
        }
        self.write_whole(&lines)?;
        self.torn = false;
        self.chain.commit(head);
        match &self.file {
            // If this fails nobody knows what is on disk: the entries count as not taken, though they stand there.
            Some(file) if self.fsync && self.is_regular => file.sync_data().map_err(DeviceError::Write),
            _ => Ok(()),
        }
    }

    /// Whether the open file has no name any more.
    fn is_deleted(&self) -> bool {
        let file = self.file.as_ref().filter(|_| self.is_regular);
        file.is_some_and(|file| rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0))
    }

    fn write_whole(&mut self, lines: &[u8]) -> Result<(), DeviceError> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut rest = lines;
        let failed = loop {
            if rest.is_empty() {
                break None;
            }
            match rustix::io::write(file, rest) {
                Ok(0) => break Some(DeviceError::Write(io::ErrorKind::WriteZero.into())),
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if let Err(error) = wait_writable(file.as_fd(), self.patience) {
                        break Some(error);
                    }
                }
                Err(errno) => break Some(DeviceError::Write(errno.into())),
            }
        };
        let Some(error) = failed else { return Ok(()) };
        let written = lines.len() - rest.len();
        if written > 0 {
            let taken_back = self.is_regular && take_back(file, written).is_ok();
            self.torn = !taken_back;
        }
        Err(error)
    }
}

impl EntrySink for Sink {
    fn append(&mut self, entries: Vec<Line>) -> Result<(), DeviceError> {
        Self::append(self, entries)
    }

    fn reopen(&mut self) -> Result<(), DeviceError> {
        Self::reopen(self)
    }

    fn follow(&mut self) {
        Self::follow(self);
    }

    fn is_ready(&self) -> bool {
        self.file.as_ref().is_some_and(|file| wait_writable(file.as_fd(), Duration::ZERO).is_ok())
    }

    fn head(&self) -> Head {
        self.chain.head()
    }
}

/// A file that holds something else is not written to: a device must not be a way to spoil files of others.
fn refuse_foreign(file: &File) -> Result<(), DeviceError> {
    let mut start = [0; BEGINNING.len()];
    let mut read = 0;
    while let Some(rest) = start.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(DeviceError::Open(e)),
        }
    }
    if BEGINNING.starts_with(start.get(..read).unwrap_or_default()) {
        Ok(())
    } else {
        Err(DeviceError::Foreign)
    }
}

/// How each entry begins.
const BEGINNING: &[u8] = b"{\"time\":\"";

/// Cuts the last `written` bytes off again, so that no torn line stays.
fn take_back(file: &File, written: usize) -> io::Result<()> {
    let len = file.metadata()?.len();
    file.set_len(len.saturating_sub(written as u64))
}

/// One writer per file: two would break each other's chain.
fn lock(file: &File) -> Result<(), DeviceError> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(DeviceError::Taken),
        // Some network file systems have no locks.
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => Ok(()),
        Err(errno) => Err(DeviceError::Open(errno.into())),
    }
}

fn wait_writable(fd: BorrowedFd<'_>, patience: Duration) -> Result<(), DeviceError> {
    let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
    let limit = Timespec::try_from(patience).map_err(|_| DeviceError::Blocked)?;
    match poll(&mut fds, Some(&limit)) {
        Ok(0) => Err(DeviceError::Blocked),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(DeviceError::Write(errno.into())),
    }
}
