use coffre_cache::BreakerState;
use serde::Serialize;

use crate::core::Core;
use crate::outside;
use crate::recipe::Key;
use crate::source::Source;

/// How an instance is. Holds no values; serializes as it stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// `vault`, `dotenv`, …
    pub source: &'static str,
    /// Under `environment`, where the launcher had the values from.
    pub launched_from: Option<String>,
    /// The manifest's name for the environment.
    pub environment: String,
    /// The worst of the entries.
    pub status: Status,
    /// Whether secrets come from `.env` although there is a vault.
    pub fallback_active: bool,
    /// `closed`, `open` or `half-open`; absent without a server, or when the background does not answer.
    pub breaker: Option<&'static str>,
    /// Seconds that the token lives; absent if it does not end, or there is none.
    pub token_ttl: Option<u64>,
    /// Every document and credential that was asked for, sorted by path.
    pub entries: Vec<EntryHealth>,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything is as it should be.
    Ok,
    /// Values are served, but the server could not confirm them, or they do not come from it.
    Degraded,
    /// Something has no value.
    Failed,
}

/// One document or credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryHealth {
    /// Below `<mount>/<environment>/`; the whole path of a credential.
    pub path: String,
    /// `empty`, `fresh`, `stale`, `degraded`, `expired`, `denied`, `gone`, `absent` or `corrupt`.
    pub state: &'static str,
    /// Seconds since the server last confirmed it.
    pub age: Option<u64>,
    /// KV v2.
    pub version: Option<u64>,
    /// Of rotation.
    pub epoch: Option<u64>,
    /// Seconds that its lease lasts.
    pub lease_ttl: Option<u64>,
    /// The manifest's variables that need it.
    pub names: Vec<String>,
}

pub(crate) fn of(core: &Core) -> Health {
    let facts = &core.facts;
    let inspected = core.engines.inspect();
    let now = core.clock.boot();
    let published = core.published();
    let mut shelves: Vec<_> = published.shelves.iter().collect();
    shelves.sort_by_key(|(key, _)| *key);
    let entries: Vec<EntryHealth> = shelves
        .into_iter()
        .map(|(key, shelf)| {
            let contents = shelf.contents(now).map(|(contents, _)| contents);
            let view = inspected.as_ref().and_then(|inspection| inspection.views.get(key));
            EntryHealth {
                path: key.to_string(),
                state: shelf.state_name(now),
                age: shelf.validated_at().map(|at| now.saturating_sub(at).as_secs()),
                version: contents.and_then(|contents| contents.version()),
                epoch: contents.and_then(|contents| contents.epoch()),
                lease_ttl: view.and_then(|view| view.lease_ttl).map(|ttl| ttl.as_secs()),
                names: names(core, key),
            }
        })
        .collect();
    let fallback_active = outside::is_fallback(facts.source, facts.launched_from.as_deref());
    let missing = published.slots.values().any(|slot| slot.made.is_err() && slot.parts.is_empty());
    let worst = entries.iter().map(|entry| status(entry.state)).max().unwrap_or(Status::Ok);
    let worst = worst.max(if fallback_active { Status::Degraded } else { Status::Ok });
    let status = if missing || published.closed { Status::Failed } else { worst };
    Health {
        source: facts.source.name(),
        launched_from: facts.launched_from.clone(),
        environment: facts.environment.clone(),
        status,
        fallback_active,
        breaker: inspected.as_ref().filter(|_| facts.source == Source::Vault).map(|i| breaker(i.breaker)),
        token_ttl: inspected.as_ref().and_then(|i| i.token_ttl).map(|ttl| ttl.as_secs()),
        entries,
    }
}

fn names(core: &Core, key: &Key) -> Vec<String> {
    let variables = core.facts.recipes.variables().iter();
    variables.filter(|variable| variable.needs.contains(key)).map(|v| v.name.to_string()).collect()
}

const fn breaker(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open { .. } => "open",
        BreakerState::HalfOpen => "half-open",
    }
}

fn status(state: &str) -> Status {
    match state {
        "fresh" | "stale" | "empty" => Status::Ok,
        "degraded" | "corrupt" => Status::Degraded,
        _ => Status::Failed,
    }
}
