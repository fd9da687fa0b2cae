//! Secrets without history, each the JSON text of an object: what KV version 1 and the cubbyhole have in common.

use coffre_api::coerce::Ttl;
use coffre_api::kv1::KeyList;
use coffre_api::{Nothing, RawJson, Refusal};
use coffre_barrier::{ReadView, View};
use coffre_engine::{Page, Reply, storage};
use coffre_policy::Existence;
use coffre_secret::SecretVec;
use serde::Deserialize;

/// A path that names a secret: not the folder itself.
pub(crate) fn named(path: &str) -> Result<&str, Refusal> {
    if path.is_empty() {
        Err(Refusal::invalid("the path names no secret: add a name after the mount's path"))
    } else {
        Ok(path)
    }
}

/// The text of a stored secret.
pub(crate) fn text(bytes: &SecretVec) -> Result<RawJson, Refusal> {
    // EXPOSE: copied into another value that wipes itself.
    let text = std::str::from_utf8(bytes.expose()).map_err(Refusal::bug)?;
    RawJson::parse(text.to_owned()).map_err(|_| Refusal::bug("a stored secret is not JSON"))
}

pub(crate) async fn read(view: &View, key: &str) -> Result<Option<RawJson>, Refusal> {
    view.get(key).await.map_err(storage)?.as_ref().map(text).transpose()
}

pub(crate) async fn exists(view: &ReadView, key: &str) -> Result<Existence, Refusal> {
    let found = view.get(key).await.map_err(storage)?;
    Ok(if found.is_some() { Existence::Exists } else { Existence::Missing })
}

pub(crate) async fn write(view: &View, key: &str, secret: &RawJson) -> Result<Reply<Nothing>, Refusal> {
    if is_empty(secret) {
        return Err(Refusal::invalid("missing data fields"));
    }
    // EXPOSE: sealed by the barrier.
    view.put(key, secret.expose().as_bytes()).await.map_err(storage)?;
    Ok(Reply::empty())
}

pub(crate) async fn delete(view: &View, key: &str) -> Result<Reply<Nothing>, Refusal> {
    view.delete(key).await.map_err(storage)?;
    Ok(Reply::empty())
}

pub(crate) async fn list(view: &View, folder: &str, page: Page<'_>) -> Result<Reply<KeyList>, Refusal> {
    Ok(keys(view.list(folder, page.after, page.limit).await.map_err(storage)?.names))
}

/// Vault answers 404 to the list of an empty folder.
pub(crate) fn keys(keys: Vec<String>) -> Reply<KeyList> {
    if keys.is_empty() { Reply::missing() } else { Reply::data(KeyList { keys }) }
}

/// How long the caller may keep the secret, if the secret says so in a field `ttl` or, failing that, `lease`.
pub(crate) fn own_lifetime(secret: &RawJson) -> Option<u64> {
    // EXPOSE: two fields are looked at.
    let told: Told<'_> = serde_json::from_str(secret.expose()).ok()?;
    let raw = told.ttl.or(told.lease)?;
    serde_json::from_str::<Ttl>(raw.get()).ok().map(Ttl::as_secs)
}

#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    ttl: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    lease: Option<&'a serde_json::value::RawValue>,
}

fn is_empty(secret: &RawJson) -> bool {
    // EXPOSE: only white space is looked for.
    let inside = secret.expose().trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    inside.is_none_or(|inside| inside.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.into()).unwrap()
    }

    #[test]
    fn lifetimes_come_from_ttl_then_lease() {
        assert_eq!(own_lifetime(&json(r#"{"a":1}"#)), None);
        assert_eq!(own_lifetime(&json(r#"{"ttl":"1h","lease":"2h"}"#)), Some(3600));
        assert_eq!(own_lifetime(&json(r#"{"lease":"90"}"#)), Some(90));
        assert_eq!(own_lifetime(&json(r#"{"ttl":60}"#)), Some(60));
        assert_eq!(own_lifetime(&json(r#"{"ttl":"soon"}"#)), None);
        assert_eq!(own_lifetime(&json(r#"{"ttl":{"x":1}}"#)), None);
    }

    #[test]
    fn emptiness_is_seen_without_parsing() {
        assert!(is_empty(&json("{}")) && is_empty(&json(" { \n } ")));
        assert!(!is_empty(&json(r#"{"":""}"#)));
    }
}
