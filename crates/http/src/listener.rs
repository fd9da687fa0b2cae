//! Sockets, TLS handshakes and the threads that serve them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coffre_core::Kernel;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::crowd::{Crowd, Place};
use crate::forwarded::ForwardedFor;
use crate::gates::Gates;
use crate::limits::Limits;
use crate::patience::{Busy, Patience};
use crate::service::{self, Shared};

/// Where the server listens, and how.
pub struct Listener {
    /// Bound already, so that a wrong address is reported before anything else happens.
    pub socket: TcpListener,
    /// TLS, unless the configuration says `tls_disable`.
    pub tls: Option<Arc<ServerConfig>>,
    /// What one client may take.
    pub limits: Limits,
    /// Which proxies may say for whom they ask.
    pub forwarded: ForwardedFor,
}

/// Turn to `true` to stop: no new connections, and the open ones end after the request they are in.
pub type Stop = watch::Receiver<bool>;

/// Serves until told to stop.
///
/// One thread with a runtime of its own per core: a connection stays on its core, which costs a third less per
/// request than one runtime for all.
pub async fn serve(kernel: Arc<Kernel>, listener: Listener, stop: Stop) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shared = Arc::new(Shared {
        kernel,
        limits: listener.limits,
        forwarded: listener.forwarded.clone(),
        gates: Gates::new(&listener.limits),
    });
    let workers: Vec<Worker> = (0..threads)
        .map(|number| Worker::start(number, Arc::clone(&shared), &listener, stop.clone()))
        .collect::<io::Result<_>>()?;
    let crowd = Arc::new(Crowd::new(affordable(listener.limits.connections)));
    let mut stopping = stop.clone();
    let mut turn = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => {
                let entered = tokio::select! {
                    entered = crowd.enter() => entered,
                    _ = stopping.wait_for(|stop| *stop) => break,
                };
                let Some(place) = entered else { break };
                let connection = Connection { stream, peer, place };
                if let Some(worker) = workers.get(turn % workers.len().max(1)) {
                    let _ = worker.connections.send(connection);
                }
                turn = turn.wrapping_add(1);
            }
            // Out of file descriptors, most often: wait for some to come back instead of spinning.
            Err(_) => {
                crowd.make_room();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    for worker in workers {
        drop(worker.connections);
        let _ = tokio::task::spawn_blocking(move || worker.thread.join()).await;
    }
    Ok(())
}

struct Connection {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    place: Place,
}

/// Files that are open besides connections: storage, audit devices, certificates while they are read.
const OTHER_FILES: u64 = 128;

/// How many connections the system allows, of those wanted; at least a few.
fn affordable(wanted: usize) -> usize {
    let files = coffre_ambient::hardening::open_files(wanted as u64 + OTHER_FILES);
    usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(wanted).clamp(16, wanted.max(16))
}

/// A thread that serves its share of the connections.
struct Worker {
    connections: mpsc::UnboundedSender<Connection>,
    thread: std::thread::JoinHandle<()>,
}

impl Worker {
    fn start(number: usize, shared: Arc<Shared>, listener: &Listener, stop: Stop) -> io::Result<Self> {
        let (connections, incoming) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tls = listener.tls.clone().map(TlsAcceptor::from);
        let thread = std::thread::Builder::new().name(format!("http-{number}"));
        let thread = thread.spawn(move || runtime.block_on(work(shared, tls, incoming, stop)))?;
        Ok(Self { connections, thread })
    }
}

/// How long open connections may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(5);

async fn work(
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    mut incoming: mpsc::UnboundedReceiver<Connection>,
    stop: Stop,
) {
    let mut open = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            connection = incoming.recv() => match connection {
                Some(connection) => {
                    open.spawn(serve_connection(Arc::clone(&shared), tls.clone(), connection, stop.clone()));
                }
                None => break,
            },
            Some(_) = open.join_next() => {}
        }
    }
    let _ = tokio::time::timeout(GRACE, async { while open.join_next().await.is_some() {} }).await;
}

async fn serve_connection(shared: Arc<Shared>, tls: Option<TlsAcceptor>, connection: Connection, stop: Stop) {
    let Connection { stream, peer, place } = connection;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let _ = stream.set_nodelay(true);
    tokio::select! {
        () = converse(shared, tls, peer, stream, place.busy(), stop) => {}
        () = place.asked_to_leave() => {}
    }
}

/// The handshake, if there is one, and all requests.
async fn converse(
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    peer: SocketAddr,
    stream: TcpStream,
    busy: Busy,
    stop: Stop,
) {
    let Some(acceptor) = tls else {
        return talk(shared, peer, stream, busy, stop).await;
    };
    let handshake = async {
        // A TLS record begins with 22; a plain request would wait for the handshake's time-out without a word.
        let mut first = [0_u8; 1];
        if stream.peek(&mut first).await? == 1 && first != [22] {
            return plain_on_tls(stream).await.map(|()| None);
        }
        acceptor.accept(stream).await.map(Some)
    };
    if let Ok(Ok(Some(stream))) = tokio::time::timeout(shared.limits.handshake, handshake).await {
        talk(shared, peer, stream, busy, stop).await;
    }
}

async fn plain_on_tls(mut stream: TcpStream) -> io::Result<()> {
    let body = "Client sent an HTTP request to an HTTPS server.\n";
    let head =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: ";
    stream.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    stream.shutdown().await
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    shared: Arc<Shared>,
    peer: SocketAddr,
    stream: S,
    busy: Busy,
    mut stop: Stop,
) {
    let limits = shared.limits;
    let stream = Patience::new(stream, busy.clone(), limits.headers, limits.body);
    let service = service_fn(move |request| {
        busy.set(true);
        let (shared, busy) = (Arc::clone(&shared), busy.clone());
        async move {
            let answer = service::answer(shared, peer, busy.take_ambiguous(), request).await;
            busy.set(false);
            answer
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.idle).max_buf_size(64 << 10).max_headers(100);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
