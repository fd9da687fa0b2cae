//! W `undelete/<path>`: makes listed versions readable again, for good: a deletion that lies ahead is taken
//! back, too.
//!
//! Unknown numbers are passed over; what was destroyed stays destroyed. No number at all is refused.

use coffre_api::kv2::{UndeleteVersions, UndeleteVersionsInput};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::exclusive::change_states;
use super::{KvV2, numbers};

impl Serve<UndeleteVersions> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: UndeleteVersionsInput) -> Result<Reply<Nothing>, Refusal> {
        let numbers = numbers::listed(&input.versions)?;
        change_states(cx, &input.path, &numbers, |state, _| state.undelete()).await?;
        Ok(Reply::empty())
    }
}
