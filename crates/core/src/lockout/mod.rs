//! User lockout: a name that failed to log in too often is refused for a while, whatever its credential
//! (Vault documentation, "User lockout").
//!
//! * *Who is counted.* Names of `approle`, `ldap` and `userpass` mounts, by mount and in the one spelling that the method
//!   gives as alias; names that do not exist are counted and locked like those that do, so a lock tells nothing.
//! * *At once.* A try is counted before the credential is looked at. Once as many tries are out as are left, the next one
//!   waits for them; so 50 tries at once are judged as 50 in a row would be.
//! * *Durable.* A lock is stored before the failure that caused it is answered, and outlives the process. Counts below
//!   the threshold are in memory alone: a restart, which no caller can bring about, forgives them.
//! * *Bounded.* A mount keeps [`table::MOST`] names. A flood of names drops first those with the fewest failures that are
//!   not locked; a lock gives way only to that many others. Each of these costs its author `threshold` tries, and where
//!   passwords can be guessed a try costs a memory-hard hash: that flood takes longer than the lock lasts.
//! * *Consequence.* Whoever knows a name can keep it locked; that is the price of any lockout. An operator unlocks it with
//!   `sys/locked-users`, or sets `lockout_disable` on a mount whose names are public and whose secrets cannot be guessed.

mod config;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coffre_ambient::{Clock, Wall};
use coffre_api::{BoxFuture, Refusal};
use coffre_barrier::{Unsealed, View};
use coffre_crypto::mac::Mac;
use coffre_engine::{LockoutRule, Locks, LoginGuard, Pending, storage};
use serde::{Deserialize, Serialize};

use self::table::{Answer, Table};
use crate::keys::{self, KernelKey, label};
use crate::stored;

pub use config::LockoutConfig;

/// The counts and the locks of an unsealed cluster.
#[derive(Clone)]
pub(crate) struct Lockout(Arc<Inner>);

struct Inner {
    root: View,
    clock: Arc<dyn Clock>,
    mac: Mac,
    /// Held while a lock's record is written or removed, by its key.
    writing: Locks,
    /// By the mount's accessor.
    tables: Mutex<HashMap<String, Table>>,
}

/// A lock as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LockRecord {
    /// The mount.
    accessor: String,
    /// The user.
    name: String,
    /// When it ends, in nanoseconds since 1970.
    until: u64,
}

impl Lockout {
    /// Reads the locks; those that have ended are removed.
    pub(crate) async fn load(unsealed: &Unsealed, clock: Arc<dyn Clock>) -> Result<Self, Refusal> {
        let mac = Mac::new(&unsealed.derive(label::LOCKOUT).map_err(|_| Refusal::sealed())?);
        let root = unsealed.view("");
        let mut tables: HashMap<String, Table> = HashMap::new();
        let now = clock.wall();
        for rest in stored::all_below(&root, keys::LOCKOUTS).await? {
            let key = format!("{}{rest}", keys::LOCKOUTS);
            let Some(record) = stored::load::<LockRecord>(&root, &key).await? else { continue };
            let until = Wall::from_nanos(record.until);
            if until > now {
                tables.entry(record.accessor).or_default().restore(record.name, until);
            } else {
                root.delete(&key).await.map_err(storage)?;
            }
        }
        let (writing, tables) = (Locks::new(), Mutex::new(tables));
        Ok(Self(Arc::new(Inner { root, clock, mac, writing, tables })))
    }

    /// The locked names by mount, in order.
    pub(crate) fn locked(&self) -> Vec<(String, Vec<String>)> {
        let now = self.0.clock.wall();
        let tables = self.0.tables();
        let locked = tables.iter().map(|(accessor, table)| (accessor.clone(), table.locked(now)));
        let mut all: Vec<_> = locked.filter(|(_, names)| !names.is_empty()).collect();
        all.sort_unstable();
        all
    }

    /// Opens a lock and forgets the failures behind it. Nothing happens to a name that is not locked.
    pub(crate) async fn unlock(&self, accessor: &str, name: &str) -> Result<(), Refusal> {
        if let Some(table) = self.0.tables().get_mut(accessor) {
            table.forget(name);
        }
        self.0.keep(accessor, name).await
    }

    /// Removes what has ended. Idempotent; a timer calls it.
    pub(crate) async fn tidy(&self) -> Result<(), Refusal> {
        let now = self.0.clock.wall();
        let mut ended = Vec::new();
        self.0.tables().retain(|accessor, table| {
            ended.extend(table.tidy(now).into_iter().map(|name| (accessor.clone(), name)));
            !table.is_empty()
        });
        for (accessor, name) in ended {
            self.0.keep(&accessor, &name).await?;
        }
        Ok(())
    }
}

impl LoginGuard for Lockout {
    fn attempt<'a>(
        &'a self,
        accessor: &'a str,
        name: &'a str,
        rule: LockoutRule,
    ) -> BoxFuture<'a, Result<Box<dyn Pending>, Refusal>> {
        Box::pin(async move {
            loop {
                let now = self.0.clock.wall();
                let answer = self.0.tables().entry(accessor.to_owned()).or_default().ask(name, rule, now);
                match answer {
                    Answer::Locked => return Err(Refusal::denied()),
                    Answer::Wait(turn) => turn.await,
                    Answer::Go => break,
                }
            }
            let (accessor, name) = (accessor.to_owned(), name.to_owned());
            let pending = InFlight { inner: Arc::clone(&self.0), accessor, name, rule, is_decided: false };
            Ok(Box::new(pending) as Box<dyn Pending>)
        })
    }
}

/// A try that is out.
struct InFlight {
    inner: Arc<Inner>,
    accessor: String,
    name: String,
    rule: LockoutRule,
    is_decided: bool,
}

impl InFlight {
    fn decide<T>(&mut self, decide: impl FnOnce(&mut Table, &str) -> T) -> Option<T> {
        self.is_decided = true;
        self.inner.tables().get_mut(&self.accessor).map(|table| decide(table, &self.name))
    }
}

impl Pending for InFlight {
    fn succeeded(mut self: Box<Self>) {
        self.decide(Table::succeeded);
    }

    fn failed(mut self: Box<Self>) -> BoxFuture<'static, Result<(), Refusal>> {
        let (now, rule) = (self.inner.clock.wall(), self.rule);
        let has_locked = self.decide(|table, name| table.failed(name, rule, now)) == Some(true);
        Box::pin(async move {
            if has_locked {
                tracing::warn!(mount = %self.accessor, "a name is locked after failed logins");
                self.inner.keep(&self.accessor, &self.name).await?;
            }
            Ok(())
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.is_decided {
            self.decide(Table::undecided);
        }
    }
}

impl Inner {
    fn tables(&self) -> MutexGuard<'_, HashMap<String, Table>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes storage say of a name what memory says now; in whatever order writers come, the last state stays.
    async fn keep(&self, accessor: &str, name: &str) -> Result<(), Refusal> {
        let hash = self.mac.hex(&[accessor.as_bytes(), b"\0", name.as_bytes()]);
        let key = KernelKey::Lockout(accessor, &hash).to_string();
        let _writing = self.writing.lock(&key).await;
        let until = self.tables().get(accessor).and_then(|table| table.end_of_lock(name));
        match until {
            None => self.root.delete(&key).await.map_err(storage),
            Some(until) => {
                let record =
                    LockRecord { accessor: accessor.to_owned(), name: name.to_owned(), until: until.nanos() };
                self.root.put(&key, stored::bytes(&record)?.expose()).await.map_err(storage)
            }
        }
    }
}
