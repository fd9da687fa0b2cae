//! A few connections that many wait for, each for a bounded time.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_secret::SecretText;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::{Login, Session};
use super::destination::{Destination, Mode};
use super::failure::Secrets;
use super::tls::Handshake;
use crate::{Error, ErrorKind, Limits, Settings};

/// The longest time that one action may take.
const LONGEST: Duration = Duration::from_secs(60);

/// Connections to one database as one user.
pub(super) struct Pool {
    to: Destination,
    tls: Option<Handshake>,
    limits: Limits,
    slots: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

/// Connections without work, the one used last at the end.
#[derive(Default)]
struct Idle {
    sessions: Vec<Session>,
    /// Grows when all are to be closed: what was lent before does not come back.
    generation: u64,
}

impl Pool {
    /// Checks the settings; connects nothing.
    pub(super) fn open(settings: Settings) -> Result<Self, Error> {
        let to = Destination::of(&settings)?;
        let tls = match to.mode {
            Mode::Disable => None,
            _ => Some(Handshake::new(&to, &settings.tls)?),
        };
        let mut limits = settings.limits;
        limits.max_open = limits.max_open.clamp(1, 64);
        limits.timeout = limits.timeout.clamp(Duration::from_millis(1), LONGEST);
        let slots = Arc::new(Semaphore::new(usize::try_from(limits.max_open).unwrap_or(1)));
        Ok(Self { to, tls, limits, slots, idle: Mutex::default() })
    }

    /// The name of the administrator.
    pub(super) fn user(&self) -> &str {
        &self.to.user
    }

    /// The whole of an action, waiting for a connection included.
    pub(super) async fn timed<T>(&self, action: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let seconds = self.limits.timeout.as_secs_f64();
        let late =
            |_| Error::new(ErrorKind::Unavailable, format!("PostgreSQL did not answer within {seconds} s"));
        tokio::time::timeout(self.limits.timeout, action).await.map_err(late)?
    }

    /// A connection, idle or new.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let permit = self.slot().await?;
        let (kept, generation) = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let lifetime = self.limits.max_lifetime;
            idle.sessions.retain(|session| session.good(lifetime));
            (idle.sessions.pop(), idle.generation)
        };
        let session = match kept {
            Some(session) => session,
            None => self.connect(&self.to.database).await?,
        };
        Ok(Lease { session, generation, pool: Arc::clone(self), _permit: permit })
    }

    /// Another connection for one purpose, as the administrator: to another database of the server.
    pub(super) async fn connect(&self, database: &str) -> Result<Session, Error> {
        let login = Login { user: &self.to.user, password: &self.to.password, database };
        Session::open(&self.to, self.tls.as_ref(), &login, self.limits.timeout).await
    }

    /// A connection of somebody else, that counts like ours.
    pub(super) async fn login(&self, user: &str, password: &SecretText) -> Result<Session, Error> {
        let _slot = self.slot().await?;
        let login = Login { user, password, database: &self.to.database };
        Session::open(&self.to, self.tls.as_ref(), &login, self.limits.timeout).await
    }

    /// All statements in one transaction and one message. On failure nothing has happened, unless the connection was
    /// lost ([`ErrorKind::Unavailable`]): then nobody knows.
    pub(super) async fn transaction(
        self: &Arc<Self>,
        sql: &[SecretText],
        secrets: &Secrets,
    ) -> Result<(), Error> {
        self.transaction_noted(sql, secrets, &AtomicBool::new(false)).await
    }

    /// The same; `sent` becomes true before anything is sent.
    pub(super) async fn transaction_noted(
        self: &Arc<Self>,
        sql: &[SecretText],
        secrets: &Secrets,
        sent: &AtomicBool,
    ) -> Result<(), Error> {
        let mut whole =
            SecretText::new(String::with_capacity(sql.iter().map(SecretText::len).sum::<usize>() + 64));
        whole.expose_mut().push_str("BEGIN;\n");
        for one in sql {
            // EXPOSE: to be sent.
            whole.expose_mut().push_str(one.expose());
            whole.expose_mut().push_str(";\n");
        }
        whole.expose_mut().push_str("COMMIT");
        self.timed(async {
            let lease = self.lease().await?;
            sent.store(true, Ordering::Relaxed);
            lease.batch(whole.expose(), secrets).await?;
            lease.give_back();
            Ok(())
        })
        .await
    }

    /// Closes what is idle; what is lent is closed when it comes back.
    pub(super) fn forget(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.generation = idle.generation.wrapping_add(1);
        idle.sessions.clear();
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        let busy = || {
            let open = self.limits.max_open;
            Error::new(
                ErrorKind::Unavailable,
                format!(
                    "all {open} connections to PostgreSQL are busy; max_open_connections says how many there may be"
                ),
            )
        };
        // Shorter than the action's own time, so that this sentence is the one that is seen.
        let wait = self.limits.timeout.mul_f64(0.9);
        let slot = tokio::time::timeout(wait, Arc::clone(&self.slots).acquire_owned()).await;
        slot.map_err(|_| busy())?.map_err(|_| busy())
    }
}

/// A connection that is lent. Dropped, it is closed, and the server rolls back: only who is sure that it is in order
/// gives it back.
pub(super) struct Lease {
    session: Session,
    generation: u64,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// For the next one.
    pub(super) fn give_back(self) {
        let keep = usize::try_from(self.pool.limits.max_idle).unwrap_or(0);
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.sessions.len() < keep && idle.generation == self.generation {
            idle.sessions.push(self.session);
        }
    }
}

impl Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}
