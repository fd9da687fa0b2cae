//! `sys/key-status` and `sys/rotate`: the barrier's keyring.

use coffre_ambient::Wall;
use coffre_api::sys::rotate::{
    KeyStatus, KeyStatusOutput, ReadRotateConfig, Rotate, RotateConfigInput, RotateConfigOutput,
    WriteRotateConfig,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve, storage};

use super::Sys;

impl Serve<KeyStatus> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<KeyStatusOutput>, Refusal> {
        let unsealed = self.kernel()?.barrier().open().map_err(|_| Refusal::sealed())?;
        let status = unsealed.key_status().map_err(|_| Refusal::sealed())?;
        Ok(Reply::data(KeyStatusOutput {
            term: status.term,
            install_time: Wall::from_nanos(status.created).rfc3339(),
            encryptions: status.messages,
        }))
    }
}

impl Serve<Rotate> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        let unsealed = self.kernel()?.barrier().open().map_err(|_| Refusal::sealed())?;
        unsealed.rotate().await.map_err(storage)?;
        Ok(Reply::empty())
    }
}

impl Serve<ReadRotateConfig> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<RotateConfigOutput>, Refusal> {
        Ok(Reply::data(self.active()?.rotation.config().await))
    }
}

impl Serve<WriteRotateConfig> for Sys {
    async fn serve(&self, _: Cx<'_>, input: RotateConfigInput) -> Result<Reply<Nothing>, Refusal> {
        let unsealed = self.kernel()?.barrier().open().map_err(|_| Refusal::sealed())?;
        self.active()?.rotation.change(&unsealed, &input).await?;
        Ok(Reply::empty())
    }
}
