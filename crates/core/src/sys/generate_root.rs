//! `sys/generate-root/*`, the same in envelopes below `sys/generate-root-token/*`, and `sys/decode-token`.

use coffre_api::sys::generate_root::{
    CancelGenerateRoot, DecodeToken, DecodeTokenInput, DecodeTokenOutput, GenerateRootInput,
    GenerateRootOutput, GenerateRootStatus, StartGenerateRoot, UpdateGenerateRoot,
};
use coffre_api::sys::generate_root_token::{
    CancelGenerateRootToken, GenerateRootTokenStatus, StartGenerateRootToken, UpdateGenerateRootToken,
};
use coffre_api::sys::rekey::ShareInput;
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::ceremonies::{given, uncover};

impl Serve<GenerateRootStatus> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<GenerateRootOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        Ok(Reply::bare(active.ceremonies.root_status(&kernel).await?))
    }
}

impl Serve<StartGenerateRoot> for Sys {
    async fn serve(&self, _: Cx<'_>, input: GenerateRootInput) -> Result<Reply<GenerateRootOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        Ok(Reply::bare(active.ceremonies.start_root(&kernel, input).await?))
    }
}

impl Serve<CancelGenerateRoot> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.ceremonies.cancel_root().await;
        Ok(Reply::empty())
    }
}

impl Serve<UpdateGenerateRoot> for Sys {
    async fn serve(&self, _: Cx<'_>, input: ShareInput) -> Result<Reply<GenerateRootOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        let share = given(input.key.as_ref())?;
        Ok(Reply::bare(active.ceremonies.update_root(&kernel, &active, &input.nonce, share).await?))
    }
}

impl Serve<GenerateRootTokenStatus> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<GenerateRootOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        Ok(Reply::data(active.ceremonies.root_status(&kernel).await?))
    }
}

impl Serve<StartGenerateRootToken> for Sys {
    async fn serve(&self, _: Cx<'_>, input: GenerateRootInput) -> Result<Reply<GenerateRootOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        Ok(Reply::data(active.ceremonies.start_root(&kernel, input).await?))
    }
}

impl Serve<CancelGenerateRootToken> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: Nothing) -> Result<Reply<Nothing>, Refusal> {
        Serve::<CancelGenerateRoot>::serve(self, cx, input).await
    }
}

impl Serve<UpdateGenerateRootToken> for Sys {
    async fn serve(&self, _: Cx<'_>, input: ShareInput) -> Result<Reply<GenerateRootOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        let share = given(input.key.as_ref())?;
        Ok(Reply::data(active.ceremonies.update_root(&kernel, &active, &input.nonce, share).await?))
    }
}

impl Serve<DecodeToken> for Sys {
    async fn serve(&self, _: Cx<'_>, input: DecodeTokenInput) -> Result<Reply<DecodeTokenOutput>, Refusal> {
        Ok(Reply::data(DecodeTokenOutput { token: uncover(&input.encoded_token, &input.otp)? }))
    }
}
