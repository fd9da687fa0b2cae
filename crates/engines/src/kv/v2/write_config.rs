//! W `config`: changes the mount's settings; what is absent stays.
//!
//! `max_versions` and `delete_version_after` count from the next write of each secret on.

use coffre_api::kv2::{WriteConfig, WriteConfigInput};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::model::{CONFIG, Config};
use super::{KvV2, numbers};

impl Serve<WriteConfig> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: WriteConfigInput) -> Result<Reply<Nothing>, Refusal> {
        let _held = cx.lock(CONFIG).await;
        let view = cx.view()?;
        let mut config = Config::load(view).await?;
        if let Some(max) = input.max_versions {
            config.max_versions = numbers::max_versions(max)?;
        }
        if let Some(required) = input.cas_required {
            config.cas_required = required.0;
        }
        if let Some(after) = input.delete_version_after {
            config.set_delete_after(after);
        }
        config.save(view).await?;
        Ok(Reply::empty())
    }
}
