//! A connected socket, and sending on it within a time limit.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use coffre_ambient::Clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// A connected socket that never waits.
pub(crate) struct Wire(pub(crate) OwnedFd);

/// Why sending ended early.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The time is over.
    TooSlow,
    /// A datagram is longer than the socket takes.
    TooLong,
    /// Anything else: the connection is of no use any more.
    Broken(io::Error),
}

/// Until when, and on whose clock.
#[derive(Clone, Copy)]
pub(crate) struct Deadline<'c> {
    pub(crate) clock: &'c dyn Clock,
    pub(crate) end: Duration,
}

impl Wire {
    /// Sends all of a stream's bytes; `sent` counts what the system took.
    pub(crate) fn stream(
        &self,
        bytes: &[u8],
        sent: &mut usize,
        limit: Deadline<'_>,
    ) -> Result<(), SendError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.push(rest, limit)?;
            *sent += taken;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Sends one datagram.
    pub(crate) fn datagram(&self, bytes: &[u8], limit: Deadline<'_>) -> Result<(), SendError> {
        self.push(bytes, limit).map(drop)
    }

    fn push(&self, bytes: &[u8], limit: Deadline<'_>) -> Result<usize, SendError> {
        loop {
            match send(&self.0, bytes, SendFlags::NOSIGNAL) {
                Ok(taken) => return Ok(taken),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(limit)?,
                Err(Errno::MSGSIZE) => return Err(SendError::TooLong),
                Err(errno) => return Err(SendError::Broken(errno.into())),
            }
        }
    }

    fn wait(&self, limit: Deadline<'_>) -> Result<(), SendError> {
        let left = limit.end.saturating_sub(limit.clock.boot());
        if left.is_zero() {
            return Err(SendError::TooSlow);
        }
        let left = Timespec::try_from(left).map_err(|_| SendError::TooSlow)?;
        let mut fds = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::OUT)];
        match poll(&mut fds, Some(&left)) {
            Ok(0) => Err(SendError::TooSlow),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(SendError::Broken(errno.into())),
        }
    }

    /// Whether the peer has hung up, or said that nobody listens. What it says otherwise is not ours to read.
    pub(crate) fn is_gone(&self) -> bool {
        let mut scratch = [0_u8; 512];
        for _ in 0..8 {
            match recv(&self.0, &mut scratch[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return true,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return errno != Errno::AGAIN,
            }
        }
        false
    }
}
