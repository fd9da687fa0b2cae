//! The consumer's side of acknowledgements: what is said of which document, under which name, and when.
//!
//! Words are written under check-and-set. A consumer that finds that somebody else writes under its name takes another
//! one, so that neither hides what the other one uses.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::Wall;

use crate::ack::shifted;
use crate::{Ack, CLOCK_ALLOWANCE, ConsumerId};

/// Between two words about refused logins.
const REFUSALS_APART: Duration = Duration::from_secs(10);
/// After a word that did not arrive.
const AGAIN: Duration = Duration::from_secs(5);
/// More documents than this are not spoken of.
const TARGETS: usize = 512;
/// A clock that is off by more is corrected at once.
const OFF: u64 = 30;
/// Names that are tried until one is free.
const NAMES: u32 = 8;

/// What is said of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// As in [`Ack::epoch`].
    pub epoch: u64,
    /// As in [`Ack::in_use`].
    pub in_use: u64,
    /// As in [`Ack::frozen`].
    pub frozen: bool,
    /// As in [`Ack::auth_failures_60s`].
    pub refusals: u32,
}

/// An acknowledgement that is to be written now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<K> {
    /// Which document, as whoever asks calls it.
    pub key: K,
    /// The document to be written; its consumer is the last segment of the path.
    pub ack: Ack,
    /// The version that must be the newest one.
    pub cas: u64,
    statement: Statement,
}

/// How a word fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is this version now.
    Written(u64),
    /// There was no answer: it may have been written, or may be yet.
    Lost,
    /// The newest version is another one.
    Conflict,
    /// The server does not allow it.
    Denied,
    /// The server does not take it, and will not soon.
    Refused,
}

/// What somebody should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Acknowledgements are not allowed; said once.
    Denied,
    /// Somebody else has this name; another one is taken.
    Taken(ConsumerId),
}

/// When what was said, and what is to be said next.
#[derive(Debug)]
pub struct Speaker<K> {
    soft: Duration,
    lasts: Duration,
    said: BTreeMap<K, Said>,
    busy: bool,
    changed: bool,
    denied: bool,
    /// The server's time minus ours, in seconds.
    ahead: i64,
}

#[derive(Debug)]
struct Said {
    consumer: ConsumerId,
    /// Which of its names it has.
    name: u32,
    version: u64,
    /// Whether a word is under way, or landed, that we know nothing of.
    unsure: bool,
    statement: Option<Statement>,
    at: Duration,
    next: Duration,
    /// What was believed of the clock when it was said.
    ahead: i64,
    leaving: bool,
    /// Nothing is said of it for now.
    absent: bool,
}

impl<K: Ord + Clone> Speaker<K> {
    /// Nothing has been said. `soft` and `max_stale` are the policy's.
    #[must_use]
    pub fn new(soft: Duration, max_stale: Duration) -> Self {
        Self {
            soft,
            lasts: max_stale.saturating_add(CLOCK_ALLOWANCE * 2),
            said: BTreeMap::new(),
            busy: false,
            changed: true,
            denied: false,
            ahead: 0,
        }
    }

    /// The policy's bounds may be others now.
    pub fn set_bounds(&mut self, soft: Duration, max_stale: Duration) {
        let lasts = max_stale.saturating_add(CLOCK_ALLOWANCE * 2);
        if (self.soft, self.lasts) != (soft, lasts) {
            (self.soft, self.lasts) = (soft, lasts);
            for said in self.said.values_mut() {
                said.next = said.next.min(said.at.saturating_add(soft));
            }
        }
    }

    /// Something may have changed.
    pub fn look(&mut self) {
        self.changed = true;
    }

