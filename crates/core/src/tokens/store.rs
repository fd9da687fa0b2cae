//! The living tokens in memory over the records in storage.
//!
//! Lock rule: whoever changes a token's record, or puts it into memory, holds the lock of its key. A reader that finds
//! the token in memory takes no lock; a revocation removes the entry under the lock before its mark is written, and a
//! reader that missed reads under the same lock, so a stale entry cannot come back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::{Clock, Deadline, Entropy, Wall};
use coffre_api::Refusal;
use coffre_barrier::{Unsealed, View, ViewBatch};
use coffre_crypto::mac::Mac;
use coffre_engine::{Locks, storage};
use coffre_policy::TokenCaller;
use ipnet::IpNet;

use super::expire::Restoring;
use super::person::Person;
use super::record::{AccessorRecord, SPENT, TokenKey, TokenRecord};
use crate::identity::IdentityStore;
use crate::keys::{self, KernelKey, label};
use crate::leases::Leases;
use crate::policies::PolicyStore;
use crate::stored;

/// The living tokens: storage is the truth, and what was looked up stays in memory until it changes.
pub struct TokenStore {
    pub(crate) root: View,
    pub(super) cubbyhole: View,
    pub(super) policies: Arc<PolicyStore>,
    pub(super) identity: Arc<IdentityStore>,
    pub(super) leases: Arc<Leases>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) locks: Locks,
    /// Ends, soonest first.
    pub(super) ends: Mutex<BTreeSet<(Wall, TokenKey)>>,
    pub(super) restoring: Mutex<Restoring>,
    live: papaya::HashMap<TokenKey, Arc<LiveToken>>,
    id_mac: Mac,
    accessor_mac: Mac,
}

/// A token that was looked up and is valid, as far as its end and its uses were known then.
pub struct LiveToken {
    /// Its name.
    pub key: TokenKey,
    /// Its record.
    pub record: TokenRecord,
    /// What policy and audit know of the token alone; ask [`TokenStore::caller_of`] for who stands behind it.
    pub(super) caller: Arc<TokenCaller>,
    pub(super) person: Person,
    deadline: Option<Deadline>,
    networks: Vec<IpNet>,
    epoch: u64,
}

/// What taking a use left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The token lives on.
    More,
    /// That was the last: revoke it after the request.
    Last,
}

/// Entries in memory before all are dropped and read again: bounds memory, not the number of tokens.
const MOST_LIVE: usize = 10_000;

