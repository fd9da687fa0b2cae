//! GET `data/<path>`: the latest version, or the one that `version` names.
//!
//! 404 without a body for an unknown path or number; 404 with what is known of it for a deleted or destroyed
//! version. A version whose time has come counts as deleted from that nanosecond on, without anybody
//! sweeping.

use coffre_api::kv2::{ReadVersion, ReadVersionInput, ReadVersionOutput, VersionMetadata};
use coffre_api::{RawJson, Refusal};
use coffre_engine::{Cx, Reply, Serve, storage};

use super::exclusive::Exclusive;
use super::model::{secret_key, version_key};
use super::record::decode_latest;
use super::{KvV2, numbers};
use crate::plain;

impl Serve<ReadVersion> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: ReadVersionInput) -> Result<Reply<ReadVersionOutput>, Refusal> {
        let Some((metadata, data)) =
            find(cx, &input.path, numbers::natural("version", input.version)?).await?
        else {
            return Ok(Reply::missing());
        };
        let found = data.is_some();
        let output = ReadVersionOutput { data, metadata };
        Ok(if found { Reply::data(output) } else { Reply::missing_with(output) })
    }
}

/// A version, 0 being the latest: what is known of it, and its data unless it was deleted or destroyed.
pub(super) async fn find(
    cx: Cx<'_>,
    path: &str,
    number: u64,
) -> Result<Option<(VersionMetadata, Option<RawJson>)>, Refusal> {
    if path.is_empty() {
        return Ok(None);
    }
    if let Some(bytes) = cx.view()?.get(&secret_key(path)).await.map_err(storage)? {
        let (head, data) = decode_latest(&bytes)?;
        if number == 0 || number == head.version {
            let readable = head.state.is_readable(cx.now());
            return Ok((head.version > 0).then(|| (head.metadata(), data.filter(|_| readable))));
        }
    }
    find_slowly(cx, path, number).await
}

/// Older versions, and secrets that are still stored as version 1 left them. Under the lock, so that what is known
/// of the version and its data, which are two records, belong together.
async fn find_slowly(
    cx: Cx<'_>,
    path: &str,
    number: u64,
) -> Result<Option<(VersionMetadata, Option<RawJson>)>, Refusal> {
    let (held, Some(record)) = Exclusive::take(cx, path).await? else { return Ok(None) };
    let number = if number == 0 { record.head.version } else { number };
    let Some(state) = record.version(number) else { return Ok(None) };
    let metadata = record.head.metadata_of(number, state);
    if !state.is_readable(cx.now()) {
        return Ok(Some((metadata, None)));
    }
    let data = if number == record.head.version {
        record.data
    } else {
        plain::read(held.view(), &version_key(path, number)).await?
    };
    match data {
        Some(data) => Ok(Some((metadata, Some(data)))),
        None => Err(Refusal::bug("the data of a version is missing from the storage")),
    }
}
