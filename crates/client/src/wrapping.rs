//! Answers that wait behind a token which opens once (Vault's response wrapping).

use coffre_secret::SecretText;

use crate::{Body, Client, Envelope, Error, ErrorKind};

/// What a wrapping token wraps, without opening it (`sys/wrapping/lookup`).
#[derive(Debug, serde::Deserialize)]
pub struct Wrapped {
    /// The path whose answer was wrapped.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub creation_path: String,
    /// RFC 3339.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub creation_time: String,
    /// Seconds that it was made for.
    #[serde(default, deserialize_with = "crate::envelope::or_default")]
    pub creation_ttl: u64,
}

/// Looks a wrapping token up. No token of the client's is sent. A token that is spent is an [`ErrorKind::Denied`] whose
/// advice says what that may mean.
pub async fn lookup(client: &Client, wrapping_token: &SecretText) -> Result<Wrapped, Error> {
    let asked = Body::fields([("token", wrapping_token)]);
    let found = client.without_token().write("sys/wrapping/lookup", asked).await.map_err(spent)?;
    found.ok_or_else(|| Error::new(ErrorKind::Decode, "look a wrapping token up"))?.data()
}

/// Opens a wrapping token; that works once, so nothing is repeated. `expected` is asked about the path that was
/// wrapped, before anything is opened: a token that somebody put in place of ours wraps another path.
pub async fn unwrap(
    client: &Client,
    wrapping_token: &SecretText,
    expected: impl FnOnce(&str) -> bool,
) -> Result<Option<Envelope>, Error> {
    let wrapped = lookup(client, wrapping_token).await?;
    if !expected(&wrapped.creation_path) {
        let error = Error::new(ErrorKind::Denied, "unwrap");
        let error = error
            .message(format!("it was made at `{}`, not where it should have been", wrapped.creation_path));
        return Err(error.with_advice("Do not use it; find out who delivered it, and make a new one."));
    }
    // The wrapping token is itself the caller: a body of its own would need a second token.
    client
        .with_token(wrapping_token.duplicate())
        .write("sys/wrapping/unwrap", Body::fields([]))
        .await
        .map_err(spent)
}

/// A wrapping token that does not open is a security event: somebody else may have opened it.
fn spent(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Denied | ErrorKind::Unauthenticated => {
            Error::new(ErrorKind::Denied, "unwrap")
                .with_status(error.status().unwrap_or_default())
                .message("the wrapping token has expired, or somebody else has used it")
                .with_advice(
                    "If it has not expired, treat what it held as stolen: destroy it, and make a new one.",
                )
        }
        _ => error,
    }
}
