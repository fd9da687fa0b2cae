//! Quotas, asked before anything else is done for a request.

use std::net::IpAddr;
use std::sync::Arc;

use coffre_ambient::ids;
use coffre_api::{Access, Op, Refusal, VaultPath};
use coffre_audit::{About, Released, release_sealed};
use coffre_engine::Resolved;
use coffre_policy::Existence;

use crate::active::Active;
use crate::incoming::Incoming;
use crate::kernel::Kernel;
use crate::pipeline::{Unrouted, facts};
use crate::quotas::Admission;

impl Kernel {
    /// Asks the rate limits, as soon as path and client are known: before the body is read, before the token is looked
    /// up. While sealed there are none.
    pub fn admit(&self, path: &VaultPath, peer: IpAddr) -> Admission {
        let Some(active) = self.active() else { return Admission::default() };
        if active.operations.quotas.is_idle() {
            return Admission::default();
        }
        let router = active.mounts.router();
        let mount = router.find(path).map(|mount| mount.facts());
        let below = mount.and_then(|mount| Some((mount.accessor.as_str(), path.below(&mount.path)?)));
        active.operations.quotas.admit(path.as_str(), below, peer, self.clock().boot())
    }

    /// Records a request that [`Kernel::admit`] refused, and its refusal. The token is not looked up.
    pub async fn refuse_unheard(self: &Arc<Self>, mut incoming: Incoming, refusal: Refusal) -> Released {
        // Without an unsealed barrier there are no limits, and nothing to record to.
        let (Ok(id), Ok(_guard)) = (ids::uuid(&**self.entropy()), self.barrier().open()) else {
            return release_sealed(Access::Token, Err(Refusal::sealed()));
        };
        let around = self.surroundings(id, &mut incoming);
        let subject = Unrouted { op: incoming.op, path: incoming.path.clone(), wrap_ttl: None };
        let about = About::subject(&subject, Existence::Unknown);
        let facts = facts(&incoming, &around);
        self.broker().release_refused(facts, about, None, &incoming.raw, refusal).await
    }

    /// Asks the limit of the role that a login names.
    pub(crate) fn admit_role(
        &self,
        active: &Active,
        resolved: &Resolved,
        incoming: &Incoming,
    ) -> Result<(), Refusal> {
        let mount = resolved.mount().facts();
        let Some(peer) = incoming.peer.filter(|_| active.operations.quotas.has_roles(&mount.accessor)) else {
            return Ok(());
        };
        let is_login = incoming.op == Op::Write
            && incoming.path.below(&mount.path).is_some_and(|rest| rest.split('/').next() == Some("login"));
        let role = incoming.raw.pairs().find(|(name, _)| *name == "role").filter(|_| is_login);
        let role: Option<String> = role.and_then(|(_, value)| serde_json::from_str(value.get()).ok());
        let Some(role) = role else { return Ok(()) };
        active.operations.quotas.admit_role(&mount.accessor, &role, peer.ip(), self.clock().boot())
    }
}
