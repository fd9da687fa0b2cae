//! Which generations are in use: connections live on with the credential with which they were made.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use coffre_ambient::Wall;
use coffre_rotation::Decrypts;

use crate::core::Core;
use crate::engine::Message;
use crate::recipe::Key;

/// Refused logins are counted over this time.
const WINDOW: Duration = Duration::from_secs(60);
/// More refused logins of one credential are not told apart.
const REFUSALS: usize = 1000;

/// Which credential, without its material.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// Its generation, where rotation counts them.
    pub(crate) gen_no: Option<u64>,
    /// Its lease, where it has one.
    pub(crate) lease: Option<Arc<str>>,
}

/// Says that something is in use that was made with a credential, a connection for instance, until it drops.
///
/// Ask for it *before* the credential is read. An old credential is neither given up nor revoked while it is in use.
pub struct InUse {
    core: Weak<Core>,
    process: u32,
    of: Vec<(Key, Mark)>,
}

impl InUse {
    pub(crate) fn begin(core: &Arc<Core>, keys: impl IntoIterator<Item = Key>) -> Self {
        let published = core.published();
        let mark = |key: &Key| {
            let shelf = published.shelves.get(key)?;
            Some(shelf.contents(core.clock.boot())?.0.mark())
        };
        let of: Vec<(Key, Mark)> = keys.into_iter().filter_map(|key| mark(&key).map(|m| (key, m))).collect();
        core.uses.with(|book| {
            for used in &of {
                *book.open.entry(used.clone()).or_default() += 1;
            }
        });
        Self { core: Arc::downgrade(core), process: std::process::id(), of }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let Some(core) = self.core.upgrade() else { return };
        // After a fork the parent's connections are no concern of the child's.
        if self.process != std::process::id() {
            return;
        }
        let ended = core.uses.with(|book| book.end(&self.of));
        if ended {
            core.engines.hint(Message::Used);
        }
    }
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InUse")
    }
}

/// The uses of one instance, in one process: a child after fork(2) has none of its own yet.
#[derive(Default)]
pub(crate) struct Uses(ArcSwap<Ledger>);

struct Ledger {
    process: u32,
    book: Mutex<Book>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { process: std::process::id(), book: Mutex::default() }
    }
}

#[derive(Default)]
struct Book {
    open: BTreeMap<(Key, Mark), usize>,
    refused: HashMap<Key, VecDeque<Duration>>,
    decrypted: HashMap<Key, Decrypted>,
}

/// What was decrypted with the keys of a ring.
#[derive(Default)]
struct Decrypted {
    /// Somebody decrypts and does not count.
    not_all: bool,
    /// How often under each key, and when last.
    under: BTreeMap<Box<str>, (u64, Duration)>,
}

/// Keys of a ring that are told apart, as many as an acknowledgement may name: those of late.
const COUNTED: usize = 16;

/// Counts what is decrypted with the keys of a ring: an old key is destroyed when nobody has used it for a while. A child
/// after fork(2) counts its own, from its first decryption on.
pub struct Meter {
    core: Weak<Core>,
    keys: Vec<Key>,
}

impl Meter {
    pub(crate) fn begin(core: &Arc<Core>, keys: Vec<Key>) -> Self {
        let meter = Self { core: Arc::downgrade(core), keys };
        meter.counts();
        meter
    }

    /// From now on every decryption of this process with this ring is counted here.
    pub fn counts(&self) {
        self.note(|_, _| {});
    }

    /// Something was decrypted, or tried to be, under the key of this name.
    pub fn count(&self, kid: &str) {
        self.note(|decrypted, now| decrypted.count(kid, now));
    }

    /// Not every decryption will be counted: the key itself was given away.
    pub fn misses(&self) {
        self.note(|decrypted, _| decrypted.not_all = true);
    }

