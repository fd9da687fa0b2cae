//! The life of the token in use.

use std::time::Duration;

use serde_json::json;

use crate::{Auth, Body, Client, Error, ErrorKind, Op, Request};

/// What the server says about a token.
#[derive(Debug, serde::Deserialize)]
pub struct TokenState {
    /// Its policies.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub policies: Vec<String>,
    /// Seconds left; 0 is for ever.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub ttl: u64,
    /// Whether it can be renewed.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub renewable: bool,
    /// Names it without being usable as one.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub accessor: String,
    /// Seconds that every renewal gives; 0 if it is not periodic.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub period: u64,
    /// Seconds from its creation after which it ends in any case; 0 if nothing says so.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub explicit_max_ttl: u64,
    /// Seconds since 1970 at which it was made.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub creation_time: u64,
    /// Whether it outlives the token that made it.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub orphan: bool,
    /// `service` or `batch`.
    #[serde(default, rename = "type", deserialize_with = "crate::envelope::or_default")]
    pub kind: String,
}

/// Looks up the client's token (`auth/token/lookup-self`). [`ErrorKind::Unauthenticated`] or [`ErrorKind::Denied`]
/// means that the token itself is no good: every policy allows this question unless somebody took that away.
pub async fn lookup(client: &Client) -> Result<TokenState, Error> {
    let answer = client.request(Request::new(Op::Read, "auth/token/lookup-self")).await?;
    answer.ok_or_else(|| Error::new(ErrorKind::Decode, "look the token up"))?.data()
}

/// Makes the client's token live longer (`auth/token/renew-self`). The server may grant less than `increment`: look at
/// `lease_duration`. Not repeated.
pub async fn renew(client: &Client, increment: Option<Duration>) -> Result<Auth, Error> {
    let body = match increment {
        Some(increment) => json!({ "increment": increment.as_secs() }),
        None => json!({}),
    };
    let answer = client.write("auth/token/renew-self", Body::json(&body)?).await?;
    answer
        .and_then(|answer| answer.auth)
        .ok_or_else(|| Error::new(ErrorKind::Decode, "renew the token").message("no token came back"))
}

/// Ends the client's token, its children and their leases (`auth/token/revoke-self`).
pub async fn revoke(client: &Client) -> Result<(), Error> {
    client.write("auth/token/revoke-self", Body::fields([])).await.map(drop)
}
