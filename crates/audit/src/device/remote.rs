//! Entries sent to a peer: a log collector at a socket, or the system's log.
//!
//! A connection is made when an entry is there to be sent, and again after it broke, within the same time limit. What
//! the system has taken counts as sent; a peer that dies with it loses it. Numbers are never used twice: where entries
//! may have been lost, the chain shows a gap, and the line after it says what it continues.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Clock;

use crate::chain::{Chain, ChainKey};
use crate::device::peer::Peer;
use crate::device::syslog::{Closed, Packing};
use crate::device::wire::{Deadline, SendError, Wire};
use crate::device::writer::EntrySink;
use crate::device::{DeviceError, Head};
use crate::json::Line;

/// Where and how entries are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteOptions {
    /// Tried in order; the first that takes a connection is used.
    pub(crate) peers: Vec<Peer>,
    pub(crate) packing: Packing,
    /// For connecting and sending together.
    pub(crate) write_timeout: Duration,
    /// The longest datagram.
    pub(crate) max_datagram: usize,
}

/// A peer and the chain of what was sent to it.
pub(crate) struct RemoteSink {
    options: RemoteOptions,
    chain: Chain,
    clock: Arc<dyn Clock>,
    open: Option<Open>,
}

struct Open {
    wire: Wire,
    is_stream: bool,
    /// The longest datagram that this socket took.
    longest: usize,
}

/// A failure, and whether the peer may have seen something of the entries.
struct Failed {
    error: DeviceError,
    seen: bool,
    /// Whether a new connection may do better at once.
    broken: bool,
}

impl RemoteSink {
    pub(crate) fn new(
        options: RemoteOptions,
        key: ChainKey,
        resume: Option<Head>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { options, chain: Chain::continuing(key, resume.unwrap_or(Head::START)), clock, open: None }
    }

    fn send_all(&mut self, entries: &[Line], end: Duration) -> Result<(), Failed> {
        self.connect(end)?;
        let mut head = self.chain.head();
        let mut lines = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let (line, next) = self.chain.close(&head, entry.clone(), at == 0);
            lines.push((next.seq, line));
            head = next;
        }
        let mut sent = 0;
        let done = self.send_lines(&lines, &mut sent, end);
        if done.is_ok() || sent > 0 {
            self.chain.commit(head);
        }
        done.map_err(|error| {
            self.open = None;
            self.chain.tell_prev();
            let broken = matches!(error, SendError::Broken(_));
            Failed { error: failure(error), seen: sent > 0, broken }
        })
    }

    fn connect(&mut self, end: Duration) -> Result<(), Failed> {
        let had = self.open.take();
        if let Some(open) = had {
            if !open.wire.is_gone() {
                self.open = Some(open);
                return Ok(());
            }
            if !open.is_stream {
                // The system was told that nobody listens there. A new socket would know nothing of it.
                self.chain.tell_prev();
                let error = DeviceError::Unreachable(io::ErrorKind::ConnectionRefused.into());
                return Err(Failed { error, seen: false, broken: false });
            }
        }
        self.chain.tell_prev();
        let mut last = io::Error::from(io::ErrorKind::NotConnected);
        for peer in &self.options.peers {
            let left = end.saturating_sub(self.clock.boot()).max(Duration::from_millis(1));
            match peer.connect(left) {
                Ok(socket) => {
                    let (is_stream, longest) = (peer.is_stream(), self.options.max_datagram);
                    self.open = Some(Open { wire: Wire(socket), is_stream, longest });
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(Failed { error: DeviceError::Unreachable(last), seen: false, broken: false })
    }

    fn send_lines(
        &mut self,
        lines: &[(u64, Line)],
        sent: &mut usize,
        end: Duration,
    ) -> Result<(), SendError> {
        let limit = Deadline { clock: &*self.clock, end };
        let now = self.clock.wall();
        let Some(open) = &mut self.open else { return Ok(()) };
        let packing = &self.options.packing;
        let entries = lines.iter().map(|(seq, line)| Closed { seq: *seq, line });
        if open.is_stream {
            let mut bytes = Line::with_capacity(lines.iter().map(|(_, line)| line.len() + 128).sum());
            entries.for_each(|entry| packing.stream(&mut bytes, entry, now));
            return open.wire.stream(&bytes, sent, limit);
        }
        for entry in entries {
            loop {
                match send_datagrams(open, &packing.datagrams(entry, now, open.longest), sent, limit) {
                    // This socket takes less than was thought: smaller pieces from now on.
                    Err(SendError::TooLong) if open.longest > SHORTEST => open.longest /= 2,
                    Ok(()) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Every network and syslog daemon takes datagrams of this length (RFC 5424, 6.1).
pub(crate) const SHORTEST: usize = 1_024;

fn send_datagrams(
    open: &Open,
    datagrams: &[Line],
    sent: &mut usize,
    limit: Deadline<'_>,
) -> Result<(), SendError> {
    for datagram in datagrams {
        open.wire.datagram(datagram, limit)?;
        *sent += datagram.len();
    }
    Ok(())
}

fn failure(error: SendError) -> DeviceError {
    match error {
        SendError::TooSlow => DeviceError::Blocked,
        SendError::TooLong => DeviceError::Unreachable(io::ErrorKind::InvalidInput.into()),
        SendError::Broken(error) => DeviceError::Unreachable(error),
    }
}

impl EntrySink for RemoteSink {
    fn append(&mut self, entries: Vec<Line>) -> Result<(), DeviceError> {
        let end = self.clock.boot().saturating_add(self.options.write_timeout);
        let failed = match self.send_all(&entries, end) {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        if !failed.broken {
            return Err(failed.error);
        }
        // It hung up since the last entry: once more, on a new connection. What it saw before has other numbers.
        self.send_all(&entries, end).map_err(|again| if again.seen { again.error } else { failed.error })
    }

    fn reopen(&mut self) -> Result<(), DeviceError> {
        self.open = None;
        Ok(())
    }

    fn follow(&mut self) {}

    fn is_ready(&self) -> bool {
        false
    }

    fn head(&self) -> Head {
        self.chain.head()
    }
}
