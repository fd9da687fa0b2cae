//! `sys/init`: once in a cluster's life. Of several at once exactly one succeeds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_api::sys::init::{Init, InitInput, InitOutput, InitStatus, InitStatusOutput};
use coffre_api::{Nothing, Refusal, SecretField};
use coffre_barrier::{InitRefused, share_counts};
use coffre_engine::{Cx, Reply, Serve, storage};
use coffre_secret::SecretText;

use super::Sys;
use crate::ceremonies::{Shown, encrypt, pgp_key_of, pgp_keys};

impl Serve<InitStatus> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<InitStatusOutput>, Refusal> {
        let status = self.kernel()?.barrier().status().await.map_err(storage)?;
        Ok(Reply::bare(InitStatusOutput { initialized: status.initialized }))
    }
}

impl Serve<Init> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: InitInput) -> Result<Reply<InitOutput>, Refusal> {
        refuse_what_is_not_offered(&input)?;
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let (shares, threshold) = share_counts(count(input.secret_shares.0), count(input.secret_threshold.0))
            .map_err(|e| refused(&e))?;
        let keys = pgp_keys(input.pgp_keys.items(), shares, cx.now())?;
        let root_key = match input.root_token_pgp_key.as_str() {
            "" => None,
            text => Some(pgp_key_of(text, cx.now())?),
        };
        // What cannot be shown must not be made: the keys are tried before anything is stored.
        for key in keys.iter().chain(&root_key) {
            encrypt(key, b"a try", cx.entropy())?;
        }
        let kernel = self.kernel()?;
        let made = kernel.init(shares, threshold, None).await.map_err(|e| match e {
            InitRefused::Failed(error) => storage(error),
            other => refused(&other),
        })?;
        // Shown this once, to whoever initialises.
        let shown = Shown::of(&made.shares, &keys, cx.entropy())?;
        let root_token = match root_key {
            // EXPOSE: encrypted at once.
            Some(key) => {
                secret(STANDARD.encode(encrypt(&key, made.root_token.expose().as_bytes(), cx.entropy())?))
            }
            None => SecretField::new(made.root_token),
        };
        Ok(Reply::bare(InitOutput { keys: shown.hexadecimal, keys_base64: shown.base64, root_token }))
    }
}

fn secret(text: String) -> SecretField {
    SecretField::new(SecretText::new(text))
}

fn refused(error: &InitRefused) -> Refusal {
    Refusal::invalid(error.to_string())
}

fn refuse_what_is_not_offered(input: &InitInput) -> Result<(), Refusal> {
    let recovery = input.recovery_shares.0 != 0 || input.recovery_threshold.0 != 0;
    if recovery || !input.recovery_pgp_keys.items().is_empty() {
        return Err(Refusal::invalid("recovery parameters are for auto-unseal; this seal is of type shamir"));
    }
    Ok(())
}
