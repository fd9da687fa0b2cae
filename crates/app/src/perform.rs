//! The calls behind the machine's commands. Each is one attempt; what it means is the machine's business.

use std::sync::Arc;
use std::time::Duration;

use coffre_cache::{
    Failure, Fetched, FlightId, Generation, LeaseGrant, LoginFailed, LookedUp, Outcome, Renewed, Revision,
    TokenGrant, TokenRenewed,
};
use coffre_client::{Auth, Client, Error, ErrorKind, Op, Request, token};
use coffre_secret::SecretText;
use coffre_source::identity::{Identity, LoggedIn};

use crate::acks::Told;
use crate::document::Contents;
use crate::recipe::Key;

/// What a call gave.
pub(crate) enum Done {
    Landed {
        flight: FlightId,
        outcome: Outcome<Arc<Contents>>,
    },
    LeaseRenewed {
        flight: FlightId,
        outcome: Renewed,
    },
    LoggedIn {
        identity: Box<Identity>,
        outcome: Result<(Arc<SecretText>, TokenGrant), LoginFailed>,
        /// The server says that what the identity knows is not right.
        wrong: bool,
    },
    LookedUp {
        generation: Generation,
        outcome: LookedUp,
    },
    TokenRenewed {
        generation: Generation,
        outcome: TokenRenewed,
    },
    /// Acknowledgements are written, or not.
    Acknowledged(Told),
    /// What `_rot/policy` says now; nothing if it could not be read.
    Policy(Option<crate::policy::Found>),
    /// Best effort; nobody waits for it.
    Nothing,
}

/// Where documents are.
pub(crate) struct Place {
    pub(crate) mount: String,
    pub(crate) environment: String,
}

impl Place {
    /// The path as the server names it, for people.
    pub(crate) fn shown(&self, key: &Key) -> String {
        match key {
            Key::Document(path) => format!("{}/data/{}/{path}", self.mount, self.environment),
            Key::Credential(path) => path.to_string(),
        }
    }
}

/// Reads a document or a credential.
pub(crate) async fn fetch(
    client: &Client,
    place: &Place,
    key: &Key,
) -> Result<Outcome<Arc<Contents>>, Error> {
    match key {
        Key::Document(path) => {
            let path = format!("{}/{path}", place.environment);
            let Some(entry) = client.kv2_read(&place.mount, &path, None).await? else {
                return Ok(Outcome::Absent);
            };
            if entry.is_gone() {
                return Ok(Outcome::Gone);
            }
            Ok(Contents::of_kv2(&entry).map_or(Outcome::Corrupt, fetched))
        }
        Key::Credential(path) => {
            let answer = client.request(Request::new(Op::Read, path.as_ref())).await?;
            match answer {
                None => Ok(Outcome::Failed(Failure::Server { retry_after: None })),
                Some(answer) => Contents::of_credentials(&answer).map(fetched),
            }
        }
    }
}

fn fetched(contents: Contents) -> Outcome<Arc<Contents>> {
    let revision = Revision { version: contents.version(), write: contents.write() };
    let lease = contents.lease().map(|lease| LeaseGrant {
        id: Arc::from(lease.id.as_str()),
        ttl: lease.duration,
        renewable: lease.renewable,
    });
    let epoch = contents.epoch();
    Outcome::Fetched(Fetched { value: Arc::new(contents), revision, epoch, epoch_reset: false, lease })
}

/// What a failed reading means.
pub(crate) fn outcome_of(error: &Error) -> Outcome<Arc<Contents>> {
    match error.kind() {
        ErrorKind::Denied | ErrorKind::Unauthenticated => Outcome::Denied,
        ErrorKind::NotFound => Outcome::Absent,
        _ => Outcome::Failed(failure_of(error)),
    }
}

fn failure_of(error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::Unreachable | ErrorKind::Tls | ErrorKind::Config | ErrorKind::Redirected => {
            Failure::Transport
        }
        _ => Failure::Server { retry_after: error.retry_after() },
    }
}

