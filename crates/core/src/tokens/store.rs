//! The living tokens in memory over the records in storage.
//!
//! Lock rule: whoever changes a token's record, or puts it into memory, holds the lock of its key. A reader that finds
//! the token in memory takes no lock; a revocation removes the entry under the lock before its mark is written, and a
//! reader that missed reads under the same lock, so a stale entry cannot come back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::{Clock, Deadline, Entropy, Wall};
use coffre_api::{Kind, Refusal};
use coffre_barrier::{BarrierError, Unsealed, View, ViewBatch};
use coffre_crypto::Key;
use coffre_crypto::mac::Mac;
use coffre_engine::{Locks, storage};
use coffre_policy::TokenCaller;
use ipnet::IpNet;

use super::expire::Restoring;
use super::person::Person;
use super::record::{AccessorRecord, SPENT, TokenKey, TokenRecord};
use crate::high_water::HighWater;
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
    pub(super) live: papaya::HashMap<TokenKey, Arc<LiveToken>>,
    pub(super) water: HighWater,
    pub(super) batch_key: Key,
    /// Somebody asked for a tidying.
    pub(super) tidy_asked: AtomicBool,
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
    /// The token that made it; it dies with that one.
    pub(super) parent: Option<TokenKey>,
    pub(super) epoch: u64,
    deadline: Option<Deadline>,
    networks: Vec<IpNet>,
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
/// Accessors that one list shows: bounds memory, and the size of an answer.
pub(crate) const MOST_LISTED: usize = 100_000;
const PAGE: usize = 1_000;

impl TokenStore {
    /// The store of an unsealed cluster.
    pub(crate) fn new(
        unsealed: &Unsealed,
        cubbyhole: View,
        policies: Arc<PolicyStore>,
        identity: Arc<IdentityStore>,
        leases: Arc<Leases>,
        water: HighWater,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Refusal> {
        let derived = |label: &str| unsealed.derive(label).map_err(|_| Refusal::sealed());
        Ok(Self {
            root: unsealed.view(""),
            cubbyhole,
            policies,
            identity,
            leases,
            clock: water.clock(),
            entropy,
            locks: Locks::new(),
            ends: Mutex::default(),
            restoring: Mutex::default(),
            live: papaya::HashMap::new(),
            water,
            batch_key: derived(label::BATCH)?,
            tidy_asked: AtomicBool::new(false),
            id_mac: Mac::new(&derived(label::TOKEN_ID)?),
            accessor_mac: Mac::new(&derived(label::ACCESSOR)?),
        })
    }

    /// The name of a token.
    pub fn key_of(&self, token: &str) -> TokenKey {
        TokenKey(self.id_mac.tag(&[token.as_bytes()]))
    }

    pub(super) fn accessor_key(&self, accessor: &str) -> String {
        self.accessor_mac.hex(&[accessor.as_bytes()])
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
            token_type: record.kind(),
            ttl: Duration::from_secs(record.ttl),
            issued: record.made(),
            ..TokenCaller::default()
        });
        let networks = networks(&record.bound_cidrs)?;
        let deadline = record.end().map(|end| Deadline::at(&*self.clock, end));
        let (parent, person) = (record.parent_key(), Person::default());
        Ok(Arc::new(LiveToken { key, record, caller, person, parent, epoch, deadline, networks }))
    }

    pub(super) fn forget(&self, key: TokenKey) {
        self.live.pin().remove(&key);
    }

    /// The record of a token. One that was damaged reads as a revoked token's: nobody gets in with it, it keeps nobody
    /// else out, and the log names it.
    pub(super) async fn record(&self, key: TokenKey) -> Result<Option<TokenRecord>, Refusal> {
        let path = KernelKey::Token(&key.hex()).to_string();
        let read = match self.root.get(&path).await {
            // EXPOSE: parsed into the record's own types; the bytes are wiped.
            Ok(bytes) => bytes.map(|bytes| serde_json::from_slice(bytes.expose())).transpose().ok(),
            Err(BarrierError::Damaged { .. } | BarrierError::UnknownTerm { .. }) => None,
            Err(e) => return Err(storage(e)),
        };
        Ok(read.unwrap_or_else(|| {
            tracing::error!(
                record = path,
                "a token's record cannot be read: the token is refused; revoke it"
            );
            Some(TokenRecord::unreadable())
        }))
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

    /// All accessors, sorted; at most `MOST_LISTED`, and whether that is all of them. One whose record is damaged is
    /// left out.
    pub async fn accessors(&self) -> Result<(Vec<String>, bool), Refusal> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.root.scan(keys::ACCESSORS, after.as_deref(), PAGE).await.map_err(storage)?;
            for key in &page.names {
                match stored::load::<AccessorRecord>(&self.root, key).await {
                    Ok(found) => all.extend(found.map(|record| record.accessor)),
                    Err(refusal) if refusal.kind() == Kind::Bug => {
                        tracing::error!(record = key, "unreadable")
                    }
                    Err(refusal) => return Err(refusal),
                }
            }
            after = page.names.last().cloned();
            let is_full = all.len() >= MOST_LISTED;
            if !page.more || after.is_none() || is_full {
                all.sort_unstable();
                return Ok((all, !(page.more && is_full)));
            }
        }
    }

    /// Keeps the time of the cluster. Idempotent, without input: a timer calls it.
    pub(crate) async fn keep_time(&self) -> Result<(), Refusal> {
        self.water.tick().await
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

/// Reads networks that somebody submitted: CIDR form or a single address, without bits beside the prefix; canonical.
pub(super) fn parse_networks(texts: &[String]) -> Result<Vec<String>, Refusal> {
    let parse = |text: &String| {
        let net = text.parse::<IpAddr>().map(|one| IpNet::from(one.to_canonical())).or_else(|_| text.parse());
        net.ok().filter(|net| net.trunc() == *net).map(|net| net.to_string())
    };
    let all: Option<Vec<String>> = texts.iter().map(parse).collect();
    all.ok_or_else(|| {
        Refusal::invalid("expected networks in CIDR form, such as 10.0.0.0/8, without bits beside the prefix")
    })
}

/// Whether an address lies in one of the networks; none at all are everywhere.
pub(crate) fn admits(networks: &[IpNet], peer: Option<IpAddr>) -> bool {
    let within = |peer: IpAddr| networks.iter().any(|network| network.contains(&peer.to_canonical()));
    networks.is_empty() || peer.is_some_and(within)
}
