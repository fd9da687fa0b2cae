//! The socket for the programs of this host: Vault's HTTP API for reading, from the agent's one cache.
//!
//! Threat model: programs of this host under other users; programs of allowed users that are tricked into forwarding
//! somebody else's request; clients that are slow, many or never end. Who is on the other side is asked of the kernel
//! (`SO_PEERCRED`, unix(7)); the socket's mode is the second lock, and its folder the third.

mod acknowledge;
mod answer;
mod bind;

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::ListenerSettings;
use crate::health::Health;
use crate::store::Store;

pub use bind::{Bound, NotBound, bind};

/// A request's head may be so large.
const LARGEST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// A connection is asked to end after this, so that nobody keeps a place for ever.
const OLDEST: Duration = Duration::from_secs(3_600);

/// Who may ask.
#[derive(Clone, Debug)]
pub struct Allowed {
    users: Vec<u32>,
    groups: Vec<u32>,
}

impl Allowed {
    /// Those that are configured, the agent's own user, and root, whom nothing keeps out.
    #[must_use]
    pub fn of(settings: &ListenerSettings) -> Self {
        let mut users = settings.users.clone();
        users.extend([0, rustix::process::geteuid().as_raw()]);
        Self { users, groups: settings.groups.clone() }
    }

    fn lets_in(&self, stream: &UnixStream) -> bool {
        let Ok(peer) = stream.peer_cred() else { return false };
        let allowed = self.users.contains(&peer.uid()) || self.groups.contains(&peer.gid());
        if !allowed {
            tracing::warn!(
                uid = peer.uid(),
                gid = peer.gid(),
                pid = peer.pid(),
                "a program of another user was refused"
            );
        }
        allowed
    }
}

/// What requests are answered from.
#[derive(Clone)]
pub struct Parts {
    /// The cache.
    pub store: Store,
    /// How the agent is.
    pub health: Health,
}

/// Answers until `stop` says so; requests under way are finished first.
pub async fn serve(bound: Bound, settings: ListenerSettings, parts: Parts, mut stop: watch::Receiver<bool>) {
    let (allowed, room) = (Allowed::of(&settings), Arc::new(Semaphore::new(settings.connections)));
    let service =
        Arc::new(answer::Service { parts, allow: settings.allow.clone(), patience: settings.timeout });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = next(&bound.socket, &room) => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Some((stream, permit)) = accepted else { continue };
        let (service, lets_in) = (Arc::clone(&service), allowed.lets_in(&stream));
        let (head, stop) = (settings.timeout, stop.clone());
        connections.spawn(async move {
            connection(stream, service, lets_in, head, stop).await;
            drop(permit);
        });
    }
    let finished = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(settings.timeout, finished).await;
}

/// The next connection, when there is room for one: others wait in the system's queue.
async fn next(
    socket: &UnixListener,
    room: &Arc<Semaphore>,
) -> Option<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    match socket.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            // Out of file descriptors: more haste would only fail again.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(
    stream: UnixStream,
    service: Arc<answer::Service>,
    lets_in: bool,
    head: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let patience = service.patience;
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, std::convert::Infallible>(service.answer(request, lets_in).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEAD);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), answer));
    tokio::select! {
        // Whatever ends it concerns this client alone.
        _ = serving.as_mut() => return,
        () = tokio::time::sleep(OLDEST) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(patience, serving).await;
}