/// Reads for a flight; whatever happens is an outcome.
pub(crate) async fn land(client: Client, place: Arc<Place>, key: Key, flight: FlightId) -> Done {
    let outcome = match fetch(&client, &place, &key).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::debug!(path = %key, kind = ?error.kind(), status = ?error.status(), "reading a secret failed");
            outcome_of(&error)
        }
    };
    Done::Landed { flight, outcome }
}

/// Makes a lease longer. 400 means that the server does not know it.
pub(crate) async fn renew_lease(
    client: Client,
    flight: FlightId,
    lease: Arc<str>,
    increment: Duration,
) -> Done {
    let outcome = match client.renew_lease(&lease, Some(increment)).await {
        Ok(lease) => Renewed::Granted { ttl: lease.duration, renewable: lease.renewable },
        Err(error) => {
            tracing::debug!(kind = ?error.kind(), status = ?error.status(), "renewing a lease failed");
            match error.status() {
                Some(400 | 404) => Renewed::NotFound,
                Some(403) => Renewed::Refused,
                _ => Renewed::Failed(failure_of(&error)),
            }
        }
    };
    Done::LeaseRenewed { flight, outcome }
}

/// Logs in. The identity comes back: a wrapped secret_id is opened once and kept.
pub(crate) async fn login(client: Client, mut identity: Box<Identity>) -> Done {
    let answer = identity.client(&client).await;
    let wrong = answer.as_ref().is_err_and(|error| error.status() == Some(400));
    let outcome = match answer {
        Ok(LoggedIn { auth: Some(auth), .. }) => {
            let grant = grant_of(&auth);
            Ok((Arc::new(auth.client_token), grant))
        }
        // An identity that cannot log in is not asked to.
        Ok(_) => Err(LoginFailed::Refused),
        Err(error) => {
            tracing::warn!(kind = ?error.kind(), status = ?error.status(), "logging in failed: {error}");
            match error.kind() {
                ErrorKind::Denied
                | ErrorKind::Unauthenticated
                | ErrorKind::Invalid
                | ErrorKind::NotFound
                | ErrorKind::Config => Err(LoginFailed::Refused),
                _ => Err(LoginFailed::Failed(failure_of(&error))),
            }
        }
    };
    Done::LoggedIn { identity, outcome, wrong }
}

/// What a login or a renewal says of the token. Vault says 0 for one that does not end.
pub(crate) fn grant_of(auth: &Auth) -> TokenGrant {
    TokenGrant { ttl: seconds(auth.lease_duration), renewable: auth.renewable, hard: None }
}

/// Vault writes 0 for what does not end.
pub(crate) fn seconds(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// Asks whether a token is good.
pub(crate) async fn look_up(client: Client, generation: Generation) -> Done {
    let outcome = match token::lookup(&client).await {
        Ok(state) => LookedUp::Good { ttl: seconds(state.ttl) },
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unauthenticated) => LookedUp::Bad,
        Err(error) => LookedUp::Failed(failure_of(&error)),
    };
    Done::LookedUp { generation, outcome }
}

/// Makes a token live longer.
pub(crate) async fn renew_token(client: Client, generation: Generation) -> Done {
    let outcome = match token::renew(&client, None).await {
        Ok(auth) => TokenRenewed::Granted(grant_of(&auth)),
        Err(error) if matches!(error.status(), Some(400 | 403)) => TokenRenewed::Refused,
        Err(error) => TokenRenewed::Failed(failure_of(&error)),
    };
    Done::TokenRenewed { generation, outcome }
}

/// Ends a token of ours, best effort.
pub(crate) async fn revoke_token(client: Client) -> Done {
    if let Err(error) = token::revoke(&client).await {
        tracing::debug!(kind = ?error.kind(), "revoking a token failed; its own time ends it");
    }
    Done::Nothing
}

/// Ends a lease of ours, best effort.
pub(crate) async fn revoke_lease(client: Client, lease: Arc<str>) -> Done {
    if let Err(error) = client.revoke_lease(&lease).await {
        tracing::debug!(kind = ?error.kind(), "revoking a lease failed; its own time ends it");
    }
    Done::Nothing
}
