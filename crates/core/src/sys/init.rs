//! `sys/init`: once in a cluster's life. Of several at once exactly one succeeds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_api::sys::init::{Init, InitInput, InitOutput, InitStatus, InitStatusOutput};
use coffre_api::{Nothing, Refusal, SecretField};
use coffre_barrier::{InitRefused, share_counts};
use coffre_engine::{Cx, Reply, Serve, storage};
use coffre_secret::SecretText;

use super::Sys;

impl Serve<InitStatus> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<InitStatusOutput>, Refusal> {
        let status = self.kernel()?.barrier().status().await.map_err(storage)?;
        Ok(Reply::bare(InitStatusOutput { initialized: status.initialized }))
    }
}

impl Serve<Init> for Sys {
    async fn serve(&self, _: Cx<'_>, input: InitInput) -> Result<Reply<InitOutput>, Refusal> {
        refuse_what_is_not_offered(&input)?;
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let (shares, threshold) = share_counts(count(input.secret_shares.0), count(input.secret_threshold.0))
            .map_err(|e| refused(&e))?;
        let kernel = self.kernel()?;
        let made = kernel.init(shares, threshold, None).await.map_err(|e| match e {
            InitRefused::Failed(error) => storage(error),
            other => refused(&other),
        })?;
        // EXPOSE: shown this once, to whoever initialises.
        let keys = made.shares.iter().map(|share| secret(hex::encode(share.expose()))).collect();
        let keys_base64 = made.shares.iter().map(|share| secret(STANDARD.encode(share.expose()))).collect();
        Ok(Reply::bare(InitOutput { keys, keys_base64, root_token: SecretField::new(made.root_token) }))
    }
}

fn secret(text: String) -> SecretField {
    SecretField::new(SecretText::new(text))
}

fn refused(error: &InitRefused) -> Refusal {
    Refusal::invalid(error.to_string())
}

fn refuse_what_is_not_offered(input: &InitInput) -> Result<(), Refusal> {
    if !input.pgp_keys.items().is_empty() || !input.root_token_pgp_key.is_empty() {
        return Err(Refusal::invalid(
            "PGP keys are not offered: initialise without them and encrypt the shares yourself",
        ));
    }
    let recovery = input.recovery_shares.0 != 0 || input.recovery_threshold.0 != 0;
    if recovery || !input.recovery_pgp_keys.items().is_empty() {
        return Err(Refusal::invalid("recovery parameters are for auto-unseal; this seal is of type shamir"));
    }
    Ok(())
}
