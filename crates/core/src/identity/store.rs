//! Finding and keeping the records; what a change must do beside its own records.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coffre_ambient::{Clock, Entropy, ids};
use coffre_api::Refusal;
use coffre_barrier::{Unsealed, View, ViewBatch};
use coffre_crypto::mac::Mac;
use coffre_engine::{Locks, storage};
use serde::Serialize;
use tokio::sync::{RwLock, RwLockWriteGuard};

use super::model::{AliasRecord, EntityRecord, GroupRecord, NameRecord, Named};
use super::standing::Standing;
use crate::keys::{KernelKey, label};
use crate::stored;

/// Entities whose standing stays in memory; beyond, all are read again when they are needed.
pub(crate) const MOST_STANDINGS: usize = 10_000;

/// Entities, aliases and groups of an unsealed cluster. Storage is the truth.
pub struct IdentityStore {
    /// The kernel's whole storage: a login's records land with its token.
    pub(super) root: View,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Logins share it; changes by administrators take it alone.
    pub(super) gate: Arc<RwLock<()>>,
    /// Logins of one alias, one at a time.
    pub(super) logins: Locks,
    /// By entity, each with the epoch in which it was read.
    pub(super) standings: papaya::HashMap<String, (u64, Option<Arc<Standing>>)>,
    epoch: AtomicU64,
    names: Mac,
}

