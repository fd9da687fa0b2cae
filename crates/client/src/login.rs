//! How a program gets its token.

use coffre_secret::SecretText;

use crate::{Auth, Body, Client, Error, ErrorKind, Op, Request, wrapping};

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
    let roles = format!("auth/{}/role/", mount.trim_matches('/'));
    let by_a_role = |path: &str| {
        path.starts_with(&roles) && (path.ends_with("/secret-id") || path.ends_with("/custom-secret-id"))
    };
    let opened = wrapping::unwrap(client, wrapping_token, by_a_role).await?;
    opened
        .and_then(|answer| answer.field("secret_id"))
        .ok_or_else(|| Error::new(ErrorKind::Decode, "unwrap the secret_id").message("there is none inside"))
}

/// Kubernetes (`auth/<mount>/login`): `jwt` is the pod's service account token, which the cluster replaces: read it
/// from its file for every login.
pub async fn kubernetes(client: &Client, mount: &str, role: &str, jwt: &SecretText) -> Result<Auth, Error> {
    let role = SecretText::from(role);
    let body = Body::fields([("role", &role), ("jwt", jwt)]);
    with_body(client, &format!("auth/{}/login", mount.trim_matches('/')), body).await
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

/// The error for a login that did not begin, because a file it needs cannot be read.
pub fn unreadable(file: &std::path::Path, cause: std::io::Error) -> Error {
    let error = Error::new(ErrorKind::Config, "log in").message(format!("cannot read {}", file.display()));
    error.caused_by(cause).with_advice("Check that the file is there, and that this user may read it.")
}
