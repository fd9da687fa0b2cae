//! W `metadata/<path>`: changes settings and replaces notes; what is absent stays.
//!
//! Makes the secret, without a version, if there is none. Its version counter still begins at 1.

use coffre_api::coerce::{LooseBool, LooseInt};
use coffre_api::kv2::{DeleteAfter, WriteMetadata, WriteMetadataInput};
use coffre_api::{Nothing, Refusal};
use coffre_barrier::ViewBatch;
use coffre_engine::{Cx, Exists, ReadCx, Reply, Serve};
use coffre_policy::Existence;

use super::exclusive::{self, Exclusive};
use super::record::Record;
use super::{KvV2, notes, numbers};

impl Serve<WriteMetadata> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: WriteMetadataInput) -> Result<Reply<Nothing>, Refusal> {
        let (held, record) = Exclusive::take(cx, &input.path).await?;
        let mut record = record.unwrap_or_else(|| Record::new(held.now()));
        change_settings(&mut record, input.max_versions, input.cas_required, input.delete_version_after)?;
        if let Some(given) = input.custom_metadata {
            notes::check(&given.0)?;
            record.head.notes = Some(given.0).filter(|notes| !notes.is_empty());
        }
        record.touch(held.now());
        held.save(&record, ViewBatch::new()).await?;
        Ok(Reply::empty())
    }
}

impl Exists<WriteMetadata> for KvV2 {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteMetadataInput) -> Result<Existence, Refusal> {
        exclusive::exists(cx.view(), &input.path).await
    }
}

/// What is absent stays as it is.
pub(super) fn change_settings(
    record: &mut Record,
    max_versions: Option<LooseInt>,
    cas_required: Option<LooseBool>,
    delete_after: Option<DeleteAfter>,
) -> Result<(), Refusal> {
    if let Some(max) = max_versions {
        record.rest.max_versions = numbers::max_versions(max)?;
    }
    if let Some(required) = cas_required {
        record.rest.cas_required = required.0;
    }
    if let Some(after) = delete_after {
        record.set_delete_after(after);
    }
    Ok(())
}