    /// When to look again.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let present = self.said.values().filter(|said| !said.absent || said.leaving);
        if self.busy { None } else { present.map(|said| said.next).min() }
    }

    /// Whether to [`pick`](Self::pick) now.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        !self.busy && (self.changed || self.wake_at().is_some_and(|at| at <= now))
    }

    /// The server's time as far as it is known; `wall` is our own clock.
    #[must_use]
    pub fn server_time(&self, wall: Wall) -> Wall {
        shifted(wall, self.ahead)
    }

    /// What of all that could be said, by each consumer, is to be said now. `wall` is our own clock.
    pub fn pick(
        &mut self,
        now: Duration,
        wall: Wall,
        mut all: Vec<(K, ConsumerId, Statement)>,
    ) -> Vec<Word<K>> {
        self.changed = false;
        all.truncate(TARGETS);
        // What is not spoken of any more is looked at when it is again.
        for (key, said) in &mut self.said {
            said.absent = !all.iter().any(|(present, _, _)| present == key);
        }
        let mut words = self.leave(wall);
        for (key, consumer, statement) in all {
            if self.is_news(now, &key, statement) {
                words.push(self.word(key, consumer, statement, wall));
            }
        }
        self.busy = !words.is_empty();
        words
    }

    /// Takes in how it went. `server` is the server's time by its newest answer, which is one of
    /// these unless all are lost; `wall` is our own.
    pub fn told(
        &mut self,
        now: Duration,
        (wall, server): (Wall, Option<Wall>),
        told: Vec<(Word<K>, Fate)>,
    ) -> Vec<Trouble> {
        (self.busy, self.changed) = (false, true);
        let answered = told.iter().any(|(_, fate)| *fate != Fate::Lost);
        if let Some(server) = server.filter(|_| answered) {
            self.ahead = i64::try_from(server.secs()).unwrap_or(0) - i64::try_from(wall.secs()).unwrap_or(0);
        }
        let (soft, ahead) = (self.soft, self.ahead);
        let mut troubles = Vec::new();
        for (word, fate) in told {
            let Some(said) = self.said.get_mut(&word.key) else { continue };
            said.at = now;
            if let Some(trouble) = said.fared(&word, fate, now, soft) {
                troubles.push(trouble);
            }
            if said.leaving {
                // Its name and version are kept, for when it is spoken of again.
                (said.leaving, said.statement, said.next) = (false, None, now);
            } else if said.ahead.abs_diff(ahead) > OFF && said.statement.is_some() {
                // It was dated with a clock that is wrong: said again at once.
                said.next = now;
                said.statement = None;
            }
        }
        troubles.retain(|trouble| *trouble != Trouble::Denied || !std::mem::replace(&mut self.denied, true));
        troubles
    }

    /// These are spoken of no more: a last word says so.
    pub fn forget(&mut self, gone: impl Fn(&K) -> bool) {
        for (key, said) in &mut self.said {
            said.leaving |= said.statement.is_some() && gone(key);
        }
        self.changed = true;
    }

    /// What is said at the end: that this is no consumer any more.
    pub fn farewell(&mut self, wall: Wall) -> Vec<Word<K>> {
        self.forget(|_| true);
        self.leave(wall)
    }

    fn leave(&mut self, wall: Wall) -> Vec<Word<K>> {
        let expires = shifted(wall, self.ahead);
        let last = |(key, said): (&K, &Said)| {
            let statement = said.statement.filter(|_| said.leaving)?;
            Some(Word { key: key.clone(), ack: said.ack(statement, expires), cas: said.version, statement })
        };
        self.said.iter().filter_map(last).collect()
    }

    fn is_news(&mut self, now: Duration, key: &K, statement: Statement) -> bool {
        let Some(said) = self.said.get_mut(key) else { return true };
        said.leaving = false;
        let Some(before) = said.statement else { return said.next <= now };
        let facts = |of: Statement| (of.epoch, of.in_use, of.frozen);
        if facts(before) != facts(statement) || said.next <= now {
            return true;
        }
        if before.refusals < statement.refusals {
            said.next = said.next.min(said.at.saturating_add(REFUSALS_APART));
        }
        said.next <= now
    }

    fn word(&mut self, key: K, consumer: ConsumerId, statement: Statement, wall: Wall) -> Word<K> {
        let ahead = self.ahead;
        let said = self.said.entry(key.clone()).or_insert_with(|| Said::new(consumer));
        said.ahead = ahead;
        let ack = said.ack(statement, shifted(wall, ahead).plus(self.lasts));
        Word { key, ack, cas: said.version, statement }
    }
}

impl Said {
    const fn new(consumer: ConsumerId) -> Self {
        let (at, next) = (Duration::ZERO, Duration::ZERO);
        Self {
            consumer,
            name: 1,
            version: 0,
            unsure: false,
            statement: None,
            at,
            next,
            ahead: 0,
            leaving: false,
            absent: false,
        }
    }

    fn ack(&self, statement: Statement, expires: Wall) -> Ack {
        let Statement { epoch, in_use, frozen, refusals } = statement;
        let consumer = self.consumer.numbered(self.name);
        let mut ack = Ack::new(consumer, epoch, in_use, expires);
        (ack.frozen, ack.auth_failures_60s) = (frozen, refusals);
        ack
    }

    fn fared<K>(&mut self, word: &Word<K>, fate: Fate, now: Duration, soft: Duration) -> Option<Trouble> {
        let mut trouble = None;
        let (statement, pause) = match fate {
            Fate::Written(version) => {
                (self.version, self.unsure) = (version, false);
                (Some(word.statement), soft.mul_f32(0.9))
            }
            Fate::Lost => {
                self.unsure = true;
                (None, AGAIN.min(soft))
            }
            Fate::Conflict if self.unsure => {
                // The word that was lost has landed.
                (self.version, self.unsure) = (self.version.saturating_add(1), false);
                (None, Duration::ZERO)
            }
            Fate::Conflict if self.version > 0 => {
                // Somebody has cleared it away.
                self.version = 0;
                (None, Duration::ZERO)
            }
            Fate::Conflict => {
                trouble = Some(Trouble::Taken(self.consumer.numbered(self.name)));
                self.name = if self.name < NAMES { self.name.saturating_add(1) } else { 1 };
                (None, if self.name == 1 { soft } else { Duration::ZERO })
            }
            // A 403 may be a token that has just ended: the next word shows it.
            Fate::Denied => {
                trouble = Some(Trouble::Denied);
                (None, soft)
            }
            Fate::Refused => (None, soft),
        };
        (self.statement, self.next) = (statement, now.saturating_add(pause));
        trouble
    }
}

#[cfg(test)]
mod tests;
