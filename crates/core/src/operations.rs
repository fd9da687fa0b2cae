//! What operators set besides mounts, policies and audit devices.

use coffre_ambient::Wall;
use coffre_api::Refusal;
use coffre_barrier::View;

use crate::front::Front;
use crate::passwords::PasswordPolicies;
use crate::quotas::Quotas;
use crate::sys::API_VERSION;
use crate::versions::Versions;

/// What operators set besides mounts, policies and audit devices; read at unseal.
pub(crate) struct Operations {
    /// How generated passwords look.
    pub(crate) passwords: PasswordPolicies,
    /// How many requests a client may send.
    pub(crate) quotas: Quotas,
    /// Which web pages may call.
    pub(crate) front: Front,
    /// Which versions ran on this storage.
    pub(crate) versions: Versions,
}

impl Operations {
    /// Reads all of it.
    pub(crate) async fn load(root: View, now: Wall) -> Result<Self, Refusal> {
        let quotas = Quotas::load(root.clone()).await?;
        let front = Front::load(root.clone()).await?;
        let versions = Versions::note(root.clone(), API_VERSION, now).await;
        Ok(Self { passwords: PasswordPolicies::new(root), quotas, front, versions })
    }
}
