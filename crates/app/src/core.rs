//! One instance: what is published, who is told, and how a reader gets from a name to a value.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use arc_swap::ArcSwap;
use coffre_ambient::{Clock, SystemClock};
use coffre_cache::Mark;
use coffre_manifest::Manifest;
use coffre_secret::SecretText;

use crate::document::{Contents, Document};
use crate::engine::Engines;
use crate::error::{Error, ErrorKind};
use crate::lasting::Publications;
use crate::local::{self, Class, Tally, Term, What};
use crate::published::{Fixed, Missing, Published, Slot, Times, nanos};
use crate::recipe::{Key, Recipes};
use crate::settings::{Lookup, Settings};
use crate::source::Source;
use crate::subscription::Bells;
use crate::uses::Uses;
use crate::value::{Shards, Value};

/// Instances are numbered as they come; threads tell them apart by it.
static IDS: AtomicU64 = AtomicU64::new(1);

/// A value on cache lines of its own.
#[repr(align(128))]
struct Apart<T>(T);

/// Everything that the handle, the readers and the background share.
pub(crate) struct Core {
    pub(crate) id: u64,
    /// Raised after each new table.
    generation: Apart<AtomicU64>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether that is the system's own, which readers then ask without a detour.
    system_clock: bool,
    published: ArcSwap<Published>,
    pub(crate) facts: Facts,
    pub(crate) bells: Bells,
    pub(crate) counts: Counts,
    pub(crate) engines: Engines,
    pub(crate) uses: Uses,
    pub(crate) publications: Publications,
    closed: AtomicBool,
}

/// What does not change after the start.
pub(crate) struct Facts {
    pub(crate) source: Source,
    /// Under [`Source::Environment`], what `COFFRE_SOURCE` says.
    pub(crate) launched_from: Option<String>,
    pub(crate) environment: String,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) recipes: Recipes,
    pub(crate) fixed: Fixed,
    /// How long a call waits for the server.
    pub(crate) budget: Duration,
    /// The `.env` file, for explanations.
    pub(crate) env_file: Option<std::path::PathBuf>,
    /// The process environment, where no manifest says which variables are secrets.
    pub(crate) loose: Option<Lookup>,
}

