//! W `destroy/<path>`: removes the data of the listed versions from the storage; what is known of them stays.
//!
//! The data goes in the same transaction that marks the version, so no crash leaves data under a destroyed version.
//! Unknown numbers are passed over. No number at all is refused.

use coffre_api::kv2::{DestroyVersions, DestroyVersionsInput};
use coffre_api::{Nothing, Refusal};
use coffre_barrier::ViewBatch;
use coffre_engine::{Cx, Reply, Serve};

use super::exclusive::Exclusive;
use super::model::version_key;
use super::{KvV2, numbers};

impl Serve<DestroyVersions> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: DestroyVersionsInput) -> Result<Reply<Nothing>, Refusal> {
        let numbers = numbers::listed(&input.versions)?;
        let (held, Some(mut record)) = Exclusive::take(cx, &input.path).await? else {
            return Ok(Reply::empty());
        };
        let mut batch = ViewBatch::new();
        let mut changed = false;
        for number in numbers {
            let Some(state) = record.version_mut(number) else { continue };
            state.destroyed = true;
            changed = true;
            if number == record.head.version {
                record.data = None;
            } else {
                batch = batch.delete(version_key(&input.path, number));
            }
        }
        if changed {
            held.save(&record, batch).await?;
        }
        Ok(Reply::empty())
    }
}
