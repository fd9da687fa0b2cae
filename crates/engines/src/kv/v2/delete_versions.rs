//! W `delete/<path>`: hides the listed versions; their data stays and can be undeleted.
//!
//! Unknown numbers are passed over; what is deleted or destroyed keeps the time it has. No number at all is
//! refused.

use coffre_api::kv2::{DeleteVersions, DeleteVersionsInput};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::exclusive::change_states;
use super::{KvV2, numbers};

impl Serve<DeleteVersions> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: DeleteVersionsInput) -> Result<Reply<Nothing>, Refusal> {
        let numbers = numbers::listed(&input.versions)?;
        change_states(cx, &input.path, &numbers, |state, now| state.delete(now)).await?;
        Ok(Reply::empty())
    }
}