impl IdentityStore {
    /// The store of an unsealed cluster. Reads nothing.
    pub(crate) fn new(
        unsealed: &Unsealed,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Refusal> {
        let key = unsealed.derive(label::IDENTITY_NAME).map_err(|_| Refusal::sealed())?;
        Ok(Self {
            root: unsealed.view(""),
            clock,
            entropy,
            gate: Arc::default(),
            logins: Locks::new(),
            standings: papaya::HashMap::new(),
            epoch: AtomicU64::new(0),
            names: Mac::new(&key),
        })
    }

    /// Counts the changes; what was derived in another epoch is stale.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Keeps everybody else from changing anything.
    pub(super) async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    /// Makes a change durable, and everything derived before it stale.
    pub(super) async fn commit(&self, batch: ViewBatch) -> Result<(), Refusal> {
        let done = self.root.transact(batch).await.map_err(storage);
        // Also after a failure, whose outcome may be unknown.
        self.changed();
        done
    }

    /// Makes everything derived before stale.
    pub(crate) fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// For `created` and `updated`.
    pub(super) fn now(&self) -> u64 {
        self.clock.wall().nanos()
    }

    /// A random UUID.
    pub(super) fn new_id(&self) -> Result<String, Refusal> {
        ids::uuid(&*self.entropy).map_err(Refusal::bug)
    }

    /// `entity_1a2b3c4d`: what Vault calls what nobody named.
    pub(super) fn new_name(&self, kind: &str) -> Result<String, Refusal> {
        Ok(format!("{kind}_{}", ids::hex(&*self.entropy, 4).map_err(Refusal::bug)?))
    }

    /// The entity with this id; entities that were merged into another lead to that one.
    pub(crate) async fn entity_or_heir(&self, id: &str) -> Result<Option<EntityRecord>, Refusal> {
        if let Some(entity) = self.entity(id).await? {
            return Ok(Some(entity));
        }
        let heir: Option<NameRecord> = self.read(KernelKey::IdentityMerged(id)).await?;
        match heir {
            Some(heir) => self.entity(&heir.id).await,
            None => Ok(None),
        }
    }

    /// The entity with exactly this id.
    pub(crate) async fn entity(&self, id: &str) -> Result<Option<EntityRecord>, Refusal> {
        if !is_id(id) {
            return Ok(None);
        }
        self.read(KernelKey::IdentityEntity(id)).await
    }

    /// The alias with this id.
    pub(crate) async fn alias(&self, id: &str) -> Result<Option<AliasRecord>, Refusal> {
        if !is_id(id) {
            return Ok(None);
        }
        self.read(KernelKey::IdentityAlias(id)).await
    }

    /// The group with this id.
    pub(crate) async fn group(&self, id: &str) -> Result<Option<GroupRecord>, Refusal> {
        if !is_id(id) {
            return Ok(None);
        }
        self.read(KernelKey::IdentityGroup(id)).await
    }

    /// The id behind a name.
    pub(crate) async fn id_of(&self, kind: Named<'_>, name: &str) -> Result<Option<String>, Refusal> {
        let mac = self.name_mac(kind, name);
        let found: Option<NameRecord> = self.read(KernelKey::IdentityName(&mac)).await?;
        Ok(found.map(|record| record.id))
    }

    /// The entity of this name, in this very spelling.
    pub(crate) async fn entity_by_name(&self, name: &str) -> Result<Option<EntityRecord>, Refusal> {
        let Some(id) = self.id_of(Named::Entity, name).await? else { return Ok(None) };
        Ok(self.entity(&id).await?.filter(|entity| entity.name == name))
    }

    /// The group of this name, in this very spelling.
    pub(crate) async fn group_by_name(&self, name: &str) -> Result<Option<GroupRecord>, Refusal> {
        let Some(id) = self.id_of(Named::Group, name).await? else { return Ok(None) };
        Ok(self.group(&id).await?.filter(|group| group.name == name))
    }

    /// The entity that a login method knows by this name.
    pub(crate) async fn entity_by_alias(
        &self,
        mount: &str,
        name: &str,
    ) -> Result<Option<EntityRecord>, Refusal> {
        let Some(id) = self.id_of(Named::Alias(mount), name).await? else { return Ok(None) };
        match self.alias(&id).await? {
            Some(alias) => self.entity(&alias.entity).await,
            None => Ok(None),
        }
    }

    /// The group that a login method knows by this name.
    pub(crate) async fn group_by_alias(
        &self,
        mount: &str,
        name: &str,
    ) -> Result<Option<GroupRecord>, Refusal> {
        match self.id_of(Named::GroupAlias(mount), name).await? {
            Some(id) => self.group_of_alias(&id).await,
            None => Ok(None),
        }
    }

    /// The group that has the alias with this id.
    pub(crate) async fn group_of_alias(&self, alias: &str) -> Result<Option<GroupRecord>, Refusal> {
        if !is_id(alias) {
            return Ok(None);
        }
        let found: Option<NameRecord> = self.read(KernelKey::IdentityGroupAlias(alias)).await?;
        match found {
            Some(record) => self.group(&record.id).await,
            None => Ok(None),
        }
    }

    /// Every id below a prefix of [`crate::keys`].
    pub(crate) async fn ids(&self, prefix: &str) -> Result<Vec<String>, Refusal> {
        stored::all_below(&self.root, prefix).await
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, key: KernelKey<'_>) -> Result<Option<T>, Refusal> {
        stored::load(&self.root, &key.to_string()).await
    }

    /// Writes the index from a name to an id.
    pub(super) fn put_name(
        &self,
        batch: ViewBatch,
        kind: Named<'_>,
        name: &str,
        id: &str,
    ) -> Result<ViewBatch, Refusal> {
        put(batch, KernelKey::IdentityName(&self.name_mac(kind, name)), &NameRecord { id: id.to_owned() })
    }

    /// Removes the index of a name.
    pub(super) fn drop_name(&self, batch: ViewBatch, kind: Named<'_>, name: &str) -> ViewBatch {
        batch.delete(KernelKey::IdentityName(&self.name_mac(kind, name)).to_string())
    }

    fn name_mac(&self, kind: Named<'_>, name: &str) -> String {
        let (kind, scope, name) = kind.parts(name);
        self.names.hex(&[kind.as_bytes(), b"\0", scope.as_bytes(), b"\0", name.as_bytes()])
    }
}

/// Adds a record to a batch.
pub(super) fn put<T: Serialize>(
    batch: ViewBatch,
    key: KernelKey<'_>,
    record: &T,
) -> Result<ViewBatch, Refusal> {
    Ok(batch.put(key.to_string(), stored::bytes(record)?))
}

/// Ids that callers send become parts of storage keys: only what can be one of ours goes there.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
