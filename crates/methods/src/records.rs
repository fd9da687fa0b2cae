//! Records as JSON in a mount's view.

use coffre_api::Refusal;
use coffre_barrier::View;
use coffre_engine::{Page, storage};
use coffre_secret::SecretVec;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How many names are asked of the storage at once.
const PAGE: usize = 1_000;

/// A record's bytes.
pub(crate) fn to_json<T: Serialize>(record: &T) -> Result<SecretVec, Refusal> {
    serde_json::to_vec(record)
        .map(SecretVec::new)
        .map_err(|_| Refusal::bug("a record could not be written as JSON"))
}

/// Reads the record at a key.
pub(crate) async fn read<T: DeserializeOwned>(view: &View, key: &str) -> Result<Option<T>, Refusal> {
    view.get(key).await.map_err(storage)?.map(|bytes| from_json(&bytes)).transpose()
}

fn from_json<T: DeserializeOwned>(bytes: &SecretVec) -> Result<T, Refusal> {
    // EXPOSE: parsed here; serde's message might quote values, so it is dropped.
    serde_json::from_slice(bytes.expose())
        .map_err(|_| Refusal::bug("a stored record does not have the form of its kind"))
}

/// The names in a folder of the view.
pub(crate) async fn names(view: &View, folder: &str, page: Page<'_>) -> Result<Vec<String>, Refusal> {
    if !page.is_all() {
        return Ok(view.list(folder, page.after, page.limit).await.map_err(storage)?.names);
    }
    let mut all: Vec<String> = Vec::new();
    loop {
        let after = all.last().cloned();
        let page = view.list(folder, after.as_deref(), PAGE).await.map_err(storage)?;
        all.extend(page.names);
        if !page.more {
            return Ok(all);
        }
    }
}
