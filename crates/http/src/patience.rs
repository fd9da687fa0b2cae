//! How long a client may take to send a request's head, counted from its first byte; an idle connection may wait
//! longer. hyper knows one time-out for both, so the head's is kept here, below it. And how long a client may let an
//! answer wait that it does not read, for which hyper knows none. On the way, each head is scanned for a second meaning.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::head_scan::HeadScan;

/// Whether a request is being answered; shared between a connection and its service.
#[derive(Clone, Default)]
pub(crate) struct Busy(Arc<States>);

#[derive(Default)]
struct States {
    now: AtomicBool,
    ever: AtomicBool,
    /// Whether the head that was read last can be read in two ways.
    ambiguous: AtomicBool,
}

impl Busy {
    /// From the end of a head to its answer.
    pub(crate) fn set(&self, busy: bool) {
        self.0.now.store(busy, Ordering::Relaxed);
        self.0.ever.fetch_or(busy, Ordering::Relaxed);
    }

    /// Whether a request is being answered.
    pub(crate) fn is_set(&self) -> bool {
        self.0.now.load(Ordering::Relaxed)
    }

    /// Whether any request ever was.
    pub(crate) fn was_set(&self) -> bool {
        self.0.ever.load(Ordering::Relaxed)
    }

    /// Whether the head that was read last can be read in two ways (see [`HeadScan`]); asked once for each head.
    pub(crate) fn take_ambiguous(&self) -> bool {
        self.0.ambiguous.swap(false, Ordering::Relaxed)
    }
}

/// A stream that fails when a head takes too long, or when nothing of an answer is taken for too long.
pub(crate) struct Patience<S> {
    stream: S,
    busy: Busy,
    limit: Duration,
    scan: HeadScan,
    /// Runs while a head is arriving.
    deadline: Option<Pin<Box<Sleep>>>,
    /// How long an answer may wait.
    stall: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patience<S> {
    pub(crate) fn new(stream: S, busy: Busy, limit: Duration, stall: Duration) -> Self {
        Self { stream, busy, limit, scan: HeadScan::default(), deadline: None, stall, stalled: None }
    }

    /// Passes on what a write said, unless it has been saying "later" for too long.
    fn taken<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let until = Instant::now() + self.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not read its answer",
            ))),
            Poll::Pending => written,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if this.busy.is_set() {
            this.deadline = None;
            return read;
        }
        if read.is_ready() && buf.filled().len() > before {
            if this.deadline.is_none() {
                this.deadline = Some(Box::pin(tokio::time::sleep_until(Instant::now() + this.limit)));
                this.scan = HeadScan::default();
            }
            this.scan.feed(buf.filled().get(before..).unwrap_or_default());
            this.busy.0.ambiguous.store(this.scan.is_ambiguous(), Ordering::Relaxed);
        }
        if read.is_pending()
            && let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head took too long")));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // An answer is leaving: what arrives next is another head.
        this.deadline = None;
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.taken(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.deadline = None;
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.taken(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.taken(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_limit_and_waiting_has_none() {
        let (mut client, server) = duplex(64);
        let busy = Busy::default();
        let mut server =
            Patience::new(server, busy.clone(), Duration::from_secs(10), Duration::from_secs(30));
        let idle = tokio::time::timeout(Duration::from_secs(60), server.read_u8()).await;
        assert!(idle.is_err(), "an idle connection may wait");
        client.write_all(b"G").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'G');
        let slow = tokio::time::timeout(Duration::from_secs(60), server.read_u8()).await;
        assert_eq!(slow.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_somebody_elses_business() {
        let (mut client, server) = duplex(64);
        let busy = Busy::default();
        let mut server =
            Patience::new(server, busy.clone(), Duration::from_secs(10), Duration::from_secs(30));
        client.write_all(b"P").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'P');
        busy.set(true);
        let slow = tokio::time::timeout(Duration::from_secs(60), server.read_u8()).await;
        assert!(slow.is_err(), "no time-out of the head while a request is being answered");
    }
}
