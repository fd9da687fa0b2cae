//! Making tokens. The record, the accessor and the place below the parent land in one transaction, so a crash leaves
//! either a whole token or none; an immortal token without its index cannot arise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::ids;
use coffre_api::Refusal;
use coffre_barrier::ViewBatch;
use coffre_engine::storage;
use coffre_secret::{SecretText, SecretVec};

use super::find::MOST_ANCESTORS;
use super::record::{AccessorRecord, TokenKey, TokenRecord};
use super::store::{LiveToken, TokenStore};
use super::{SERVICE_PREFIX, TOKEN_LEN};
use crate::identity::Joining;
use crate::keys::KernelKey;
use crate::stored;

/// A token to be made; everything is decided already.
#[derive(Debug, Default)]
pub struct NewToken {
    /// The token's text, if the caller chose it.
    pub id: Option<SecretText>,
    /// The token that makes it; `None` for orphans.
    pub parent: Option<TokenKey>,
    /// Sorted, each once.
    pub policies: Vec<String>,
    /// The path that makes it.
    pub path: String,
    /// The accessor of the mount that makes it.
    pub mount: String,
    /// The name under which the login method knew the caller.
    pub alias: String,
    /// What the login method wants to see again at a renewal.
    pub facts: BTreeMap<String, String>,
    /// The token role, if one was used.
    pub role: String,
    /// Who stands behind it; empty for nobody known.
    pub entity: String,
    /// What is written about that entity together with the token.
    pub joining: Joining,
    /// For people.
    pub display_name: String,
    /// Facts about the caller.
    pub meta: BTreeMap<String, String>,
    /// From now; zero is for ever.
    pub ttl: Duration,
    /// The role's longest life.
    pub max_ttl: Duration,
    /// Bound that nothing extends.
    pub explicit_max_ttl: Duration,
    /// Renewal resets to this.
    pub period: Duration,
    /// 0 is unlimited.
    pub num_uses: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Networks from which it may be used.
    pub bound_cidrs: Vec<String>,
    /// Make a batch token: not stored. It has no id of its own choosing, no period, no uses, no explicit maximum.
    pub batch: bool,
    /// What it wraps.
    pub wrapped: Option<SecretVec>,
}

/// A token that was made.
pub struct Created {
    /// The token, shown this once.
    pub token: SecretText,
    /// What it became.
    pub live: Arc<LiveToken>,
}

impl TokenStore {
    /// Makes a token: its record, its accessor and its place below its parent land in one transaction.
    pub async fn create(&self, mut new: NewToken) -> Result<Created, Refusal> {
        if let Some(parent) = new.parent {
            self.check_depth(parent).await?;
        }
        if new.batch {
            // Nothing is stored of the token, but what its login learned of the entity is.
            self.join(std::mem::take(&mut new.joining)).await?;
            return self.create_batch(&new);
        }
        // A child is made under its parent's lock, so that no child is made of a parent that is being revoked.
        let _held = match new.parent {
            Some(parent) => {
                let held = self.locks.lock(&parent.hex()).await;
                let record = self.record(parent).await?;
                if record.is_none_or(|record| record.revoked) {
                    return Err(Refusal::denied());
                }
                Some(held)
            }
            None => None,
        };
        let token = self.draw(new.id.as_ref())?;
        // EXPOSE: hashed into the token's name.
        let key = self.key_of(token.expose());
        let record = self.record_of(&new)?;
        let mut batch = self.new_token_batch(key, &record)?;
        if let Some(parent) = new.parent {
            batch = batch.put(KernelKey::Child(&parent.hex(), &key.hex()).to_string(), Vec::new());
        }
        if let Some(wrapped) = new.wrapped {
            batch = batch.put(KernelKey::Wrap(&key.hex()).to_string(), wrapped);
        }
        let done = self.root.transact(batch.and(new.joining.batch)).await;
        if new.joining.stale {
            self.identity.changed();
        }
        done.map_err(|e| match e {
            coffre_barrier::BarrierError::Exists(_) => {
                Refusal::invalid("cannot create a token with a duplicate ID")
            }
            e => storage(e),
        })?;
        self.schedule(key, record.end());
        Ok(Created { token, live: self.live_of(key, record)? })
    }

