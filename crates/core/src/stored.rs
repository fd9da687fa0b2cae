//! Records as JSON in a view.

use coffre_api::Refusal;
use coffre_barrier::View;
use coffre_engine::storage;
use coffre_secret::SecretVec;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a record; a damaged one is our fault, never "not there".
pub(crate) async fn load<T: DeserializeOwned>(view: &View, key: &str) -> Result<Option<T>, Refusal> {
    let Some(bytes) = view.get(key).await.map_err(storage)? else { return Ok(None) };
    // EXPOSE: parsed into the record's own types; the bytes are wiped.
    let record = serde_json::from_slice(bytes.expose()).map_err(|_| damaged(key))?;
    Ok(Some(record))
}

/// The bytes of a record.
pub(crate) fn bytes<T: Serialize>(record: &T) -> Result<SecretVec, Refusal> {
    serde_json::to_vec(record).map(SecretVec::new).map_err(Refusal::bug)
}

/// Every key below a prefix, in order, without the prefix.
pub(crate) async fn all_below(view: &View, prefix: &str) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = view.scan(prefix, after.as_deref(), PAGE).await.map_err(storage)?;
        after = page.names.last().cloned();
        names.extend(page.names.iter().filter_map(|key| key.strip_prefix(prefix)).map(str::to_owned));
        if !page.more || after.is_none() {
            return Ok(names);
        }
    }
}

const PAGE: usize = 1_000;

fn damaged(key: &str) -> Refusal {
    // The last segment may be a user's name for something; the family is enough to find it.
    let family = key.rsplit_once('/').map_or(key, |(family, _)| family);
    Refusal::bug(format!("a record below {family}/ cannot be read: restore it from a backup"))
}