impl TokenStore {
    /// The store of an unsealed cluster.
    pub(crate) fn new(
        unsealed: &Unsealed,
        cubbyhole: View,
        policies: Arc<PolicyStore>,
        identity: Arc<IdentityStore>,
        leases: Arc<Leases>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Refusal> {
        let mac =
            |label: &str| unsealed.derive(label).map(|key| Mac::new(&key)).map_err(|_| Refusal::sealed());
        Ok(Self {
            root: unsealed.view(""),
            cubbyhole,
            policies,
            identity,
            leases,
            clock,
            entropy,
            locks: Locks::new(),
            ends: Mutex::default(),
            restoring: Mutex::default(),
            live: papaya::HashMap::new(),
            id_mac: mac(label::TOKEN_ID)?,
            accessor_mac: mac(label::ACCESSOR)?,
        })
    }

    /// The name of a token.
    pub fn key_of(&self, token: &str) -> TokenKey {
        TokenKey(self.id_mac.tag(&[token.as_bytes()]))
    }

    pub(super) fn accessor_key(&self, accessor: &str) -> String {
        self.accessor_mac.hex(&[accessor.as_bytes()])
    }

    /// The token, if it is known, not revoked, not spent and not at its end.
    pub async fn find(&self, key: TokenKey) -> Result<Option<Arc<LiveToken>>, Refusal> {
        let epoch = self.policies.epoch();
        let known = self.live.pin().get(&key).filter(|live| live.epoch == epoch).cloned();
        let live = match known {
            Some(live) => live,
            None => match self.read(key).await? {
                Some(live) => live,
                None => return Ok(None),
            },
        };
        Ok((!live.has_ended(&*self.clock)).then_some(live))
    }

    /// Reads a token and keeps it. The lock keeps a revocation from being overtaken by a stale entry.
    async fn read(&self, key: TokenKey) -> Result<Option<Arc<LiveToken>>, Refusal> {
        let _held = self.locks.lock(&key.hex()).await;
        let Some(record) = self.record(key).await? else { return Ok(None) };
        if record.revoked || record.num_uses == SPENT {
            return Ok(None);
        }
        Ok(Some(self.keep(key, record)?))
    }

    /// The token of the request under way, which may be its last use: that was taken before the request went on, and
    /// nobody else gets in with it. Not for deciding who may enter.
    pub(crate) async fn find_own(&self, key: TokenKey) -> Result<Option<Arc<LiveToken>>, Refusal> {
        if let Some(live) = self.find(key).await? {
            return Ok(Some(live));
        }
        let spent = self.record(key).await?.filter(|record| record.num_uses == SPENT && !record.revoked);
        let live = spent.map(|record| self.live_of(key, record)).transpose()?;
        Ok(live.filter(|live| !live.has_ended(&*self.clock)))
    }

    /// Puts a token into memory; the caller holds its lock.
    pub(super) fn keep(&self, key: TokenKey, record: TokenRecord) -> Result<Arc<LiveToken>, Refusal> {
        let live = self.live_of(key, record)?;
        let pinned = self.live.pin();
        if pinned.len() >= MOST_LIVE {
            pinned.clear();
        }
        pinned.insert(key, Arc::clone(&live));
        Ok(live)
    }

    /// What is known of a token. Whoever does not hold its lock must not keep it: it may be revoked at this moment.
    pub(super) fn live_of(&self, key: TokenKey, record: TokenRecord) -> Result<Arc<LiveToken>, Refusal> {
        let epoch = self.policies.epoch();
        let caller = Arc::new(TokenCaller {
            acl: self.policies.acl(&record.policies),
            accessor: record.accessor.clone(),
            display_name: record.display_name.clone(),
            policies: record.policies.clone(),
            token_policies: record.policies.clone(),
            entity_id: String::new(),
            metadata: record.meta.clone(),
            token_type: "service",
            ttl: Duration::from_secs(record.ttl),
            issued: record.made(),
            ..TokenCaller::default()
        });
        let networks = networks(&record.bound_cidrs)?;
        let deadline = record.end().map(|end| Deadline::at(&*self.clock, end));
        Ok(Arc::new(LiveToken { key, record, caller, person: Person::default(), deadline, networks, epoch }))
    }

    pub(super) fn forget(&self, key: TokenKey) {
        self.live.pin().remove(&key);
    }

    pub(super) async fn record(&self, key: TokenKey) -> Result<Option<TokenRecord>, Refusal> {
        stored::load(&self.root, &KernelKey::Token(&key.hex()).to_string()).await
    }

    pub(super) async fn write(&self, key: TokenKey, record: &TokenRecord) -> Result<(), Refusal> {
        let batch = ViewBatch::new().put(KernelKey::Token(&key.hex()).to_string(), stored::bytes(record)?);
        self.root.transact(batch).await.map_err(storage)
    }

    /// The token of an accessor.
    pub async fn by_accessor(&self, accessor: &str) -> Result<Option<TokenKey>, Refusal> {
        let key = KernelKey::Accessor(&self.accessor_key(accessor)).to_string();
        let found: Option<AccessorRecord> = stored::load(&self.root, &key).await?;
        Ok(found.and_then(|record| TokenKey::parse(&record.token)))
    }

    /// All accessors, sorted.
    pub async fn accessors(&self) -> Result<Vec<String>, Refusal> {
        let mut all = Vec::new();
        for name in stored::all_below(&self.root, keys::ACCESSORS).await? {
            let key = KernelKey::Accessor(&name).to_string();
            let found: Option<AccessorRecord> = stored::load(&self.root, &key).await?;
            all.extend(found.map(|record| record.accessor));
        }
        all.sort_unstable();
        Ok(all)
    }

    /// Takes one use of a token whose uses are counted. The count is durable before the request goes on, so a crash
    /// can only lose uses.
    pub async fn take_use(&self, live: &LiveToken) -> Result<Use, Refusal> {
        if live.record.num_uses == 0 {
            return Ok(Use::More);
        }
        let _held = self.locks.lock(&live.key.hex()).await;
        let record = self.record(live.key).await?.filter(|record| !record.revoked && record.num_uses > 0);
        let Some(mut record) = record else { return Err(Refusal::denied()) };
        record.num_uses = if record.num_uses == 1 { SPENT } else { record.num_uses - 1 };
        self.write(live.key, &record).await?;
        let last = record.num_uses == SPENT;
        if last {
            self.forget(live.key);
        } else {
            self.keep(live.key, record)?;
        }
        Ok(if last { Use::Last } else { Use::More })
    }

    /// How many ends are waited for: at most one for each token that ends.
    pub fn scheduled(&self) -> usize {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn schedule(&self, key: TokenKey, end: Option<Wall>) {
        if let Some(end) = end {
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert((end, key));
        }
    }

    /// Forgets an end that was moved, or whose token is gone.
    pub(super) fn unschedule(&self, key: TokenKey, end: Option<Wall>) {
        if let Some(end) = end {
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(&(end, key));
        }
    }
}

impl LiveToken {
    /// Whether its end has come, on either clock.
    pub fn has_ended(&self, clock: &dyn Clock) -> bool {
        self.deadline.as_ref().is_some_and(|deadline| deadline.passed(clock))
    }

    /// Whether it may be used from this address. An IPv4 address in IPv6 clothing counts as IPv4.
    pub fn allows(&self, peer: Option<IpAddr>) -> bool {
        if self.record.is_root() && self.record.expires == 0 {
            return true;
        }
        admits(&self.networks, peer)
    }
}

/// Reads a token's networks.
pub(crate) fn networks(cidrs: &[String]) -> Result<Vec<IpNet>, Refusal> {
    let parsed: Result<_, _> = cidrs.iter().map(|cidr| cidr.parse()).collect();
    parsed.map_err(|_| Refusal::bug("a token's network cannot be read"))
}

/// Whether an address lies in one of the networks; none at all are everywhere.
pub(crate) fn admits(networks: &[IpNet], peer: Option<IpAddr>) -> bool {
    let within = |peer: IpAddr| networks.iter().any(|network| network.contains(&peer.to_canonical()));
    networks.is_empty() || peer.is_some_and(within)
}
