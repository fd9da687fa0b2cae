//! PATCH `metadata/<path>`: changes settings, and merges notes name by name; 404 if there is no such secret.
//!
//! A null inside `custom_metadata` removes that name; a null in place of a setting leaves the setting as it is.

use coffre_api::kv2::{PatchMetadata, PatchMetadataInput};
use coffre_api::{Nothing, Refusal};
use coffre_barrier::ViewBatch;
use coffre_engine::{Cx, Reply, Serve};

use super::exclusive::Exclusive;
use super::write_metadata::change_settings;
use super::{KvV2, notes};

impl Serve<PatchMetadata> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: PatchMetadataInput) -> Result<Reply<Nothing>, Refusal> {
        let (held, Some(mut record)) = Exclusive::take(cx, &input.path).await? else {
            return Ok(Reply::missing());
        };
        change_settings(&mut record, input.max_versions, input.cas_required, input.delete_version_after)?;
        if let Some(changes) = input.custom_metadata {
            notes::merge(&mut record.head.notes, changes)?;
        }
        record.touch(held.now());
        held.save(&record, ViewBatch::new()).await?;
        Ok(Reply::empty())
    }
}
