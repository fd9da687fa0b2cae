//! Who listens at the other end of a socket, and how the connection is made.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};

/// An address and the kind of socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// `host:port`.
    Tcp(String),
    /// `host:port`.
    Udp(String),
    /// A socket in the file system that takes a stream.
    Stream(PathBuf),
    /// A socket in the file system that takes datagrams.
    Datagram(PathBuf),
}

/// Bytes that a stream may hold for a peer that does not read: what it had taken is lost if it dies.
const SEND_BUFFER: usize = 256 << 10;

impl Peer {
    /// Whether it takes a stream of bytes; otherwise datagrams.
    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Stream(_))
    }

    /// A socket that never waits, connected within `limit`. The names of hosts are looked up each time.
    pub(crate) fn connect(&self, limit: Duration) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(address) => first(address, |at| tcp(at, limit)),
            Self::Udp(address) => first(address, udp),
            Self::Stream(path) => unix(path, SocketType::STREAM),
            Self::Datagram(path) => unix(path, SocketType::DGRAM),
        }
    }
}

/// Tries each address of a host until one answers.
fn first(address: &str, open: impl Fn(SocketAddr) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for at in address.to_socket_addrs()?.take(MOST_ADDRESSES) {
        match open(at) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Addresses of one host that are tried.
const MOST_ADDRESSES: usize = 4;

fn tcp(at: SocketAddr, limit: Duration) -> io::Result<OwnedFd> {
    let stream = TcpStream::connect_timeout(&at, limit)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).saturating_mul(4);
    sockopt::set_tcp_user_timeout(&stream, limit)?;
    Ok(stream.into())
}

fn udp(at: SocketAddr) -> io::Result<OwnedFd> {
    let any: SocketAddr = if at.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(at)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn unix(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, kind, flags, None)?;
    let address = SocketAddrUnix::new(path)?;
    match connect(&socket, &address) {
        Ok(()) => Ok(socket),
        // Its queue of callers is full.
        Err(Errno::AGAIN) => Err(io::ErrorKind::TimedOut.into()),
        Err(errno) => Err(errno.into()),
    }
}
