//! What holders of key shares do together while the server is unsealed: splitting the key anew, making a root token.
//!
//! One ceremony of each kind at a time, so what a caller can make the server keep is bounded. Each has a nonce, and a
//! share for another one is refused. The state lives in [`crate::Active`]: a seal ends every ceremony.

mod cover;
mod generate_root;
mod rekey;

use coffre_api::{Kind, Refusal, SecretField};
use coffre_barrier::{BarrierError, UnsealRefused, View};
use coffre_engine::storage;
use coffre_secret::SecretText;
use tokio::sync::Mutex;

use cover::{Cover, otp_length};
pub(crate) use cover::{encrypt, pgp_key_of, pgp_keys, uncover};
use generate_root::RootAttempt;
use rekey::Rekey;
pub(crate) use rekey::Shown;

/// The ceremonies under way.
pub(crate) struct Ceremonies {
    rekey: Mutex<Option<Rekey>>,
    root: Mutex<Option<RootAttempt>>,
    records: View,
}

impl Ceremonies {
    /// None yet. `records` is the root view.
    pub(crate) fn new(records: View) -> Self {
        Self { rekey: Mutex::default(), root: Mutex::default(), records }
    }
}

/// A share as it came in a request.
pub(crate) fn given(key: Option<&SecretField>) -> Result<&SecretField, Refusal> {
    key.filter(|key| !key.is_empty())
        .ok_or_else(|| Refusal::invalid("'key' must specified in request body as JSON: give one key share"))
}

/// A share for another ceremony than the one under way is refused before it is looked at.
fn check_nonce(given: &str, expected: &str) -> Result<(), Refusal> {
    if given == expected {
        return Ok(());
    }
    Err(Refusal::invalid(if given.is_empty() {
        "the nonce of the operation must be given with each share: read the state to see it"
    } else {
        "incorrect nonce supplied: this share is meant for another operation; read the state to see the present nonce"
    }))
}

/// Why a share was not taken, as an answer.
pub(crate) fn share_refused(refused: UnsealRefused) -> Refusal {
    match refused {
        UnsealRefused::Failed(BarrierError::Sealed(_)) => Refusal::sealed(),
        UnsealRefused::Failed(error @ (BarrierError::Altered { .. } | BarrierError::Mixed)) => {
            tracing::error!(cause = %error, "the storage is not as this server left it");
            Refusal::new(Kind::Unavailable, error.to_string())
        }
        UnsealRefused::Failed(error) => storage(error),
        UnsealRefused::NotInitialised => {
            Refusal::new(Kind::Invalid, "server is not yet initialized: run operator init first")
        }
        other => Refusal::invalid(other.to_string()),
    }
}

fn secret(text: String) -> SecretField {
    SecretField::new(SecretText::new(text))
}
