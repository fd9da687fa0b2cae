use coffre_api::kv2::{DeleteLatest, DeleteLatestInput};
use coffre_api::{Nothing, Refusal};
use coffre_barrier::ViewBatch;
use coffre_engine::{Cx, Reply, Serve};

use super::KvV2;
use super::exclusive::Exclusive;

impl Serve<DeleteLatest> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: DeleteLatestInput) -> Result<Reply<Nothing>, Refusal> {
        let (held, Some(mut record)) = Exclusive::take(cx, &input.path).await? else {
            return Ok(Reply::empty());
        };
        if record.head.version > 0 && record.head.state.delete(held.now()) {
            held.save(&record, ViewBatch::new()).await?;
        }
        Ok(Reply::empty())
    }
}
