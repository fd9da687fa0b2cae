//! What the agent says of documents that rotate, for what it does with them itself: files, and programs that it starts.
//!
//! Programs that ask the socket speak for themselves. Of a file it is said that an epoch is taken over when the file is
//! in its place and `command` has run; of a program, when it has shown that it lives with the values. Where the server
//! does not allow it, nothing is said, and rotations wait for time to pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coffre_client::{Body, ErrorKind};
use coffre_rotation::{
    CLOCK_ALLOWANCE, Fate, Reading, RotPolicy, Speaker, Statement, Target, Trouble, WireDocument as _, Word,
    paths, shifted,
};
use coffre_source::consumer;
use serde_json::json;
use tokio::sync::watch;

use crate::document::Document;
use crate::store::{Peek, Store};

/// The policy is read again each `soft_ttl`, within these bounds.
const SOONEST: Duration = Duration::from_secs(1);
const POLICY: Duration = Duration::from_secs(60);
/// Sleeps are not longer.
const LONGEST: Duration = Duration::from_secs(60);
/// More environments than this are not spoken to.
const ROOMS: usize = 64;
/// The field that holds a whole ring of keys.
pub(crate) const RING: &str = "keys";

/// Who says something (a part of the agent), of which path.
type Key = (String, String);

/// Where parts of the agent leave what is to be said. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Voice(watch::Sender<Said>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    all: BTreeMap<Key, Statement>,
    over: bool,
}

impl Default for Voice {
    fn default() -> Self {
        Self(watch::Sender::new(Said::default()))
    }
}

impl Voice {
    /// All that a part says now, by API path. What it has said of others is taken back.
    pub fn say(&self, who: &str, all: impl IntoIterator<Item = (String, Statement)>) {
        self.0.send_if_modified(|said| {
            let mut next = said.clone();
            next.all.retain(|(other, _), _| other != who);
            next.all.extend(all.into_iter().map(|(path, statement)| ((who.to_owned(), path), statement)));
            let changed = next != *said;
            *said = next;
            changed
        });
    }

    /// The agent ends: a last word for each, then [`run`] returns.
    pub fn end(&self) {
        self.0.send_modify(|said| said.over = true);
    }
}

/// What a document of KV version 2 says of its rotation; `None` for anything else. `ring`: whether its reader gets the
/// whole ring of keys.
pub(crate) fn reading(document: &Document, ring: bool) -> Option<Reading> {
    document.version()?;
    // EXPOSE: only numbers and states are taken.
    Reading::of(document.expose_data().as_bytes(), ring).ok()
}

/// Says it, until [`Voice::end`].
pub async fn run(voice: Voice, store: Store) {
    let mut news = voice.0.subscribe();
    let mut rooms: BTreeMap<String, Room> = BTreeMap::new();
    loop {
        let said = news.borrow_and_update().clone();
        if said.over {
            for (place, room) in &mut rooms {
                room.leave(place, &store).await;
            }
            return;
        }
        let places = said.all.keys().filter_map(|(_, path)| place(path));
        let mut places: BTreeSet<String> = places.map(|(place, _)| place.to_owned()).collect();
        places.extend(rooms.keys().cloned());
        // Others ask the socket: how long their copies are kept follows from the same policy.
        let report = store.report().await;
        let entries = report.iter().flat_map(|report| &report.entries);
        places.extend(entries.filter_map(|(path, _)| Some(place(path)?.0.to_owned())));
        for place in places.into_iter().take(ROOMS) {
            rooms.entry(place.clone()).or_default().speak(&place, &said.all, &store).await;
        }
        let now = store.clock().boot();
        let wake = rooms.values().flat_map(|room| [room.speaker.wake_at(), room.look_at()]).flatten().min();
        let wait = wake.map_or(LONGEST, |at| at.saturating_sub(now)).min(LONGEST);
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait.max(Duration::from_millis(20))) => {}
        }
    }
}

/// `<mount>/data/<environment>` and what follows it.
fn place(path: &str) -> Option<(&str, Target)> {
    let (mount, rest) = path.split_once("/data/")?;
    let (environment, name) = rest.split_once('/')?;
    let target = Target::new(name).ok()?;
    let end = mount.len().saturating_add("/data/".len()).saturating_add(environment.len());
    Some((path.get(..end)?, target))
}

/// One environment.
struct Room {
    policy: RotPolicy,
    /// Whether the policy was ever read here.
    seen: bool,
    /// Whether it was said that it may not be read.
    hidden: bool,
    asked: Option<Duration>,
    speaker: Speaker<Key>,
}

impl Default for Room {
    fn default() -> Self {
        let policy = RotPolicy::default();
        let speaker = Speaker::new(policy.soft_ttl, policy.max_stale);
        Self { policy, seen: false, hidden: false, asked: None, speaker }
    }
}

