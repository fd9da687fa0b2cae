//! `sys/seal-status`, `sys/unseal`, `sys/seal`.

use coffre_api::sys::seal::{Seal, SealStatus, SealStatusOutput, Unseal, UnsealInput};
use coffre_api::{Nothing, Refusal};
use coffre_barrier::SealStatus as State;
use coffre_engine::{Cx, Reply, Serve, storage};

use super::{API_VERSION, Sys};
use crate::ceremonies::share_refused;
use crate::kernel::{Kernel, UnsealFailed};

impl Serve<SealStatus> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<SealStatusOutput>, Refusal> {
        let kernel = self.kernel()?;
        let status = kernel.barrier().status().await.map_err(storage)?;
        Ok(Reply::bare(output(&kernel, &status)))
    }
}

impl Serve<Unseal> for Sys {
    async fn serve(&self, _: Cx<'_>, input: UnsealInput) -> Result<Reply<SealStatusOutput>, Refusal> {
        let kernel = self.kernel()?;
        if input.migrate.0 {
            return Err(Refusal::invalid(
                "there is no seal migration: this server has one kind of seal, shamir",
            ));
        }
        if input.reset.0 {
            kernel.barrier().reset_unseal();
            let status = kernel.barrier().status().await.map_err(storage)?;
            return Ok(Reply::bare(output(&kernel, &status)));
        }
        let Some(key) = input.key.filter(|key| !key.is_empty()) else {
            return Err(Refusal::invalid(
                "'key' must be specified in request body as JSON, or 'reset' set to true",
            ));
        };
        // EXPOSE: decoded by the barrier's ceremony, which wipes what it keeps.
        let status = kernel.submit_share(key.expose().as_bytes()).await.map_err(refused)?;
        Ok(Reply::bare(output(&kernel, &status)))
    }
}

impl Serve<Seal> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        // The answer must be recorded first, and this very request keeps the barrier open.
        self.kernel()?.request_seal();
        Ok(Reply::empty())
    }
}

fn refused(failed: UnsealFailed) -> Refusal {
    match failed {
        UnsealFailed::Open(refusal) => refusal,
        UnsealFailed::Refused(refused) => share_refused(refused),
    }
}

fn output(kernel: &Kernel, status: &State) -> SealStatusOutput {
    SealStatusOutput {
        r#type: "shamir".into(),
        initialized: status.initialized,
        // Until the tables are read the server does not serve yet.
        sealed: status.sealed || kernel.active().is_none(),
        t: status.threshold.into(),
        n: status.shares.into(),
        progress: status.progress.into(),
        nonce: status.nonce.clone(),
        version: API_VERSION.into(),
        build_date: String::new(),
        migration: false,
        recovery_seal: false,
        storage_type: kernel.settings().storage_type.into(),
        cluster_name: status.cluster_name.clone(),
        cluster_id: status.cluster_id.clone(),
    }
}