    fn note(&self, change: impl Fn(&mut Decrypted, Duration)) {
        let Some(core) = self.core.upgrade() else { return };
        let now = core.clock.boot();
        core.uses.with(|book| {
            for key in &self.keys {
                match book.decrypted.get_mut(key) {
                    Some(decrypted) => change(decrypted, now),
                    None => change(book.decrypted.entry(key.clone()).or_default(), now),
                }
            }
        });
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

impl Decrypted {
    fn count(&mut self, kid: &str, now: Duration) {
        if let Some((count, last)) = self.under.get_mut(kid) {
            (*count, *last) = (count.saturating_add(1), now);
            return;
        }
        if kid.is_empty() || kid.len() > 64 || kid.contains(char::is_control) {
            self.not_all = true;
            return;
        }
        if self.under.len() >= COUNTED {
            let oldest = self.under.iter().min_by_key(|(_, (_, last))| *last).map(|(kid, _)| kid.clone());
            oldest.and_then(|kid| self.under.remove(&kid));
        }
        self.under.insert(kid.into(), (1, now));
    }
}

impl Book {
    /// Whether something is not in use any more.
    fn end(&mut self, of: &[(Key, Mark)]) -> bool {
        let mut ended = false;
        for used in of {
            let Some(count) = self.open.get_mut(used) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.open.remove(used);
                ended = true;
            }
        }
        ended
    }
}

impl Uses {
    /// The smallest generation of a document that something was made with and is still there.
    pub(crate) fn oldest(&self, key: &Key) -> Option<u64> {
        self.with(|book| {
            let of = book.open.keys().filter(|(known, _)| known == key);
            of.filter_map(|(_, mark)| mark.gen_no).min()
        })
    }

    /// Whether something that was made with a credential of this lease is still there.
    pub(crate) fn holds(&self, key: &Key, lease: &str) -> bool {
        self.with(|book| {
            book.open.keys().any(|(known, mark)| known == key && mark.lease.as_deref() == Some(lease))
        })
    }

    /// A login with this document's credential was refused.
    pub(crate) fn refused(&self, key: Key, now: Duration) {
        self.with(|book| {
            let times = book.refused.entry(key).or_default();
            while times.len() >= REFUSALS || times.front().is_some_and(|at| *at + WINDOW <= now) {
                times.pop_front();
            }
            times.push_back(now);
        });
    }

    /// How many logins were refused within the last minute.
    pub(crate) fn refusals(&self, key: &Key, now: Duration) -> u32 {
        self.with(|book| {
            let recent = book.refused.get(key).map(|times| times.iter().filter(|at| **at + WINDOW > now));
            recent.map_or(0, |recent| u32::try_from(recent.count()).unwrap_or(u32::MAX))
        })
    }

    /// What was decrypted with the keys of this ring, if everything is counted. `wall` is the server's time now.
    pub(crate) fn decrypts(
        &self,
        key: &Key,
        now: Duration,
        wall: Wall,
    ) -> Option<BTreeMap<String, Decrypts>> {
        let at = |last: Duration| {
            let ago = u64::try_from(now.saturating_sub(last).as_nanos()).unwrap_or(u64::MAX);
            Wall::from_nanos(wall.nanos().saturating_sub(ago))
        };
        self.with(|book| {
            let decrypted = book.decrypted.get(key).filter(|decrypted| !decrypted.not_all)?;
            let under = decrypted.under.iter();
            Some(
                under
                    .map(|(kid, (count, last))| {
                        (kid.to_string(), Decrypts { count: *count, last: at(*last) })
                    })
                    .collect(),
            )
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        let mut ledger = self.0.load_full();
        if ledger.process != std::process::id() {
            // A thread of the parent may have held the lock; what it guards is the parent's anyway.
            ledger = Arc::new(Ledger::default());
            std::mem::forget(self.0.swap(Arc::clone(&ledger)));
        }
        let mut book: MutexGuard<'_, Book> = ledger.book.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut book)
    }
}
