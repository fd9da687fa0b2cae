//! GET `config`: the mount's settings, all defaults if none were written.

use coffre_api::Refusal;
use coffre_api::kv2::{ReadConfig, ReadConfigInput, ReadConfigOutput};
use coffre_engine::{Cx, Reply, Serve};

use super::KvV2;
use super::model::Config;

impl Serve<ReadConfig> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, _: ReadConfigInput) -> Result<Reply<ReadConfigOutput>, Refusal> {
        let config = Config::load(cx.view()?).await?;
        Ok(Reply::data(ReadConfigOutput {
            max_versions: config.max_versions,
            cas_required: config.cas_required,
            delete_version_after: config.delete_after().to_string(),
        }))
    }
}
