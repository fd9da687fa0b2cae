//! A socket that a hostile or broken server cannot fill memory through, and over which no password goes in clear.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that a server may send for one action. Messages announce up to 2 GiB, and all of it would be kept.
pub(super) const ALLOWANCE: usize = 16 << 20;

/// The socket under the protocol, and under TLS if there is any.
pub(super) struct Wire {
    stream: TcpStream,
    left: Arc<AtomicUsize>,
    watch: Watch,
}

impl Wire {
    /// `left` is what the server may still send; `asks_tls`: the first byte answers whether there will be TLS.
    pub(super) const fn new(stream: TcpStream, left: Arc<AtomicUsize>, asks_tls: bool) -> Self {
        Self { stream, left, watch: if asks_tls { Watch::Answer } else { Watch::start() } }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        let took =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(new.len()));
        if took.is_err() {
            return Poll::Ready(Err(io::Error::other("the server sends more than any answer needs")));
        }
        if new.iter().any(|byte| self.watch.refuses(*byte)) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::PermissionDenied, ASKS_CLEAR)));
        }
        Poll::Ready(Ok(()))
    }
}

/// Shown to people.
pub(super) const ASKS_CLEAR: &str = "the server asks for the password in clear over a connection without TLS";

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Reads along until the server has said how it wants to be convinced (`AuthenticationCleartextPassword`).
enum Watch {
    /// `S` or `N` comes first.
    Answer,
    /// A message's type, length and first word.
    Head {
        bytes: [u8; 9],
        have: usize,
    },
    /// So many bytes of a message that does not matter.
    Skip(usize),
    Done,
}

impl Watch {
    const fn start() -> Self {
        Self::Head { bytes: [0; 9], have: 0 }
    }

    /// Takes the next byte in; whether the server asked for the password in clear with it.
    fn refuses(&mut self, byte: u8) -> bool {
        match self {
            Self::Done => false,
            Self::Answer => {
                *self = if byte == b'S' { Self::Done } else { Self::start() };
                false
            }
            Self::Skip(left) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    *self = Self::start();
                }
                false
            }
            Self::Head { bytes, have } => {
                if let Some(place) = bytes.get_mut(*have) {
                    *place = byte;
                }
                *have = have.saturating_add(1);
                let (bytes, have) = (*bytes, *have);
                self.head(bytes, have)
            }
        }
    }

    fn head(&mut self, bytes: [u8; 9], have: usize) -> bool {
        let [kind, a, b, c, d, word @ ..] = bytes;
        if have == 5 && kind != b'R' {
            let rest =
                usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX).saturating_sub(4);
            *self = if rest == 0 { Self::start() } else { Self::Skip(rest) };
        }
        if have < 9 || kind != b'R' {
            return false;
        }
        *self = Self::Done;
        u32::from_be_bytes(word) == 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(asks_tls: bool, bytes: &[u8]) -> bool {
        let mut watch = if asks_tls { Watch::Answer } else { Watch::start() };
        bytes.iter().any(|byte| watch.refuses(*byte))
    }

    #[test]
    fn a_password_in_clear_is_seen_wherever_it_is_asked_for() {
        let clear = b"R\0\0\0\x08\0\0\0\x03";
        assert!(refuses(false, clear));
        assert!(refuses(true, &[b"N".as_slice(), clear].concat()));
        assert!(
            refuses(false, &[b"N\0\0\0\x04v\0\0\0\x06ab".as_slice(), clear].concat()),
            "after other messages"
        );
        assert!(!refuses(true, &[b"S".as_slice(), clear].concat()), "under TLS these are no messages");
        assert!(!refuses(false, b"R\0\0\0\x08\0\0\0\x0a"), "SASL");
    }
}
