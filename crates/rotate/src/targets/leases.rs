//! What a dynamic target asks of the vault that makes its users.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_client::{Client, ErrorKind};
use coffre_secret::SecretText;
use serde::Deserialize;

use crate::{BoxFuture, Failure};

/// The leases of one role of a database engine.
pub trait Leases: Send + Sync {
    /// Makes a user. Not repeated by itself: each call makes another one.
    fn issue(&self) -> BoxFuture<'_, Result<Lease, Failure>>;

    /// Lengthens a lease as far as it goes. `Ok(false)`: the vault does not know it, its user is gone.
    fn renew<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, Failure>>;

    /// Ends a lease and its user. One that is not known is a success.
    fn revoke<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Failure>>;

    /// How many live now; `None` if we may not ask (`sys/leases/lookup/…` needs `list` with `sudo`).
    fn live(&self) -> BoxFuture<'_, Result<Option<u64>, Failure>>;

    /// The longest that a lease of this role lives; `None` if we may not ask, or the role leaves it to the mount.
    fn longest(&self) -> BoxFuture<'_, Result<Option<Duration>, Failure>>;

    /// The token that leases are taken with: they end when it does.
    fn token(&self) -> BoxFuture<'_, Result<Token, Failure>>;
}

/// A user that was made.
#[derive(Debug)]
pub struct Lease {
    /// Ends it.
    pub id: String,
    /// How long it lives unless it is renewed.
    pub duration: Duration,
    /// The user.
    pub username: String,
    /// Its password.
    pub password: SecretText,
}

/// How long a token can be kept alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Token {
    /// Left without renewal; `None`: it has no end.
    pub ttl: Option<Duration>,
    /// Each renewal gives as much again, without end.
    pub periodic: bool,
    /// Does not end with another token.
    pub orphan: bool,
    /// The hardest end, from now on.
    pub explicit: Option<Duration>,
}

impl Token {
    /// From here on it can live no longer, however often it is renewed; `None`: it can live for ever. Without a period
    /// and without an end of its own only what is left now is sure.
    #[must_use]
    pub fn end(&self) -> Option<Duration> {
        match (self.ttl, self.explicit) {
            (None, None) => None,
            (_, None) if self.periodic => None,
            (_, Some(hard)) if self.periodic || self.orphan => Some(hard),
            (left, hard) => left.or(hard),
        }
    }
}

/// How long a lease really lives: to its own end or to its token's, whichever comes first.
#[must_use]
pub fn lifetime(longest: Option<Duration>, token: &Token) -> Option<Duration> {
    match (longest, token.end()) {
        (Some(lease), Some(token)) => Some(lease.min(token)),
        (lease, token) => lease.or(token),
    }
}

/// The leases of `<mount>/creds/<role>` of any Vault-compatible server.
pub struct ClientLeases {
    client: Box<dyn Fn() -> Client + Send + Sync>,
    mount: String,
    role: String,
}

impl ClientLeases {
    /// `client` is asked before each call, so that a renewed token takes effect; `mount` is without slashes at its ends.
    pub fn new(client: impl Fn() -> Client + Send + Sync + 'static, mount: &str, role: &str) -> Self {
        Self { client: Box::new(client), mount: mount.to_owned(), role: role.to_owned() }
    }

    async fn issued(&self) -> Result<Lease, Failure> {
        let path = format!("{}/creds/{}", self.mount, self.role);
        let answer = (self.client)().read(&path).await?;
        let whole = answer.and_then(|answer| {
            let username = answer.field("username")?;
            // EXPOSE: a user name is no secret.
            let username = username.expose().clone();
            let (id, duration) = (answer.lease_id.clone(), Duration::from_secs(answer.lease_duration));
            Some(Lease { id, duration, username, password: answer.field("password")? })
        });
        whole.filter(|lease| !lease.id.is_empty()).ok_or_else(|| {
            Failure::config(format!("{path} gives no lease with a user name and a password"))
                .advise("Name a role of a database engine in the manifest, then `coffre rotate resume`.")
        })
    }

