//! What operators set besides mounts, policies and audit devices.

use coffre_api::Refusal;
use coffre_barrier::View;

use crate::passwords::PasswordPolicies;
use crate::quotas::Quotas;

/// What operators set besides mounts, policies and audit devices; read at unseal.
pub(crate) struct Operations {
    /// How generated passwords look.
    pub(crate) passwords: PasswordPolicies,
    /// How many requests a client may send.
    pub(crate) quotas: Quotas,
}

impl Operations {
    /// Reads all of it.
    pub(crate) async fn load(root: View) -> Result<Self, Refusal> {
        let quotas = Quotas::load(root.clone()).await?;
        Ok(Self { passwords: PasswordPolicies::new(root), quotas })
    }
}
