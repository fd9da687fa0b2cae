//! A KV v2 mount in memory that can lose requests, lose answers, and die with its user at any write. It keeps numbers as Vault
//! and OpenBao do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_ambient::{Clock, ManualClock, Wall};
use coffre_rotate::{BoxFuture, Failure, Kv, Manage, Metadata, Version};
use coffre_rotation::{Phase, Record, WireDocument};
use coffre_secret::SecretText;

/// What happens at one point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The engine dies before the effect.
    KilledBefore,
    /// The engine dies after the effect.
    KilledAfter,
    /// The effect does not happen, and nobody is told.
    RequestLost,
    /// The effect happens, and nobody is told.
    AnswerLost,
}

/// Counts effects, and lets one of them go wrong. Shared by the store and the outside.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) done: u64,
    pub(crate) at: Option<(u64, Fault)>,
    pub(crate) dead: bool,
    /// Where it was met, for the count: the phase of the record that was read last.
    pub(crate) met: Option<Phase>,
    phase: Phase,
}

impl Default for Plan {
    fn default() -> Self {
        Self { done: 0, at: None, dead: false, met: None, phase: Phase::Idle }
    }
}

/// What the effect must do.
pub(crate) enum Now {
    Go,
    GoThenFail,
    Fail,
}

pub(crate) type Shared = Arc<Mutex<Plan>>;

/// Decides about the next effect.
pub(crate) fn next(plan: &Shared) -> Now {
    let mut plan = plan.lock().unwrap();
    if plan.dead {
        return Now::Fail;
    }
    plan.done += 1;
    match plan.at {
        Some((at, fault)) if at == plan.done => {
            plan.met = Some(plan.phase);
            plan.dead = matches!(fault, Fault::KilledBefore | Fault::KilledAfter);
            if matches!(fault, Fault::KilledBefore | Fault::RequestLost) {
                Now::Fail
            } else {
                Now::GoThenFail
            }
        }
        _ => Now::Go,
    }
}

#[derive(Clone, Default)]
struct Entry {
    versions: BTreeMap<u64, (Option<String>, bool, Wall)>,
    current: u64,
    max_versions: u64,
    cas_required: bool,
    custom: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(crate) struct MemoryKv {
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
    pub(crate) plan: Shared,
    clock: Arc<ManualClock>,
}

/// A copy of everything.
pub(crate) struct Snapshot(BTreeMap<String, Entry>);

impl MemoryKv {
    pub(crate) fn new(clock: Arc<ManualClock>) -> Self {
        Self { entries: Arc::default(), plan: Shared::default(), clock }
    }

    /// The same mount, as another process sees it: with its own faults.
    pub(crate) fn for_another(&self) -> Self {
        Self { plan: Shared::default(), ..self.clone() }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.entries.lock().unwrap().clone())
    }

    pub(crate) fn restore(&self, snapshot: &Snapshot) {
        *self.entries.lock().unwrap() = snapshot.0.clone();
    }

    /// The newest version's text.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let entries = self.entries.lock().unwrap();
        let entry = entries.get(path)?;
        entry.versions.get(&entry.current)?.0.clone()
    }

    /// What lies below a path.
    pub(crate) fn names(&self, prefix: &str) -> BTreeSet<String> {
        let entries = self.entries.lock().unwrap();
        entries.keys().filter_map(|path| path.strip_prefix(prefix)).map(str::to_owned).collect()
    }

    /// Every text that is still kept anywhere.
    pub(crate) fn everything(&self) -> String {
        let entries = self.entries.lock().unwrap();
        let versions = entries.values().flat_map(|entry| entry.versions.values());
        versions.filter_map(|(text, ..)| text.clone()).collect::<Vec<_>>().join("\n")
    }

    /// Every path that has data and is not guarded by check-and-set.
    pub(crate) fn unguarded(&self) -> Vec<String> {
        let entries = self.entries.lock().unwrap();
        entries.iter().filter(|(_, entry)| !entry.cas_required).map(|(path, _)| path.clone()).collect()
    }

    /// The newest version, softly.
    pub(crate) fn delete(&self, path: &str) {
        let mut entries = self.entries.lock().unwrap();
        let entry = entries.get_mut(path).unwrap();
        entry.versions.get_mut(&entry.current).unwrap().0 = None;
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        let now = self.clock.wall();
        let mut entries = self.entries.lock().unwrap();
        store(entries.entry(path.to_owned()).or_default(), text, now);
    }
}