    async fn about_token(&self) -> Result<Token, Failure> {
        #[derive(Deserialize)]
        struct Said {
            #[serde(default)]
            ttl: u64,
            #[serde(default)]
            period: Option<u64>,
            #[serde(default)]
            orphan: bool,
            #[serde(default)]
            explicit_max_ttl: u64,
            #[serde(default)]
            expire_time: Option<String>,
            #[serde(default)]
            creation_time: u64,
        }
        let client = (self.client)();
        let answer = client.read("auth/token/lookup-self").await?;
        let nothing = || Failure::config("the vault says nothing about our own token");
        let said: Said = answer.ok_or_else(nothing)?.data()?;
        let age =
            client.server_date().map_or(0, |now| now.since(Wall::from_secs(said.creation_time)).as_secs());
        let some = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        Ok(Token {
            ttl: said.expire_time.is_some().then(|| Duration::from_secs(said.ttl)),
            periodic: said.period.is_some_and(|period| period > 0),
            orphan: said.orphan,
            explicit: some(said.explicit_max_ttl).map(|hard| hard.saturating_sub(Duration::from_secs(age))),
        })
    }

    async fn longest_of_role(&self) -> Result<Option<Duration>, Failure> {
        #[derive(Deserialize)]
        struct Said {
            #[serde(default)]
            max_ttl: u64,
        }
        let path = format!("{}/roles/{}", self.mount, self.role);
        let said = match (self.client)().read(&path).await {
            Err(error) if error.kind() == ErrorKind::Denied => return Ok(None),
            Ok(Some(answer)) => answer.data::<Said>()?,
            Ok(None) => return Err(Failure::config(format!("there is no role {path}"))),
            Err(error) => return Err(error.into()),
        };
        Ok((said.max_ttl > 0).then(|| Duration::from_secs(said.max_ttl)))
    }
}

impl Leases for ClientLeases {
    fn issue(&self) -> BoxFuture<'_, Result<Lease, Failure>> {
        Box::pin(self.issued())
    }

    fn renew<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            match (self.client)().renew_lease(id, None).await {
                Ok(_) => Ok(true),
                // Not renewable any more, or not there any more.
                Err(error) if over(&error) => Ok((self.client)().lease(id).await?.is_some()),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn revoke<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            match (self.client)().revoke_lease(id).await {
                Err(error) if over(&error) && (self.client)().lease(id).await?.is_none() => Ok(()),
                done => Ok(done?),
            }
        })
    }

    fn live(&self) -> BoxFuture<'_, Result<Option<u64>, Failure>> {
        Box::pin(async move {
            let path = format!("sys/leases/lookup/{}/creds/{}", self.mount, self.role);
            match (self.client)().list(&path).await {
                Ok(ids) => Ok(u64::try_from(ids.len()).ok()),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(0)),
                Err(error) if error.kind() == ErrorKind::Denied => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn longest(&self) -> BoxFuture<'_, Result<Option<Duration>, Failure>> {
        Box::pin(self.longest_of_role())
    }

    fn token(&self) -> BoxFuture<'_, Result<Token, Failure>> {
        Box::pin(self.about_token())
    }
}

/// Servers say 400 or 404 of a lease that is not there (any more).
fn over(error: &coffre_client::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_lease_lives_no_longer_than_its_token_can() {
        let periodic = Token { ttl: Some(DAY), periodic: true, orphan: false, explicit: None };
        let plain = Token { periodic: false, ..periodic };
        let hard = Token { orphan: true, explicit: Some(3 * DAY), ..plain };
        let child = Token { orphan: false, ..hard };
        for (token, longest, real) in [
            (Token::default(), Some(7 * DAY), Some(7 * DAY)),
            (Token::default(), None, None),
            (periodic, Some(7 * DAY), Some(7 * DAY)),
            (Token { explicit: Some(2 * DAY), ..periodic }, Some(7 * DAY), Some(2 * DAY)),
            (plain, Some(7 * DAY), Some(DAY)),
            (plain, None, Some(DAY)),
            (hard, Some(7 * DAY), Some(3 * DAY)),
            (child, Some(7 * DAY), Some(DAY)),
        ] {
            assert_eq!(lifetime(longest, &token), real, "{token:?}");
        }
    }
}
