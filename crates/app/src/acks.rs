//! What this process says of documents that rotate: which epoch it has, which generation it uses.
//!
//! A rotation waits for this word before it goes on, so it is given at once when something changes, and again in every
//! `soft_ttl`, before its registration ends. No reader waits for it; a server that does not allow it is told nothing, and
//! the rotation waits for time to pass instead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_cache::Parameters;
use coffre_client::{Body, Client, ErrorKind};
use coffre_rotation::{Ack, CLOCK_ALLOWANCE, ConsumerId, Target, WireDocument as _, paths};

use crate::perform::Place;
use crate::recipe::Key;

/// Between two words about refused logins.
const REFUSALS_APART: Duration = Duration::from_secs(10);
/// After a word that did not arrive.
const AGAIN: Duration = Duration::from_secs(5);
/// More documents than this are not spoken of.
const TARGETS: usize = 512;

/// What is said of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) epoch: u64,
    pub(crate) in_use: u64,
    pub(crate) refusals: u32,
}

/// When what was said.
pub(crate) struct Acks {
    consumer: ConsumerId,
    soft: Duration,
    lasts: Duration,
    said: BTreeMap<Key, Said>,
    /// Whether words are on their way.
    pub(crate) busy: bool,
    /// Whether something may have changed.
    pub(crate) changed: bool,
    /// Whether the log knows that they are not allowed.
    denied: bool,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    statement: Option<Statement>,
    at: Duration,
    next: Duration,
}

/// How a word fared.
pub(crate) struct Told {
    key: Key,
    statement: Statement,
    result: Result<(), ErrorKind>,
}

impl Acks {
    pub(crate) fn new(consumer: ConsumerId, parameters: &Parameters) -> Self {
        Self {
            consumer,
            soft: parameters.soft,
            lasts: parameters.hard.saturating_add(CLOCK_ALLOWANCE * 2),
            said: BTreeMap::new(),
            busy: false,
            changed: true,
            denied: false,
        }
    }

    /// When to look again.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        if self.busy { None } else { self.said.values().map(|said| said.next).min() }
    }

    pub(crate) fn is_due(&self, now: Duration) -> bool {
        !self.busy && (self.changed || self.wake_at().is_some_and(|at| at <= now))
    }

    /// What of this is to be said now.
    pub(crate) fn pick(&mut self, now: Duration, mut all: Vec<(Key, Statement)>) -> Vec<(Key, Statement)> {
        self.changed = false;
        all.truncate(TARGETS);
        self.said.retain(|key, _| all.iter().any(|(known, _)| known == key));
        all.retain(|(key, statement)| {
            let Some(said) = self.said.get_mut(key) else { return true };
            let Some(before) = said.statement else { return said.next <= now };
            if (before.epoch, before.in_use) != (statement.epoch, statement.in_use) || said.next <= now {
                return true;
            }
            if before.refusals < statement.refusals {
                said.next = said.next.min(said.at.saturating_add(REFUSALS_APART));
            }
            said.next <= now
        });
        self.busy = !all.is_empty();
        all
    }

    /// Takes in how it went.
    pub(crate) fn told(&mut self, now: Duration, told: Vec<Told>) {
        self.busy = false;
        self.changed = true;
        for Told { key, statement, result } in told {
            let (statement, pause) = match result {
                Ok(()) => (Some(statement), self.soft.mul_f32(0.9)),
                Err(
                    ErrorKind::Unreachable | ErrorKind::Sealed | ErrorKind::Server | ErrorKind::RateLimited,
                ) => (None, AGAIN.min(self.soft)),
                // A 403 may be a token that has just ended: the next word shows it.
                Err(_) => (None, self.soft),
            };
            if result == Err(ErrorKind::Denied) && !std::mem::replace(&mut self.denied, true) {
                tracing::info!(
                    path = %key,
                    "the server does not allow acknowledgements under _rot/ack; rotations wait for time to pass instead"
                );
            }
            self.said.insert(key, Said { statement, at: now, next: now.saturating_add(pause) });
        }
    }

    /// The documents to be written.
    pub(crate) fn documents(&self, all: Vec<(Key, Statement)>, wall: Wall) -> Vec<(Key, Statement, Ack)> {
        let document = |(key, statement): (Key, Statement)| {
            let Statement { epoch, in_use, refusals } = statement;
            let mut ack = Ack::new(self.consumer.clone(), epoch, in_use, wall.plus(self.lasts));
            ack.auth_failures_60s = refusals;
            (key, statement, ack)
        };
        all.into_iter().map(document).collect()
    }

    /// What is said at the end: that this process is no consumer any more.
    pub(crate) fn farewell(&self, wall: Wall) -> Vec<(Key, Statement, Ack)> {
        let said = self.said.iter().filter_map(|(key, said)| Some((key.clone(), said.statement?)));
        let mut all = self.documents(said.collect(), wall);
        for (_, _, ack) in &mut all {
            ack.expires = wall;
        }
        all
    }
}