    async fn join(&self, joining: Joining) -> Result<(), Refusal> {
        if joining.batch.is_empty() {
            return Ok(());
        }
        let done = self.root.transact(joining.batch).await;
        if joining.stale {
            self.identity.changed();
        }
        done.map_err(storage)
    }

    async fn check_depth(&self, parent: TokenKey) -> Result<(), Refusal> {
        let Some(live) = self.find(parent).await? else { return Ok(()) };
        if self.ancestors(&live).await? + 1 >= MOST_ANCESTORS {
            return Err(Refusal::invalid(format!(
                "tokens are made at most {MOST_ANCESTORS} deep below each other: make an orphan"
            )));
        }
        Ok(())
    }

    fn draw(&self, chosen: Option<&SecretText>) -> Result<SecretText, Refusal> {
        match chosen {
            Some(chosen) => Ok(chosen.duplicate()),
            None => draw_token(&*self.entropy),
        }
    }

    pub(super) fn record_of(&self, new: &NewToken) -> Result<TokenRecord, Refusal> {
        let now = self.clock.wall();
        Ok(TokenRecord {
            accessor: ids::base62(&*self.entropy, TOKEN_LEN).map_err(Refusal::bug)?,
            parent: new.parent.map(TokenKey::hex),
            policies: new.policies.clone(),
            path: new.path.clone(),
            mount: new.mount.clone(),
            alias: new.alias.clone(),
            facts: new.facts.clone(),
            role: new.role.clone(),
            entity: new.entity.clone(),
            display_name: new.display_name.clone(),
            meta: new.meta.clone(),
            created: now.nanos(),
            ttl: whole_secs(new.ttl),
            expires: if new.ttl.is_zero() { 0 } else { now.plus(new.ttl).nanos() },
            max_ttl: whole_secs(new.max_ttl),
            explicit_max_ttl: whole_secs(new.explicit_max_ttl),
            period: whole_secs(new.period),
            num_uses: i64::try_from(new.num_uses).unwrap_or(i64::MAX),
            renewable: new.renewable && !new.ttl.is_zero(),
            bound_cidrs: new.bound_cidrs.clone(),
            space: ids::hex(&*self.entropy, 16).map_err(Refusal::bug)?,
            wrapping: new.wrapped.is_some(),
            ..TokenRecord::default()
        })
    }

    fn new_token_batch(&self, key: TokenKey, record: &TokenRecord) -> Result<ViewBatch, Refusal> {
        let accessor = AccessorRecord { accessor: record.accessor.clone(), token: key.hex() };
        let path = KernelKey::Token(&key.hex()).to_string();
        Ok(ViewBatch::new().expect_absent(path.clone()).put(path, stored::bytes(record)?).put(
            KernelKey::Accessor(&self.accessor_key(&record.accessor)).to_string(),
            stored::bytes(&accessor)?,
        ))
    }
}

/// Rounded up: 0 stands for "none" in records, and half a second is not none.
pub(crate) const fn whole_secs(duration: Duration) -> u64 {
    duration.as_secs() + if duration.subsec_nanos() > 0 { 1 } else { 0 }
}

/// A fresh service token.
pub(crate) fn draw_token(entropy: &dyn coffre_ambient::Entropy) -> Result<SecretText, Refusal> {
    let tail = SecretText::new(ids::base62(entropy, TOKEN_LEN).map_err(Refusal::bug)?);
    let mut token = String::with_capacity(SERVICE_PREFIX.len() + TOKEN_LEN);
    token.push_str(SERVICE_PREFIX);
    // EXPOSE: put behind its prefix; both texts are wiped.
    token.push_str(tail.expose());
    Ok(SecretText::new(token))
}
