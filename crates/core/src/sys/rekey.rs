//! `sys/rekey/*` and what is refused for want of recovery keys.

use coffre_api::sys::rekey::{
    BackupOutput, CancelRekey, DeleteBackup, DeleteRecovery, DeleteRecoveryBackup, ReadBackup, ReadRecovery,
    ReadRecoveryBackup, RecoveryInput, RekeyInput, RekeyStatus, RekeyStatusOutput, RekeyUpdateOutput,
    RestartVerify, ShareInput, StartRekey, UpdateRekey, UpdateVerify, VerifyOutput, VerifyStatus,
    VerifyStatusOutput, WriteRecovery,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::ceremonies::given;

impl Serve<RekeyStatus> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<RekeyStatusOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        Ok(Reply::bare(active.ceremonies.rekey_status(&kernel).await?))
    }
}

impl Serve<StartRekey> for Sys {
    async fn serve(&self, _: Cx<'_>, input: RekeyInput) -> Result<Reply<RekeyStatusOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        Ok(Reply::bare(active.ceremonies.start_rekey(&kernel, &input).await?))
    }
}

impl Serve<CancelRekey> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.ceremonies.cancel_rekey().await;
        Ok(Reply::empty())
    }
}

impl Serve<UpdateRekey> for Sys {
    async fn serve(&self, _: Cx<'_>, input: ShareInput) -> Result<Reply<RekeyUpdateOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        let share = given(input.key.as_ref())?;
        Ok(Reply::bare(active.ceremonies.update_rekey(&kernel, &input.nonce, share).await?))
    }
}

impl Serve<VerifyStatus> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<VerifyStatusOutput>, Refusal> {
        Ok(Reply::bare(self.active()?.ceremonies.verify_status().await?))
    }
}

impl Serve<UpdateVerify> for Sys {
    async fn serve(&self, _: Cx<'_>, input: ShareInput) -> Result<Reply<VerifyOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        let share = given(input.key.as_ref())?;
        Ok(Reply::bare(active.ceremonies.update_verify(&kernel, &input.nonce, share).await?))
    }
}

impl Serve<RestartVerify> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<VerifyStatusOutput>, Refusal> {
        let (kernel, active) = (self.kernel()?, self.active()?);
        Ok(Reply::bare(active.ceremonies.restart_verify(&kernel).await?))
    }
}

impl Serve<ReadBackup> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<BackupOutput>, Refusal> {
        Ok(Reply::data(self.active()?.ceremonies.backup().await?))
    }
}

impl Serve<DeleteBackup> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.ceremonies.delete_backup().await?;
        Ok(Reply::empty())
    }
}

impl Serve<ReadRecovery> for Sys {
    async fn serve(&self, _: Cx<'_>, _: RecoveryInput) -> Result<Reply<Nothing>, Refusal> {
        Err(no_recovery_keys())
    }
}

impl Serve<WriteRecovery> for Sys {
    async fn serve(&self, _: Cx<'_>, _: RecoveryInput) -> Result<Reply<Nothing>, Refusal> {
        Err(no_recovery_keys())
    }
}

impl Serve<DeleteRecovery> for Sys {
    async fn serve(&self, _: Cx<'_>, _: RecoveryInput) -> Result<Reply<Nothing>, Refusal> {
        Err(no_recovery_keys())
    }
}

impl Serve<ReadRecoveryBackup> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        Err(no_recovery_keys())
    }
}

impl Serve<DeleteRecoveryBackup> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        Err(no_recovery_keys())
    }
}

fn no_recovery_keys() -> Refusal {
    Refusal::invalid("recovery rekeying not supported: this seal is of type shamir; use sys/rekey")
}