impl Core {
    pub(crate) fn new(facts: Facts, settings: &Settings, first: Published, engines: Engines) -> Arc<Self> {
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            generation: Apart(AtomicU64::new(1)),
            clock: Arc::clone(&settings.clock),
            system_clock: settings.system_clock,
            published: ArcSwap::from_pointee(first),
            facts,
            bells: Bells::default(),
            counts: Counts::default(),
            engines,
            uses: Uses::default(),
            publications: Publications::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Nanoseconds since boot.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        nanos(if self.system_clock { SystemClock.boot() } else { self.clock.boot() })
    }

    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.0.load(Ordering::Acquire)
    }

    pub(crate) fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// Replaces the table; threads notice by the generation. What only the old table held is wiped here.
    pub(crate) fn publish(&self, next: Published) {
        let next = if self.is_closed() { Published { closed: true, ..Published::default() } } else { next };
        self.published.store(Arc::new(next));
        self.generation.0.fetch_add(1, Ordering::Release);
        self.publications.tell();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Wipes everything and refuses from here on. The background, if there is one, ends for itself.
    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        self.publish(Published::default());
        self.bells.close();
    }

    pub(crate) fn tally(&self) -> Arc<Tally> {
        self.counts.tally()
    }

    /// The way of every reader: its thread's table, then the shared one, then the server.
    pub(crate) fn get(self: &Arc<Self>, what: What<'_>) -> Result<Value, Error> {
        if let Some(value) = local::hit(self, what) {
            return Ok(value);
        }
        self.counted(self.look(what))
    }

    pub(crate) async fn get_async(self: &Arc<Self>, what: What<'_>) -> Result<Value, Error> {
        if let Some(value) = local::hit(self, what) {
            return Ok(value);
        }
        self.counted(self.look_async(what).await)
    }

    pub(crate) fn counted<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| self.counts.failed(error.kind()))
    }

    fn look(self: &Arc<Self>, what: What<'_>) -> Result<Value, Error> {
        for _ in 0..ROUNDS {
            match self.see(what)? {
                Seen::Value(value, _) => return Ok(value),
                Seen::Wants(key) => self.engines.ask(self, &key)?,
            }
        }
        Err(unsettled())
    }

    async fn look_async(self: &Arc<Self>, what: What<'_>) -> Result<Value, Error> {
        for _ in 0..ROUNDS {
            match self.see(what)? {
                Seen::Value(value, _) => return Ok(value),
                Seen::Wants(key) => self.engines.ask_async(self, &key).await?,
            }
        }
        Err(unsettled())
    }

    /// One look into the shared table.
    pub(crate) fn see(self: &Arc<Self>, what: What<'_>) -> Result<Seen, Error> {
        let generation = self.generation();
        let published = self.published.load();
        if published.closed {
            return Err(closed());
        }
        let now = self.clock.boot();
        match what {
            What::Variable(name) => {
                if let Some(slot) = published.slots.get(name) {
                    return self.see_slot(what, slot, now, generation);
                }
                let loose = self.facts.loose.as_ref().and_then(|lookup| lookup(name));
                let value = loose.map(|value| Shards::of(SecretText::new(value)).value());
                let term = Term { generation, until: 0, class: Class::Fresh };
                value.map(|value| Seen::Value(value, term)).ok_or_else(|| self.unknown(name))
            }
            What::Field(path, field) if self.facts.source != Source::Vault => {
                let slot = self.slot_of_place(&published, path, field)?;
                self.see_slot(what, &slot, now, generation)
            }
            What::Field(path, field) => {
                let key = self.key(path)?;
                let Some((contents, times)) = self.see_document(&published, &key, now) else {
                    return Ok(Seen::Wants(key));
                };
                let missing = || Self::missing(&Missing::Field(key.clone(), field.into()));
                let shards = contents.shards(field).ok_or_else(missing)?;
                let (until, class) = serve(times, now, times.revalidate_at);
                let value = local::remember(self, what, shards, generation, until, class);
                Ok(Seen::Value(value, Term { generation, until, class }))
            }
        }
    }

    /// A variable's value, if all its documents may be shown; tells the background of those that are due.
    fn see_slot(
        self: &Arc<Self>,
        what: What<'_>,
        slot: &Slot,
        now: Duration,
        generation: u64,
    ) -> Result<Seen, Error> {
        let mut revalidate_at = u64::MAX;
        for (key, shelf) in &slot.parts {
            let Some(shelf) = shelf else { return Ok(Seen::Wants(key.clone())) };
            let Some((_, shown)) = shelf.contents(now) else { return Ok(Seen::Wants(key.clone())) };
            if now < shown.revalidate_at {
                revalidate_at = revalidate_at.min(nanos(shown.revalidate_at));
            } else if shelf.touch() {
                self.engines.touch(self, key);
            }
        }
        let shards = slot.made.as_ref().map_err(Self::missing)?;
        let (until, class) = serve(slot.times, now, revalidate_at);
        let value = local::remember(self, what, shards, generation, until, class);
        Ok(Seen::Value(value, Term { generation, until, class }))
    }

    /// A document that may be shown now; says that it is time to ask again, if it is.
    fn see_document<'a>(
        self: &Arc<Self>,
        published: &'a Published,
        key: &Key,
        now: Duration,
    ) -> Option<(&'a Arc<Contents>, Times)> {
        let shelf = published.shelves.get(key)?;
        let (contents, shown) = shelf.contents(now)?;
        if now >= shown.revalidate_at && shelf.touch() {
            self.engines.touch(self, key);
        }
        Some((contents, Times::of(shown)))
    }

    /// A whole document; without a server, what the manifest says lies there.
    pub(crate) fn document(self: &Arc<Self>, path: &str) -> Result<Arc<Document>, Error> {
        if self.facts.source != Source::Vault {
            return self.document_outside(path);
        }
        let key = self.key(path)?;
        for _ in 0..ROUNDS {
            if let Some((document, _)) = self.document_now(&key)? {
                return Ok(document);
            }
            self.engines.ask(self, &key)?;
        }
        Err(unsettled())
    }

    pub(crate) async fn document_async(self: &Arc<Self>, path: &str) -> Result<Arc<Document>, Error> {
        if self.facts.source != Source::Vault {
            return self.document_outside(path);
        }
        let key = self.key(path)?;
        for _ in 0..ROUNDS {
            if let Some((document, _)) = self.document_now(&key)? {
                return Ok(document);
            }
            self.engines.ask_async(self, &key).await?;
        }
        Err(unsettled())
    }

    pub(crate) fn document_now(self: &Arc<Self>, key: &Key) -> Result<Option<(Arc<Document>, Term)>, Error> {
        let generation = self.generation();
        let published = self.published.load();
        if published.closed {
            return Err(closed());
        }
        let now = self.clock.boot();
        let Some((contents, times)) = self.see_document(&published, key, now) else { return Ok(None) };
        let shelf = published.shelves.get(key);
        let (until, class) = serve(times, now, times.revalidate_at);
        self.counts.served(class);
        let validated_at = shelf.and_then(|shelf| shelf.validated_at());
        let clock = Arc::clone(&self.clock);
        let document = Arc::new(Document::new(Arc::clone(contents), validated_at, clock));
        Ok(Some((document, Term { generation, until, class })))
    }

    fn document_outside(self: &Arc<Self>, path: &str) -> Result<Arc<Document>, Error> {
        let entries = self.facts.manifest.iter().flat_map(Manifest::entries);
        let here = entries.filter(|entry| entry.path.as_deref() == Some(path));
        let published = self.published.load();
        if published.closed {
            return Err(closed());
        }
        let fields: Vec<_> = here
            .filter_map(|entry| {
                let slot = published.slots.get(entry.name.as_str())?;
                Some((entry.field.as_str(), slot.made.as_ref().ok()?.duplicate()))
            })
            .collect();
        if fields.is_empty() {
            let source = self.facts.source;
            let message = format!("{path}: {source} has no variable that the manifest places there");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let clock = Arc::clone(&self.clock);
        Ok(Arc::new(Document::new(Arc::new(Contents::of_fields(fields)), None, clock)))
    }

    fn slot_of_place(&self, published: &Published, path: &str, field: &str) -> Result<Arc<Slot>, Error> {
        let entries = self.facts.manifest.iter().flat_map(Manifest::entries);
        let entry = { entries }.find(|entry| entry.path.as_deref() == Some(path) && entry.field == field);
        let slot = entry.and_then(|entry| published.slots.get(entry.name.as_str()));
        slot.cloned().ok_or_else(|| {
            let source = self.facts.source;
            let message =
                format!("{path}, field {field}: {source} has no variable that the manifest places there");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// What a path means: a credential of the manifest, or a document below the environment.
    pub(crate) fn key(&self, path: &str) -> Result<Key, Error> {
        let credential = Key::Credential(Arc::from(path));
        if self.facts.recipes.keys().iter().any(|(key, _)| *key == credential) {
            return Ok(credential);
        }
        if !coffre_manifest::is_secret_path(path) {
            let message = format!(
                "{path:?} is no path of a secret; write segments of letters, digits, - _ . with single slashes between them"
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(Key::Document(Arc::from(path)))
    }

    /// The documents and credentials that a variable, or a path, stands for.
    pub(crate) fn keys_of(&self, name: &str) -> Result<Vec<Key>, Error> {
        match self.facts.recipes.named(name) {
            Some(variable) => Ok(variable.needs.iter().cloned().collect()),
            None => self.key(name).map(|key| vec![key]),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let message = match &self.facts.manifest {
            Some(_) => {
                format!("{name} is not in the manifest; add it under [secret.{name}], or ask by its path")
            }
            None => format!("{name} is not set"),
        };
        Error::new(ErrorKind::NotFound, message)
    }

    fn missing(missing: &Missing) -> Error {
        let message = match missing {
            Missing::Document(key) => format!("{key}: nothing is there"),
            Missing::Field(key, field) => format!("{key} has no field `{field}`"),
            Missing::Part(part) => format!("it is composed of `{part}`, which has no value"),
            Missing::Unset(name) => format!("{name} is set neither in .env nor in the environment"),
            Missing::NoAddress(key) => format!(
                "{key} holds no address such as postgresql://user@host/database to put the credentials into; add a template"
            ),
        };
        Error::new(ErrorKind::NotFound, message)
    }
}

/// A variable needs as many looks as it has documents; what has not settled then is being changed all the time.
const ROUNDS: usize = 64;

/// What one look gave.
pub(crate) enum Seen {
    Value(Value, Term),
    Wants(Key),
}

/// Until when a value may be served without another look, and how it counts now.
fn serve(times: Times, now: Duration, revalidate_at: u64) -> (u64, Class) {
    let now = nanos(now);
    let next = if revalidate_at > now { revalidate_at } else { u64::MAX };
    if times.mark != Mark::Confirmed {
        (next.min(times.hard_until), Class::Degraded)
    } else if now < times.fresh_until {
        (next.min(times.fresh_until).min(times.hard_until), Class::Fresh)
    } else {
        (next.min(times.hard_until), Class::Stale)
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the secrets were closed")
}

fn unsettled() -> Error {
    Error::new(ErrorKind::Unavailable, "the value changes faster than it can be read; try again")
}

/// How often a thread that begins to read tries to be counted.
const TRIES: usize = 10_000;

/// Readers counted by result.
#[derive(Default)]
pub(crate) struct Counts {
    threads: Mutex<Threads>,
    documents: [AtomicU64; 3],
    failures: [AtomicU64; KINDS.len()],
}

#[derive(Default)]
struct Threads {
    tallies: Vec<Arc<Tally>>,
    /// Of threads that have ended.
    ended: [u64; 3],
}

/// The kinds that are counted.
pub(crate) const KINDS: [ErrorKind; 8] = [
    ErrorKind::Invalid,
    ErrorKind::Refused,
    ErrorKind::Unavailable,
    ErrorKind::Stale,
    ErrorKind::Denied,
    ErrorKind::Gone,
    ErrorKind::NotFound,
    ErrorKind::Closed,
];

impl Counts {
    fn tally(&self) -> Arc<Tally> {
        let tally = Arc::new(Tally::default());
        // Held for moments only, unless a thread of a parent held it when we were forked: then this thread goes uncounted.
        for _ in 0..TRIES {
            match self.threads.try_lock() {
                Ok(mut threads) => {
                    threads.fold();
                    threads.tallies.push(Arc::clone(&tally));
                    break;
                }
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
                Err(TryLockError::Poisoned(_)) => break,
            }
        }
        tally
    }

    fn served(&self, class: Class) {
        if let Some(counter) = self.documents.get(class as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn failed(&self, kind: ErrorKind) {
        let at = KINDS.iter().position(|known| *known == kind);
        if let Some(counter) = at.and_then(|at| self.failures.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Fresh, stale, degraded.
    pub(crate) fn hits(&self) -> [u64; 3] {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = threads.ended;
        let documents = self.documents.each_ref().map(|counter| counter.load(Ordering::Relaxed));
        for part in threads.tallies.iter().map(|tally| tally.read()).chain([documents]) {
            for (sum, part) in sums.iter_mut().zip(part) {
                *sum += part;
            }
        }
        sums
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = (ErrorKind, u64)> {
        KINDS.into_iter().zip(self.failures.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }
}

impl Threads {
    /// Takes over what ended threads counted.
    fn fold(&mut self) {
        let Self { tallies, ended } = self;
        tallies.retain(|tally| {
            let alive = Arc::strong_count(tally) > 1;
            if !alive {
                for (sum, part) in ended.iter_mut().zip(tally.read()) {
                    *sum += part;
                }
            }
            alive
        });
    }
}
