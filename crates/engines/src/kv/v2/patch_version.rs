//! PATCH `data/<path>`: merges (RFC 7396) into the latest version and writes the result as a new one.
//!
//! 404 without a version; 404 with what is known of it if the latest version is deleted or destroyed. Check
//! and set as for a write, under the same lock as the merge, so concurrent patches lose nothing.

use coffre_api::Refusal;
use coffre_api::kv2::{PatchVersion, PatchVersionInput, PatchVersionOutput, ReadVersionOutput};
use coffre_engine::{Cx, Reply, Serve};

use super::change::{add_version, check_and_set, object};
use super::exclusive::Exclusive;
use super::model::Config;
use super::{KvV2, json};

impl Serve<PatchVersion> for KvV2 {
    async fn serve(
        &self,
        cx: Cx<'_>,
        input: PatchVersionInput,
    ) -> Result<Reply<PatchVersionOutput>, Refusal> {
        let patch = object(input.data)?;
        let (held, record) = Exclusive::take(cx, &input.path).await?;
        let Some(record) = record.filter(|record| record.head.version > 0) else {
            return Ok(Reply::missing());
        };
        let readable = record.head.state.is_readable(held.now());
        let Some(latest) = record.data.as_ref().filter(|_| readable) else {
            let gone = ReadVersionOutput { data: None, metadata: record.head.metadata() };
            return Ok(Reply::missing_with(PatchVersionOutput::Gone(gone)));
        };
        let config = Config::load(held.view()).await?;
        check_and_set(input.options, Some(&record), &config)?;
        let merged = json::merge(latest, &patch)
            .map_err(|error| Refusal::invalid(format!("the change cannot be merged: {error}")))?;
        let metadata = add_version(held, &input.path, Some(record), merged, &config).await?;
        Ok(Reply::data(PatchVersionOutput::Written(metadata)))
    }
}