fn store(entry: &mut Entry, text: &str, now: Wall) -> u64 {
    entry.current += 1;
    entry.versions.insert(entry.current, (Some(text.to_owned()), false, now));
    let most = if entry.max_versions == 0 { 10 } else { entry.max_versions };
    while entry.versions.len() as u64 > most {
        entry.versions.pop_first();
    }
    entry.current
}

fn no_answer() -> Failure {
    Failure::transient("no answer in time")
}

impl Kv for MemoryKv {
    fn read<'a>(
        &'a self,
        path: &'a str,
        version: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Version>, Failure>> {
        Box::pin(async move {
            if self.plan.lock().unwrap().dead {
                return Err(no_answer());
            }
            let entries = self.entries.lock().unwrap();
            let Some(entry) = entries.get(path).filter(|entry| entry.current > 0) else { return Ok(None) };
            let version = version.unwrap_or(entry.current);
            if let Some((Some(text), ..)) =
                entry.versions.get(&version).filter(|_| path.contains("/_rot/rec/"))
            {
                self.plan.lock().unwrap().phase = Record::parse(text.as_bytes()).unwrap().phase;
            }
            Ok(entry.versions.get(&version).map(|(text, destroyed, at)| Version {
                version,
                document: text.as_deref().map(SecretText::from),
                destroyed: *destroyed,
                created: Some(*at),
            }))
        })
    }

    fn write<'a>(
        &'a self,
        path: &'a str,
        document: &'a SecretText,
        cas: u64,
    ) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async move {
            let now = next(&self.plan);
            if matches!(now, Now::Fail) {
                return Err(no_answer());
            }
            let mut entries = self.entries.lock().unwrap();
            let entry = entries.entry(path.to_owned()).or_default();
            if entry.current != cas {
                return Err(Failure::conflict("check-and-set parameter did not match the current version"));
            }
            let version = store(entry, &as_vault_keeps_it(document.expose()), self.clock.wall());
            if matches!(now, Now::GoThenFail) { Err(no_answer()) } else { Ok(version) }
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let prefix = format!("{folder}/");
            let entries = self.entries.lock().unwrap();
            let below = entries.keys().filter_map(|path| path.strip_prefix(&prefix));
            let mut names: Vec<String> = below
                .map(|rest| rest.split_once('/').map_or(rest.to_owned(), |(first, _)| format!("{first}/")))
                .collect();
            names.dedup();
            Ok(names)
        })
    }

    fn metadata<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Metadata>, Failure>> {
        Box::pin(async move {
            if self.plan.lock().unwrap().dead {
                return Err(no_answer());
            }
            let entries = self.entries.lock().unwrap();
            Ok(entries.get(path).map(|entry| Metadata {
                current: entry.current,
                max_versions: entry.max_versions,
                cas_required: entry.cas_required,
                custom: entry.custom.clone(),
                versions: entry.versions.iter().map(|(at, (_, destroyed, _))| (*at, *destroyed)).collect(),
            }))
        })
    }

    fn manage<'a>(&'a self, path: &'a str, change: Manage) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let now = next(&self.plan);
            if matches!(now, Now::Fail) {
                return Err(no_answer());
            }
            let mut entries = self.entries.lock().unwrap();
            match change {
                Manage::Guard { max_versions } => {
                    let entry = entries.entry(path.to_owned()).or_default();
                    (entry.cas_required, entry.max_versions) = (true, max_versions);
                }
                Manage::Custom(pairs) => entries.entry(path.to_owned()).or_default().custom = pairs,
                Manage::Destroy(versions) => {
                    let entry = entries.entry(path.to_owned()).or_default();
                    for version in versions {
                        if let Some(held) = entry.versions.get_mut(&version) {
                            (held.0, held.1) = (None, true);
                        }
                    }
                }
                Manage::Forget => drop(entries.remove(path)),
            }
            if matches!(now, Now::GoThenFail) { Err(no_answer()) } else { Ok(()) }
        })
    }

    fn server_time(&self) -> Option<Wall> {
        Some(self.clock.wall())
    }
}

/// A while, for clocks.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Their numbers are 64-bit floating point.
fn as_vault_keeps_it(document: &str) -> String {
    fn kept(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Number(number) => {
                let float = number.as_f64().unwrap();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "what is lost is what is tested"
                )]
                let whole = float as u64;
                *number = if float.fract() == 0.0 && float >= 0.0 {
                    whole.into()
                } else {
                    serde_json::Number::from_f64(float).unwrap()
                };
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(kept),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(kept),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(document).unwrap();
    kept(&mut value);
    value.to_string()
}
