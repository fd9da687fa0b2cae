//! A new root token for holders of enough shares. It is made with the last share, and shown covered.
//!
//! States: *none* → *gathering* → *none*. What covers the token is chosen at the beginning; a one-time password that
//! the server draws is shown in that one answer and held in memory until the token is made, cancelled or sealed away.

use coffre_api::sys::generate_root::{GenerateRootInput, GenerateRootOutput};
use coffre_api::{Refusal, SecretField};
use coffre_barrier::Gathering;
use coffre_engine::storage;

use super::{Ceremonies, Cover, check_nonce, otp_length, share_refused};
use crate::active::Active;
use crate::kernel::Kernel;
use crate::tokens::{NewToken, draw_token};

/// The ceremony under way.
pub(super) struct RootAttempt {
    gathering: Gathering,
    cover: Cover,
}

impl Ceremonies {
    /// Where it stands.
    pub(crate) async fn root_status(&self, kernel: &Kernel) -> Result<GenerateRootOutput, Refusal> {
        let required = required(kernel).await?;
        Ok(status(self.root.lock().await.as_ref(), required))
    }

    /// Begins; only one at a time.
    pub(crate) async fn start_root(
        &self,
        kernel: &Kernel,
        input: GenerateRootInput,
    ) -> Result<GenerateRootOutput, Refusal> {
        let required = required(kernel).await?;
        let mut attempt = self.root.lock().await;
        if attempt.is_some() {
            return Err(Refusal::invalid(
                "root generation already in progress: finish it, or cancel it first",
            ));
        }
        let now = kernel.clock().wall();
        let (cover, otp) = Cover::choose(input.otp, &input.pgp_key, now, &**kernel.entropy())?;
        let gathering = Gathering::named(&**kernel.entropy()).map_err(Refusal::bug)?;
        let begun = attempt.insert(RootAttempt { gathering, cover });
        Ok(GenerateRootOutput { otp: otp.unwrap_or_default(), ..status(Some(begun), required) })
    }

    /// Gives it up.
    pub(crate) async fn cancel_root(&self) {
        *self.root.lock().await = None;
    }

    /// Takes a share; with the last one the token is made.
    pub(crate) async fn update_root(
        &self,
        kernel: &Kernel,
        active: &Active,
        nonce: &str,
        share: &SecretField,
    ) -> Result<GenerateRootOutput, Refusal> {
        let required = required(kernel).await?;
        let mut held = self.root.lock().await;
        let Some(attempt) = held.as_mut() else {
            return Err(Refusal::invalid(
                "no root generation in progress: begin with sys/generate-root/attempt",
            ));
        };
        check_nonce(nonce, attempt.gathering.nonce())?;
        // EXPOSE: decoded by the barrier, which wipes what it keeps.
        let share = share.expose().as_bytes();
        let holders =
            kernel.barrier().give_share(&mut attempt.gathering, share).await.map_err(share_refused)?;
        if holders.is_none() {
            return Ok(status(Some(attempt), required));
        }
        let Some(attempt) = held.take() else { return Err(Refusal::bug("the ceremony is gone")) };
        let token = draw_token(&**kernel.entropy())?;
        // Covered first: what cannot be shown is not made.
        let covered = attempt.cover.cover(&token, &**kernel.entropy())?;
        let made = NewToken {
            id: Some(token),
            policies: vec!["root".into()],
            path: "auth/token/root".into(),
            display_name: "root".into(),
            ..NewToken::default()
        };
        active.tokens.create(made).await?;
        let again = SecretField::new(coffre_secret::SecretText::from(covered.expose()));
        Ok(GenerateRootOutput {
            progress: required,
            complete: true,
            encoded_token: covered,
            encoded_root_token: again,
            ..status(Some(&attempt), required)
        })
    }
}

/// How many shares it takes: as many as unsealing.
async fn required(kernel: &Kernel) -> Result<u64, Refusal> {
    Ok(kernel.barrier().status().await.map_err(storage)?.threshold.into())
}

/// What a caller sees of it.
fn status(attempt: Option<&RootAttempt>, required: u64) -> GenerateRootOutput {
    let none =
        GenerateRootOutput { required, otp_length: otp_length() as u64, ..GenerateRootOutput::default() };
    let Some(attempt) = attempt else { return none };
    GenerateRootOutput {
        nonce: attempt.gathering.nonce().to_owned(),
        started: true,
        progress: attempt.gathering.progress().into(),
        pgp_fingerprint: attempt.cover.fingerprint(),
        ..none
    }
}
