//! A login finds its entity, or makes it; the caller makes the token in the same transaction.

use std::collections::BTreeSet;

use coffre_api::Refusal;
use coffre_barrier::ViewBatch;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

use super::members::{join, leave};
use super::model::{AliasRecord, EntityRecord, Facts, Member, Named};
use super::rules;
use super::store::{IdentityStore, put};
use crate::keys::KernelKey;

/// Who logged in, as the method tells it.
#[derive(Debug, Default)]
pub(crate) struct LoginName<'a> {
    /// Accessor of the method's mount.
    pub(crate) mount: &'a str,
    /// The name within the mount.
    pub(crate) name: &'a str,
    /// What is kept with the alias, for templates.
    pub(crate) metadata: Option<&'a Facts>,
    /// The groups that the method knows the caller to be in.
    pub(crate) groups: &'a [String],
}

/// What must land together with the token.
#[derive(Debug, Default)]
pub struct Joining {
    /// Writes to the root view.
    pub(crate) batch: ViewBatch,
    /// Whether somebody may already know the entity otherwise than it will be.
    pub(crate) stale: bool,
}

/// A login's entity. Until it is dropped, nobody changes who the alias belongs to: keep it until the token is made.
pub(crate) struct Bound {
    entity: String,
    joining: Joining,
    held: Held,
}

/// Keeps an alias with its entity.
pub(crate) type Held = Option<(OwnedRwLockReadGuard<()>, OwnedRwLockWriteGuard<()>)>;

impl Bound {
    /// The entity, what lands with the token, and what is to be kept until then.
    pub(crate) fn into_parts(self) -> (String, Joining, Held) {
        (self.entity, self.joining, self.held)
    }
}

impl IdentityStore {
    /// The entity of a login. A name that nobody has yet gets a new one, of which the caller stores the records with the
    /// token. A disabled entity does not log in.
    pub(crate) async fn bind(&self, login: &LoginName<'_>) -> Result<Bound, Refusal> {
        rules::alias_name(login.name)?;
        let gate = std::sync::Arc::clone(&self.gate).read_owned().await;
        let turn = self.logins.lock(&format!("{}/{}", login.mount, login.name)).await;
        let known = match self.id_of(Named::Alias(login.mount), login.name).await? {
            Some(id) => self.alias(&id).await?,
            None => None,
        };
        let (entity, mut joining) = match known {
            Some(alias) => self.known_login(login, alias).await?,
            None => self.first_login(login)?,
        };
        joining = self.follow_groups(login, &entity, joining).await?;
        Ok(Bound { entity, joining, held: Some((gate, turn)) })
    }

    async fn known_login(
        &self,
        login: &LoginName<'_>,
        mut alias: AliasRecord,
    ) -> Result<(String, Joining), Refusal> {
        let entity = self.entity(&alias.entity).await?;
        let entity = entity.ok_or_else(|| Refusal::bug("an alias names an entity that is not there"))?;
        if entity.disabled {
            return Err(Refusal::denied());
        }
        let mut joining = Joining::default();
        let told = rules::fitting(login.metadata.unwrap_or(&Facts::new()));
        if alias.metadata != told {
            alias.metadata = told;
            alias.updated = self.now();
            joining.batch = put(joining.batch, KernelKey::IdentityAlias(&alias.id), &alias)?;
            joining.stale = true;
        }
        Ok((alias.entity, joining))
    }

    fn first_login(&self, login: &LoginName<'_>) -> Result<(String, Joining), Refusal> {
        let now = self.now();
        let alias = AliasRecord {
            id: self.new_id()?,
            entity: self.new_id()?,
            mount: login.mount.to_owned(),
            name: login.name.to_owned(),
            metadata: rules::fitting(login.metadata.unwrap_or(&Facts::new())),
            created: now,
            updated: now,
            ..AliasRecord::default()
        };
        let entity = EntityRecord {
            id: alias.entity.clone(),
            name: self.new_name("entity")?,
            aliases: vec![alias.id.clone()],
            created: now,
            updated: now,
            ..EntityRecord::default()
        };
        let batch = self.put_new_entity(ViewBatch::new(), &entity)?;
        let batch = self.put_new_alias(batch, &alias)?;
        Ok((entity.id, Joining { batch, stale: false }))
    }

    /// External groups of this mount follow what the method told.
    async fn follow_groups(
        &self,
        login: &LoginName<'_>,
        entity: &str,
        mut joining: Joining,
    ) -> Result<Joining, Refusal> {
        let mut wanted = BTreeSet::new();
        for name in login.groups {
            wanted.extend(self.id_of_group_alias(login.mount, name).await?);
        }
        let mut have = BTreeSet::new();
        for id in self.groups_with(entity).await? {
            let group = self.group(&id).await?;
            let follows = group.and_then(|group| group.alias).is_some_and(|alias| alias.mount == login.mount);
            have.extend(follows.then_some(id));
        }
        for group in have.difference(&wanted) {
            joining.batch = leave(joining.batch, group, Member::Entity, entity);
            joining.stale = true;
        }
        for group in wanted.difference(&have) {
            joining.batch = join(joining.batch, group, Member::Entity, entity);
            joining.stale = true;
        }
        Ok(joining)
    }

    async fn id_of_group_alias(&self, mount: &str, name: &str) -> Result<Option<String>, Refusal> {
        Ok(self.group_by_alias(mount, name).await?.map(|group| group.id))
    }
}