/// Writes them, one after the other.
pub(crate) async fn write(client: Client, place: Arc<Place>, all: Vec<(Key, Statement, Ack)>) -> Vec<Told> {
    let mut told = Vec::with_capacity(all.len());
    for (key, statement, ack) in all {
        let result = write_one(&client, &place, &key, &ack).await;
        told.push(Told { key, statement, result });
    }
    told
}

async fn write_one(client: &Client, place: &Place, key: &Key, ack: &Ack) -> Result<(), ErrorKind> {
    let target = Target::new(key.path()).map_err(|_| ErrorKind::Denied)?;
    let path = paths::ack(&place.environment, &target, &ack.consumer);
    let text = ack.write().map_err(|_| ErrorKind::Denied)?;
    let written = client.kv2_write(&place.mount, &path, Body::from_json_text(text), None).await;
    written.map(drop).map_err(|error| error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn acks() -> Acks {
        let parameters = Parameters { soft: s(300), hard: s(3600), ..Parameters::default() };
        Acks::new(ConsumerId::of("api", "web", "b", "1"), &parameters)
    }

    fn all(epoch: u64, refusals: u32) -> Vec<(Key, Statement)> {
        vec![(Key::Document(Arc::from("jwt")), Statement { epoch, in_use: 1, refusals })]
    }

    fn tell(
        acks: &mut Acks,
        now: Duration,
        epoch: u64,
        refusals: u32,
        result: Result<(), ErrorKind>,
    ) -> bool {
        let picked = acks.pick(now, all(epoch, refusals));
        let some = !picked.is_empty();
        let told = picked.into_iter().map(|(key, statement)| Told { key, statement, result });
        acks.told(now, told.collect());
        some
    }

    #[test]
    fn it_is_said_when_it_changes_and_before_it_ends() {
        let mut acks = acks();
        assert!(acks.is_due(s(0)) && tell(&mut acks, s(0), 1, 0, Ok(())));
        assert!(!tell(&mut acks, s(100), 1, 0, Ok(())), "nothing new");
        assert!(tell(&mut acks, s(100), 2, 0, Ok(())), "another epoch is said at once");
        assert_eq!(acks.wake_at(), Some(s(370)));
        assert!(!tell(&mut acks, s(105), 2, 3, Ok(())), "refused logins wait a moment");
        assert_eq!(acks.wake_at(), Some(s(110)));
        assert!(tell(&mut acks, s(110), 2, 3, Ok(())));
        let said = acks.documents(all(2, 3), Wall::from_secs(1000)).remove(0).2;
        assert_eq!((said.expires, said.auth_failures_60s), (Wall::from_secs(1000 + 3600 + 120), 3));
        assert_eq!(acks.farewell(Wall::from_secs(2000)).remove(0).2.expires, Wall::from_secs(2000));
    }

    #[test]
    fn what_did_not_arrive_is_said_again_and_what_is_not_allowed_less_often() {
        let mut acks = acks();
        tell(&mut acks, s(0), 1, 0, Err(ErrorKind::Unreachable));
        assert_eq!(acks.wake_at(), Some(s(5)));
        assert!(!tell(&mut acks, s(4), 2, 0, Ok(())), "a server that is away is not asked at each change");
        tell(&mut acks, s(5), 1, 0, Err(ErrorKind::Denied));
        assert!(acks.denied && acks.wake_at() == Some(s(305)));
        assert!(acks.farewell(Wall::from_secs(1)).is_empty(), "nothing was said");
    }
}
