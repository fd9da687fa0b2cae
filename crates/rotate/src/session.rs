use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::Clock;
use coffre_client::{Client, Error, Refusals};
use coffre_source::identity::Identity;

use crate::ClientKv;

/// The least time between two logins.
const SHORTEST: Duration = Duration::from_secs(5);

/// How an engine reaches its server from outside: an identity that logs in, and again when half of its token's life is
/// over.
pub struct Session {
    base: Client,
    identity: tokio::sync::Mutex<(Identity, Refusals)>,
    current: Arc<Mutex<Client>>,
    clock: Arc<dyn Clock>,
    /// When to log in again, in the clock's time since boot; `None`: the token is somebody else's, who renews it.
    due: Mutex<Option<Duration>>,
}

impl Session {
    /// Logs in.
    ///
    /// # Errors
    /// The server's no, or none at all.
    pub async fn log_in(
        base: Client,
        mut identity: Identity,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Box<Error>> {
        let logged_in = identity.client(&base).await?;
        let due = due(&logged_in, &*clock);
        Ok(Self {
            base,
            identity: tokio::sync::Mutex::new((identity, Refusals::default())),
            current: Arc::new(Mutex::new(logged_in.client)),
            clock,
            due: Mutex::new(due),
        })
    }

    /// Where the server is.
    #[must_use]
    pub fn address(&self) -> &str {
        self.base.address()
    }

    /// With the token that holds now.
    #[must_use]
    pub fn client(&self) -> Client {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A mount, asked with the token that holds at the time.
    #[must_use]
    pub fn kv(&self, mount: &str) -> ClientKv {
        let current = Arc::clone(&self.current);
        let client = move || current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ClientKv::new(client, mount, Arc::clone(&self.clock))
    }

    /// Logs in again before the token ends, for as long as it is polled.
    pub async fn keep(&self) {
        loop {
            let Some(wait) = self.wait() else { return std::future::pending().await };
            tokio::time::sleep(wait).await;
            self.freshen().await;
        }
    }

    /// Logs in again if it is time to; for engines that work only now and then. A failure is logged: the token may still
    /// hold, and the next call tries again.
    pub async fn freshen(&self) {
        if self.wait() != Some(Duration::ZERO) {
            return;
        }
        let (identity, refusals) = &mut *self.identity.lock().await;
        if self.wait() != Some(Duration::ZERO) {
            return;
        }
        let due = match identity.client(&self.base).await {
            Ok(logged_in) => {
                refusals.accepted();
                let due = due(&logged_in, &*self.clock);
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = logged_in.client;
                due
            }
            Err(error) => {
                let (now, secret) = (self.clock.boot(), identity.guessable());
                if let Some(secret) = secret.filter(|_| error.status() == Some(400)) {
                    refusals.refused(secret, now);
                }
                let pause = secret.and_then(|secret| refusals.wait(secret, now)).unwrap_or(SHORTEST);
                tracing::warn!(%error, again_in = pause.as_secs(), "cannot log in again");
                Some(now.saturating_add(pause))
            }
        };
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = due;
    }

    /// Until the next login.
    fn wait(&self) -> Option<Duration> {
        let due = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.map(|due| due.saturating_sub(self.clock.boot()))
    }
}

/// Half of the life of a token that was got by logging in.
fn due(logged_in: &coffre_source::identity::LoggedIn, clock: &dyn Clock) -> Option<Duration> {
    let auth = logged_in.auth.as_ref().filter(|auth| logged_in.own_token && auth.lease_duration > 0)?;
    let half = Duration::from_secs(auth.lease_duration) / 2;
    Some(clock.boot().saturating_add(half.max(SHORTEST)))
}
