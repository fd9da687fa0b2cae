//! DELETE `metadata/<path>`: removes a secret with all its versions, in one transaction; 204 also if there
//! was none.
//!
//! The next write begins with version 1 again, so check and set with 0 succeeds then.

use coffre_api::kv2::{DeleteMetadata, DeleteMetadataInput};
use coffre_api::{Nothing, Refusal};
use coffre_barrier::ViewBatch;
use coffre_engine::{Cx, Reply, Serve};

use super::KvV2;
use super::exclusive::Exclusive;
use super::model::versions_prefix;

impl Serve<DeleteMetadata> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: DeleteMetadataInput) -> Result<Reply<Nothing>, Refusal> {
        let (held, Some(_)) = Exclusive::take(cx, &input.path).await? else {
            return Ok(Reply::empty());
        };
        held.remove(ViewBatch::new().delete_prefix(versions_prefix(&input.path))).await?;
        Ok(Reply::empty())
    }
}
