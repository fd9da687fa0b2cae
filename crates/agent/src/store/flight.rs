//! Requests, and what their answers mean to the machine.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use coffre_cache::{
    Failure, Fetched, LeaseGrant, LookedUp, Outcome, Renewed, Revision, TokenGrant, TokenRenewed,
};
use coffre_client::{Client, Error, ErrorKind, Op, Request, token};
use coffre_secret::SecretText;

use crate::document::Document;

/// Reads a path once.
pub(super) async fn fetch(client: Client, path: String) -> Outcome<Arc<Document>> {
    let answer = match client.send(Request::new(Op::Read, path.as_str())).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(path, %error, "no answer");
            return Outcome::Failed(failure(&error));
        }
    };
    match answer.status() {
        200 => {
            // EXPOSE: moved into text that is wiped as well.
            let text = std::str::from_utf8(answer.expose_body()).map(SecretText::from);
            match text.ok().and_then(|text| Document::read(text).ok()) {
                Some(document) => Outcome::Fetched(fetched(document)),
                None => Outcome::Corrupt,
            }
        }
        403 => Outcome::Denied,
        404 if answer.has_content() => Outcome::Gone,
        404 => Outcome::Absent,
        status => {
            let error = answer.error(client.token());
            tracing::debug!(path, status, %error, "the server cannot answer");
            Outcome::Failed(failure(&error))
        }
    }
}

fn fetched(document: Document) -> Fetched<Arc<Document>> {
    let lease = document.lease().map(|lease| LeaseGrant {
        id: Arc::clone(&lease.id),
        ttl: lease.ttl,
        renewable: lease.renewable,
    });
    // Without a version, whether it is the same is told by its content.
    let write = document.version().is_none().then(|| fingerprint(document.expose_data()));
    let revision = Revision { version: document.version(), write };
    Fetched { value: Arc::new(document), revision, epoch: None, epoch_reset: false, lease }
}

/// Tells two contents apart, under keys of this process alone.
fn fingerprint(text: &str) -> u128 {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
    KEYS.iter().fold(0, |print, key| (print << 64) | u128::from(key.hash_one(text)))
}

/// Renews a lease once.
pub(super) async fn renew_lease(client: Client, lease: Arc<str>, increment: Duration) -> Renewed {
    match client.renew_lease(&lease, Some(increment)).await {
        Ok(lease) => Renewed::Granted { ttl: lease.duration, renewable: lease.renewable },
        Err(error) => match error.kind() {
            ErrorKind::Invalid | ErrorKind::NotFound => Renewed::NotFound,
            ErrorKind::Denied | ErrorKind::Unauthenticated => Renewed::Refused,
            _ => Renewed::Failed(failure(&error)),
        },
    }
}

/// Looks a token up once.
pub(super) async fn look_up(client: Client) -> LookedUp {
    match token::lookup(&client).await {
        Ok(found) => LookedUp::Good { ttl: seconds(found.ttl) },
        Err(error) => match error.kind() {
            ErrorKind::Denied | ErrorKind::Unauthenticated => LookedUp::Bad,
            _ => LookedUp::Failed(failure(&error)),
        },
    }
}

/// Renews a token once.
pub(super) async fn renew_token(client: Client) -> TokenRenewed {
    match token::renew(&client, None).await {
        Ok(auth) => TokenRenewed::Granted(TokenGrant {
            ttl: seconds(auth.lease_duration),
            renewable: auth.renewable,
            hard: None,
        }),
        Err(error) => match error.kind() {
            ErrorKind::Denied | ErrorKind::Unauthenticated | ErrorKind::Invalid => TokenRenewed::Refused,
            _ => TokenRenewed::Failed(failure(&error)),
        },
    }
}

/// Vault says 0 for what does not end.
fn seconds(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

fn failure(error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::Unreachable | ErrorKind::Tls => Failure::Transport,
        _ => Failure::Server { retry_after: error.retry_after() },
    }
}