impl Room {
    async fn speak<'a>(&mut self, place: &str, all: &'a BTreeMap<Key, Statement>, store: &Store) {
        let here = |(key, statement): (&'a Key, &'a Statement)| {
            let (own, target) = self::place(&key.1)?;
            (own == place).then_some((key, target, statement))
        };
        let rotates = |statement: &Statement| *statement != Statement { epoch: 0, in_use: 0, ..*statement };
        let here: Vec<_> = all.iter().filter_map(here).collect();
        self.read_policy(place, here.iter().any(|(.., statement)| rotates(statement)), store).await;
        let here = here.into_iter().filter(|(_, target, statement)| {
            rotates(statement) || self.policy.schedules.contains_key(target)
        });
        let here: BTreeMap<&Key, &Statement> = here.map(|(key, _, statement)| (key, statement)).collect();
        self.speaker.forget(|key| !here.contains_key(key));
        let all =
            here.into_iter().map(|(key, statement)| (key.clone(), consumer::id(&key.0, None), *statement));
        let clock = Arc::clone(store.clock());
        let words = self.speaker.pick(clock.boot(), clock.wall(), all.collect());
        self.write(place, words, store).await;
    }

    async fn leave(&mut self, place: &str, store: &Store) {
        let words = self.speaker.farewell(store.clock().wall());
        self.write(place, words, store).await;
    }

    async fn write(&mut self, place: &str, words: Vec<Word<Key>>, store: &Store) {
        if words.is_empty() {
            return;
        }
        let mut told = Vec::with_capacity(words.len());
        for word in words {
            let fate = write_one(place, &word, store).await;
            tracing::debug!(path = word.key.1, consumer = %word.ack.consumer, epoch = word.ack.epoch, ?fate, "acknowledged");
            told.push((word, fate));
        }
        let clock = store.clock();
        let wall = clock.wall();
        // As the answers had it.
        let server = shifted(wall, store.server_ahead());
        for trouble in self.speaker.told(clock.boot(), (wall, Some(server)), told) {
            match trouble {
                Trouble::Denied => tracing::info!(
                    place,
                    "the server does not allow the agent to acknowledge under _rot/ack; rotations wait for time to pass instead"
                ),
                Trouble::Taken(name) => {
                    tracing::warn!(consumer = %name, "somebody else acknowledges under this name; another is taken");
                }
            }
        }
    }

    /// A shorter policy is known before a rotation reckons with it: after the `soft_ttl` that held before.
    fn interval(&self) -> Duration {
        self.policy.soft_ttl.clamp(SOONEST, POLICY)
    }

    fn look_at(&self) -> Option<Duration> {
        self.asked.map(|asked| asked.saturating_add(self.interval()))
    }

    /// Nobody has to be allowed to read it: then its defaults stand, but what rotates is kept no longer than any rotation
    /// waits, since the policy may be shorter.
    async fn read_policy(&mut self, place: &str, rotates: bool, store: &Store) {
        let now = store.clock().boot();
        if self.asked.is_some_and(|asked| now < asked.saturating_add(self.interval())) {
            return;
        }
        self.asked = Some(now);
        let document = match store.peek(&format!("{place}/{}", paths::POLICY)).await {
            Peek::There(document) => document,
            Peek::Denied if rotates && !self.seen => return self.keep_briefly(place, store).await,
            Peek::Denied | Peek::Nothing => return,
        };
        // EXPOSE: a policy holds no secret.
        match RotPolicy::parse(document.expose_data().as_bytes()) {
            Ok(policy) => {
                self.seen = true;
                store.bound(place, policy.max_stale).await;
                self.speaker.set_bounds(policy.soft_ttl, policy.max_stale);
                self.policy = policy;
            }
            Err(error) => {
                tracing::warn!(place, %error, "_rot/policy is not to be understood; its defaults stand")
            }
        }
    }

    /// As long as any rotation waits before it counts on everybody to have a new value, whatever the policy says: the
    /// allowance for clocks.
    async fn keep_briefly(&mut self, place: &str, store: &Store) {
        if !std::mem::replace(&mut self.hidden, true) {
            tracing::warn!(
                place,
                keeps = CLOCK_ALLOWANCE.as_secs_f64(),
                "the server does not let the agent read _rot/policy, which says how long values that rotate may be kept; \
                 until its role may read it, they are kept for so many seconds only"
            );
        }
        store.bound(place, CLOCK_ALLOWANCE).await;
    }
}

async fn write_one(place: &str, word: &Word<Key>, store: &Store) -> Fate {
    let Some((_, target)) = self::place(&word.key.1) else { return Fate::Refused };
    let path = format!("{place}/{}/ack/{target}/{}", paths::FOLDER, word.ack.consumer);
    let body = json!({ "options": { "cas": word.cas }, "data": word.ack });
    let Ok(body) = Body::json(&body) else { return Fate::Refused };
    match store.acknowledge(&path, body).await {
        Ok(version) => Fate::Written(version),
        Err(ErrorKind::Conflict) => Fate::Conflict,
        Err(ErrorKind::Denied) => Fate::Denied,
        Err(
            ErrorKind::Unreachable
            | ErrorKind::Unauthenticated
            | ErrorKind::Sealed
            | ErrorKind::Server
            | ErrorKind::RateLimited,
        ) => Fate::Lost,
        Err(_) => Fate::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_the_first_segment_below_the_mount() {
        let of = |path| place(path).map(|(place, target)| (place.to_owned(), target.to_string()));
        let wanted = Some(("team/kv/data/prod".to_owned(), "jwt/secret_key".to_owned()));
        assert_eq!(of("team/kv/data/prod/jwt/secret_key"), wanted);
        for other in ["database/creds/app", "kv/data/prod", "kv/metadata/prod/jwt", "kv/data/prod/_rot/x"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_part_takes_back_what_it_does_not_say_again() {
        let voice = Voice::default();
        let statement = Statement { epoch: 1, in_use: 1, frozen: false, refusals: 0 };
        let mut news = voice.0.subscribe();
        voice.say("files", [("a".to_owned(), statement), ("b".to_owned(), statement)]);
        voice.say("web", [("a".to_owned(), statement)]);
        voice.say("files", [("b".to_owned(), statement)]);
        let said: Vec<Key> = news.borrow_and_update().all.keys().cloned().collect();
        assert_eq!(said, [("files".to_owned(), "b".to_owned()), ("web".to_owned(), "a".to_owned())]);
        voice.say("web", [("a".to_owned(), statement)]);
        assert!(!news.has_changed().unwrap(), "the same is no news");
    }
}
