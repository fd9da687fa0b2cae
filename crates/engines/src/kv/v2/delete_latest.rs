//! DELETE `data/<path>`: hides the latest version; its data stays and can be undeleted.
//!
//! 204 in any case: nothing there, deleted before and destroyed are all fine, and keep the time they have. A
//! deletion that lies ahead comes forward to now.

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
