//! How a program gets its token.

use coffre_secret::SecretText;

use crate::{Auth, Body, Client, Error, ErrorKind, Op, Request};

/// AppRole (`auth/<mount>/login`). The client's own token is not sent.
pub async fn approle(
    client: &Client,
    mount: &str,
    role_id: &SecretText,
    secret_id: Option<&SecretText>,
) -> Result<Auth, Error> {
    let fields = [("role_id", Some(role_id)), ("secret_id", secret_id)];
    let body = Body::fields(fields.iter().filter_map(|(name, value)| value.map(|value| (*name, value))));
    with_body(client, &format!("auth/{}/login", mount.trim_matches('/')), body).await
}

/// AppRole with a secret_id that waits behind a wrapping token.
pub async fn approle_wrapped(
    client: &Client,
    mount: &str,
    role_id: &SecretText,
    wrapping_token: &SecretText,
) -> Result<Auth, Error> {
    let opened = unwrap_secret_id(client, mount, wrapping_token).await?;
    approle(client, mount, role_id, Some(&opened)).await
}

/// Opens a wrapped secret_id; that works once. Where the wrapping token was made is checked first: a token that
/// somebody put in its place wraps another path.
pub async fn unwrap_secret_id(
    client: &Client,
    mount: &str,
    wrapping_token: &SecretText,
) -> Result<SecretText, Error> {
    let mount = mount.trim_matches('/');
    let anonymous = client.without_token();
    let asked = Body::fields([("token", wrapping_token)]);
    let looked = anonymous.write("sys/wrapping/lookup", asked).await.map_err(spent)?;
    // EXPOSE: a path, not a secret.
    let made_at = looked.and_then(|found| found.field("creation_path")).map(|path| path.expose().clone());
    let made_at = made_at.unwrap_or_default();
    let expected = made_at.starts_with(&format!("auth/{mount}/role/"))
        && (made_at.ends_with("/secret-id") || made_at.ends_with("/custom-secret-id"));
    if !expected {
        let error = Error::new(ErrorKind::Denied, "unwrap the secret_id");
        let error = error.message(format!("it was made at `{made_at}`, not by a role's secret-id endpoint"));
        return Err(error.with_advice("Do not use it; find out who delivered it, and make a new one."));
    }
    // The wrapping token is itself the caller: a body of its own would need a second token.
    let answer =
        client.with_token(wrapping_token.duplicate()).write("sys/wrapping/unwrap", Body::fields([])).await;
    let secret_id = answer.map_err(spent)?.and_then(|answer| answer.field("secret_id"));
    secret_id
        .ok_or_else(|| Error::new(ErrorKind::Decode, "unwrap the secret_id").message("there is none inside"))
}

/// userpass (`auth/<mount>/login/<user>`).
pub async fn userpass(
    client: &Client,
    mount: &str,
    user: &str,
    password: &SecretText,
) -> Result<Auth, Error> {
    let path = format!("auth/{}/login/{user}", mount.trim_matches('/'));
    with_body(client, &path, Body::fields([("password", password)])).await
}

/// Any method whose login takes a body at one path.
pub async fn with_body(client: &Client, path: &str, body: Body) -> Result<Auth, Error> {
    let answer = client.without_token().request(Request::new(Op::Write, path).body(body)).await?;
    let auth = answer.and_then(|answer| answer.auth).filter(|auth| !auth.client_token.is_empty());
    auth.ok_or_else(|| {
        Error::new(ErrorKind::Decode, format!("log in at {path}")).message("no token came back")
    })
}

/// Checks a token that is already there (`auth/token/lookup-self`), and gives its policies and remaining seconds.
pub async fn token(client: &Client) -> Result<TokenState, Error> {
    let answer = client.request(Request::new(Op::Read, "auth/token/lookup-self")).await?;
    answer.ok_or_else(|| Error::new(ErrorKind::Decode, "look the token up"))?.data()
}

/// What the server says about the token in use.
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
}

/// A wrapping token that does not open is a security event: somebody else may have opened it.
fn spent(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Denied | ErrorKind::Unauthenticated => {
            Error::new(ErrorKind::Denied, "unwrap the secret_id")
                .with_status(error.status().unwrap_or_default())
                .message("the wrapping token has expired, or somebody else has used it")
                .with_advice(
                    "If it has not expired, treat the secret_id as stolen: destroy it, and make a new one.",
                )
        }
        _ => error,
    }
}
