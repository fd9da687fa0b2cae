//! Keeping a lease before its answer leaves, or ending the credential at once.

use std::time::Duration;

use coffre_ambient::{Wall, ids};
use coffre_api::{Refusal, VaultPath};
use coffre_barrier::ViewBatch;
use coffre_engine::{LeaseBlock, LeaseGrant, Mount, storage};

use super::Leases;
use super::record::LeaseRecord;
use crate::keys::KernelKey;
use crate::tokens::{Bounds, TokenKey, TokenStore, lifetime, whole_secs};

/// Letters and digits at the end of a lease's id: 24 of 62 are 142 bits.
const TAIL: usize = 24;

/// Whom a lease belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    /// The stored token that it dies with.
    pub(crate) token: Option<TokenKey>,
    /// The end that nothing extends, for tokens that are not stored and so cannot end it.
    pub(crate) cap: Option<Wall>,
}

/// What an engine made, where, and for whom.
pub(crate) struct Made<'a> {
    pub(crate) grant: LeaseGrant,
    pub(crate) mount: &'a Mount,
    pub(crate) path: &'a VaultPath,
    pub(crate) owner: Owner,
}

impl Leases {
    /// Keeps what an engine made, and tells what the answer says of it, with a sentence if its life was cut. If that
    /// fails, the credential is revoked before the caller hears of it.
    pub(crate) async fn register(
        &self,
        made: Made<'_>,
        tokens: &TokenStore,
    ) -> Result<(LeaseBlock, Option<String>), Refusal> {
        let kept = match self.plan(&made) {
            Ok((id, record, warning)) => {
                let kept = self.keep(&id, &record, &made, tokens).await;
                kept.map(|()| {
                    let block = LeaseBlock { id, renewable: record.renewable, duration: record.ttl };
                    (block, warning)
                })
            }
            Err(refusal) => Err(refusal),
        };
        if kept.is_err() {
            self.undo(made).await;
        }
        kept
    }

    fn plan(&self, made: &Made<'_>) -> Result<(String, LeaseRecord, Option<String>), Refusal> {
        let (grant, facts) = (&made.grant, made.mount.facts());
        let now = self.clock.wall();
        let bounds = Bounds {
            default_ttl: facts.default_ttl,
            mount_max: facts.max_ttl,
            role_max: grant.max_ttl,
            ..Bounds::default()
        };
        let life = lifetime(bounds, grant.ttl, now, now)
            .map_err(|_| Refusal::invalid("the lifetimes of this lease leave no time"))?;
        let left = made.owner.cap.map_or(Duration::MAX, |cap| cap.since(now));
        let ttl = life.ttl.min(left);
        if ttl.is_zero() {
            return Err(Refusal::denied());
        }
        let (id, record) = self.lease_of(made, now, ttl)?;
        Ok((id, record, life.warnings.into_iter().next()))
    }

    /// The lease of this life, under a name of its own.
    fn lease_of(&self, made: &Made<'_>, now: Wall, ttl: Duration) -> Result<(String, LeaseRecord), Refusal> {
        let grant = &made.grant;
        let id = format!("{}/{}", made.path, ids::base62(&*self.entropy, TAIL).map_err(Refusal::bug)?);
        let record = LeaseRecord {
            mount: made.mount.facts().uuid.clone(),
            kind: grant.kind.to_owned(),
            facts: grant.facts.duplicate(),
            token: made.owner.token.map(TokenKey::hex),
            issued: now.nanos(),
            renewed: 0,
            expires: now.plus(ttl).nanos(),
            ttl: whole_secs(ttl),
            max_ttl: whole_secs(grant.max_ttl),
            cap: made.owner.cap.map_or(0, Wall::nanos),
            renewable: grant.renewable,
            due: self.due_after(ttl).nanos(),
            revoked: false,
            tries: 0,
            given_up: false,
            failure: None,
        };
        Ok((id, record))
    }

    /// The lease comes and the engine's intent goes, in one transaction, while the token cannot be revoked.
    async fn keep(
        &self,
        id: &str,
        record: &LeaseRecord,
        made: &Made<'_>,
        tokens: &TokenStore,
    ) -> Result<(), Refusal> {
        let Made { grant, mount, owner, .. } = made;
        if !mount.engine().leases(grant.kind) {
            return Err(Refusal::bug("an engine leased what its table of leases does not have"));
        }
        let _held = match owner.token {
            None if owner.cap.is_none() => return Err(Refusal::bug("a lease for nobody")),
            None => None,
            Some(token) => {
                let held = tokens.hold(token).await?.ok_or_else(Refusal::denied)?;
                if held.spent {
                    return Err(Refusal::invalid(LAST_USE));
                }
                Some(held)
            }
        };
        let mut batch = self.kept(ViewBatch::new(), id, record)?;
        if let (Some(intent), Some(view)) = (&grant.intent, mount.view()) {
            batch = batch.delete(view.full_path(intent));
        }
        let batch = batch.expect_absent(KernelKey::Lease(id).to_string());
        self.root.transact(batch).await.map_err(storage)
    }

    /// Ends a credential that could not be leased. If its engine cannot do that now, it becomes a lease of nobody that
    /// has ended already, which the background work brings to its end; if storage fails as well, the engine's intent is
    /// what remains.
    async fn undo(&self, made: Made<'_>) {
        let LeaseGrant { kind, facts, intent, .. } = &made.grant;
        let done = self.ask_to_revoke(made.mount, kind, facts).await;
        let result = match (&done, intent, made.mount.view()) {
            (Ok(()), None, _) | (Ok(()), _, None) => Ok(()),
            (Ok(()), Some(intent), Some(view)) => view.delete(intent).await.map_err(storage),
            (Err(_), ..) => self.keep_as_ended(&made).await,
        };
        if let Err(refusal) = result {
            tracing::error!(
                mount = made.mount.facts().path,
                cause = refusal.cause().map(tracing::field::display),
                "a credential that could not be leased is left to its engine's intents"
            );
        }
    }

    async fn keep_as_ended(&self, made: &Made<'_>) -> Result<(), Refusal> {
        // Whatever kept it from being leased, such as lifetimes that leave no time, must not keep it from being ended.
        let (id, mut record) = self.lease_of(made, self.clock.wall(), Duration::ZERO)?;
        (record.token, record.revoked, record.due, record.tries) = (None, true, 0, 1);
        let mut batch = self.kept(ViewBatch::new(), &id, &record)?;
        if let (Some(intent), Some(view)) = (&made.grant.intent, made.mount.view()) {
            batch = batch.delete(view.full_path(intent));
        }
        self.root.transact(batch).await.map_err(storage)
    }
}

/// Vault's own words.
const LAST_USE: &str =
    "Secret cannot be returned; token had one use left, so leased credentials were immediately revoked.";
