//! What all writes of data have in common: what may be written, under which condition, and what a new version
//! does to the older ones.

use coffre_api::kv2::{VersionMetadata, WriteOptions};
use coffre_api::{RawJson, Refusal};
use coffre_barrier::ViewBatch;

use super::exclusive::Exclusive;
use super::json;
use super::model::{Config, version_key};
use super::record::Record;

/// The object under `data` in the body of a write.
pub(super) fn object(data: Option<RawJson>) -> Result<RawJson, Refusal> {
    let data = data.ok_or_else(|| Refusal::invalid("no data provided"))?;
    // EXPOSE: its names are looked at.
    match json::fields(data.expose()) {
        Ok(_) => Ok(data),
        Err(error) => Err(Refusal::invalid(format!("`data` is not usable: {error}"))),
    }
}

/// Check and set: the number must be that of the current version, where 0 stands for a secret that never had one.
pub(super) fn check_and_set(
    options: Option<WriteOptions>,
    record: Option<&Record>,
    config: &Config,
) -> Result<(), Refusal> {
    let required = config.cas_required || record.is_some_and(|record| record.rest.cas_required);
    let current = record.map_or(0, |record| record.head.version);
    match options.and_then(|options| options.cas) {
        None if required => Err(Refusal::invalid("check-and-set parameter required for this call")),
        Some(cas) if u64::try_from(cas.0) != Ok(current) => {
            Err(Refusal::invalid("check-and-set parameter did not match the current version"))
        }
        _ => Ok(()),
    }
}

/// Makes a version, in one transaction with what it displaces.
pub(super) async fn add_version(
    held: Exclusive<'_>,
    path: &str,
    record: Option<Record>,
    data: RawJson,
    config: &Config,
) -> Result<VersionMetadata, Refusal> {
    let now = held.now();
    let mut record = record.unwrap_or_else(|| Record::new(now));
    let displaced = record.add(data, now, config);
    let mut batch = ViewBatch::new();
    if let Some((number, data)) = displaced.kept {
        // EXPOSE: sealed by the barrier.
        batch = batch.put(version_key(path, number), data.expose().as_bytes().to_vec());
    }
    for number in displaced.dropped {
        batch = batch.delete(version_key(path, number));
    }
    held.save(&record, batch).await?;
    Ok(record.head.metadata())
}
