//! GET `metadata/<path>`: settings, notes and versions of a secret. It never answers with data.

use coffre_api::Refusal;
use coffre_api::kv2::{ReadMetadata, ReadMetadataInput, ReadMetadataOutput};
use coffre_engine::{Cx, Reply, Serve, storage};

use super::KvV2;
use super::exclusive::Exclusive;
use super::model::secret_key;
use super::record::Record;

impl Serve<ReadMetadata> for KvV2 {
    async fn serve(
        &self,
        cx: Cx<'_>,
        input: ReadMetadataInput,
    ) -> Result<Reply<ReadMetadataOutput>, Refusal> {
        if input.path.is_empty() {
            return Ok(Reply::missing());
        }
        let record = match cx.view()?.get(&secret_key(&input.path)).await.map_err(storage)? {
            Some(bytes) => Some(Record::decode(&bytes)?),
            // It may rest where version 1 left it.
            None => Exclusive::take(cx, &input.path).await?.1,
        };
        Ok(record.map_or_else(Reply::missing, |record| Reply::data(shown(record))))
    }
}

fn shown(record: Record) -> ReadMetadataOutput {
    ReadMetadataOutput {
        cas_required: record.rest.cas_required,
        created_time: record.created_time(),
        current_version: record.head.version,
        delete_version_after: record.delete_after().to_string(),
        max_versions: record.rest.max_versions,
        oldest_version: record.rest.oldest,
        updated_time: record.updated_time(),
        versions: record.versions().map(|(number, state)| (number, state.shown())).collect(),
        custom_metadata: record.head.notes,
    }
}
