//! What exists only while unsealed, and the order in which it is read.
//!
//! Order matters: the latest time before anything that ends, policies before tokens (a token's rights are compiled from
//! them), mounts before tokens (private storage lies in `cubbyhole/`), audit devices before anything that could be asked,
//! unfinished revocations before the first request. Neither tokens nor leases are read: each is refused by its own end, and what their ends leave behind is
//! the background's work.

use std::sync::{Arc, Weak};

use coffre_api::Refusal;
use coffre_barrier::Unsealed;
use coffre_engine::Meta;

use crate::audit_devices::AuditDevices;
use crate::ceremonies::Ceremonies;
use crate::header_rules::HeaderRules;
use crate::high_water::HighWater;
use crate::identity::IdentityStore;
use crate::kernel::Kernel;
use crate::keys::engine_prefix;
use crate::leases::Leases;
use crate::lockout::Lockout;
use crate::mounts::MountTable;
use crate::operations::Operations;
use crate::policies::PolicyStore;
use crate::rotation::Rotation;
use crate::tokens::TokenStore;

/// What exists only while unsealed. Dropped at seal; views that somebody still holds fail from then on.
pub struct Active {
    /// The policies.
    pub policies: Arc<PolicyStore>,
    /// The tokens.
    pub tokens: Arc<TokenStore>,
    /// Entities, aliases and groups.
    pub identity: Arc<IdentityStore>,
    /// The mounts.
    pub(crate) mounts: Arc<MountTable>,
    /// Failed logins and locked names.
    pub(crate) lockout: Lockout,
    /// The leases.
    pub(crate) leases: Arc<Leases>,
    /// The audit devices' table.
    pub(crate) audit: AuditDevices,
    /// Which headers are recorded.
    pub(crate) header_rules: HeaderRules,
    /// What operators set besides.
    pub(crate) operations: Operations,
    /// What holders of key shares have begun together.
    pub(crate) ceremonies: Ceremonies,
    /// When the encryption key is replaced by itself.
    pub(crate) rotation: Rotation,
}

impl Active {
    /// Every row of every mount, with the mount's path: for lists of routes and the tests that sweep them.
    pub fn rows(&self) -> Vec<(String, &'static Meta)> {
        let router = self.mounts.router();
        let mounts = router.entries().filter_map(|entry| router.mount(&entry.path));
        mounts
            .flat_map(|mount| {
                mount.engine().metas().into_iter().map(|meta| (mount.facts().path.clone(), meta))
            })
            .collect()
    }

    /// Reads the tables and opens the audit devices.
    pub(crate) async fn load(kernel: &Arc<Kernel>, unsealed: &Unsealed) -> Result<Self, Refusal> {
        let root = unsealed.view("");
        let policies = Arc::new(PolicyStore::load(root.clone()).await?);
        let weak: Weak<Kernel> = Arc::downgrade(kernel);
        let settings = kernel.settings().clone();
        let entropy = Arc::clone(kernel.entropy());
        let mounts = MountTable::load(root.clone(), weak, settings, Arc::clone(&entropy)).await?;
        let mounts = Arc::new(mounts);
        let cubbyhole =
            mounts.router().entry("cubbyhole/").map(|entry| root.sub(&engine_prefix(&entry.uuid)));
        let cubbyhole =
            cubbyhole.ok_or_else(|| Refusal::bug("the mount cubbyhole/ is missing from storage"))?;
        let clock = Arc::clone(kernel.clock());
        let water = HighWater::load(root.clone(), Arc::clone(&clock)).await?;
        kernel.not_before(water.mark());
        let lockout = Lockout::load(unsealed, Arc::clone(&clock)).await?;
        let identity = Arc::new(IdentityStore::new(unsealed, clock, Arc::clone(&entropy))?);
        let (known, who) = (Arc::clone(&policies), Arc::clone(&identity));
        let leases = Arc::new(kernel.leases_of(root.clone(), Arc::clone(&mounts)));
        let tokens = TokenStore::new(unsealed, cubbyhole, known, who, Arc::clone(&leases), water, entropy)?;
        let audit =
            AuditDevices::open(root.clone(), unsealed, Arc::clone(kernel.broker()), kernel.settings())
                .await?;
        audit.enable_declared(&kernel.declared_audit(), &**kernel.entropy()).await?;
        let header_rules = HeaderRules::load(root.clone()).await?;
        let ceremonies = Ceremonies::new(root.clone());
        let rotation = Rotation::load(root.clone(), unsealed).await?;
        let operations = Operations::load(root, kernel.clock().wall()).await?;
        tokens.finish_revocations().await?;
        let tokens = Arc::new(tokens);
        Ok(Self {
            rotation,
            ceremonies,
            policies,
            tokens,
            identity,
            mounts,
            lockout,
            leases,
            audit,
            header_rules,
            operations,
        })
    }
}
