//! What this process says of documents that rotate: which epoch it has, which generation it uses.
//!
//! A rotation waits for this word before it goes on, so it is given at once when something changes, and again in every
//! `soft_ttl`, before its registration ends. No reader waits for it; a server that does not allow it is told nothing, and
//! the rotation waits for time to pass instead.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_cache::Parameters;
use coffre_client::{Body, Client, ErrorKind};
use coffre_rotation::{
    ConsumerId, Fate, Speaker, Statement, Target, Trouble, WireDocument as _, Word, paths,
};

use crate::perform::Place;
use crate::recipe::Key;

/// The words of one instance.
pub(crate) struct Acks {
    consumer: ConsumerId,
    speaker: Speaker<Key>,
}

/// How words fared.
pub(crate) struct Told {
    words: Vec<(Word<Key>, Fate)>,
    /// The server's time, by its newest answer.
    server: Option<Wall>,
}

impl Acks {
    pub(crate) fn new(consumer: ConsumerId, parameters: &Parameters) -> Self {
        Self { consumer, speaker: Speaker::new(parameters.soft, parameters.hard) }
    }

    /// The policy's bounds are others now.
    pub(crate) fn bound(&mut self, parameters: &Parameters) {
        self.speaker.set_bounds(parameters.soft, parameters.hard);
    }

    /// Something may have changed.
    pub(crate) fn look(&mut self) {
        self.speaker.look();
    }

    /// When to look again.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.speaker.wake_at()
    }

    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.speaker.is_due(now)
    }

    /// The server's time as far as it is known; `wall` is our own clock.
    pub(crate) fn server_time(&self, wall: Wall) -> Wall {
        self.speaker.server_time(wall)
    }

    /// What of this is to be said now.
    pub(crate) fn pick(
        &mut self,
        now: Duration,
        wall: Wall,
        all: impl Iterator<Item = (Key, Statement)>,
    ) -> Vec<Word<Key>> {
        let all = all.map(|(key, statement)| (key, self.consumer.clone(), statement)).collect();
        self.speaker.pick(now, wall, all)
    }

    /// Takes in how it went.
    pub(crate) fn told(&mut self, now: Duration, wall: Wall, told: Told) {
        for trouble in self.speaker.told(now, (wall, told.server), told.words) {
            match trouble {
                Trouble::Denied => tracing::info!(
                    "the server does not allow acknowledgements under _rot/ack; rotations wait for time to pass instead"
                ),
                Trouble::Taken(name) => tracing::warn!(
                    consumer = %name,
                    "another process acknowledges under the same name; this one takes another: set COFFRE_SERVICE to tell them apart"
                ),
            }
        }
    }

    /// What is said at the end: that this process is no consumer any more.
    pub(crate) fn farewell(&mut self, wall: Wall) -> Vec<Word<Key>> {
        self.speaker.farewell(wall)
    }
}

/// Writes them, one after the other.
pub(crate) async fn write(client: Client, place: Arc<Place>, words: Vec<Word<Key>>) -> Told {
    let mut told = Vec::with_capacity(words.len());
    for word in words {
        let fate = write_one(&client, &place, &word).await;
        told.push((word, fate));
    }
    Told { words: told, server: client.server_date() }
}

async fn write_one(client: &Client, place: &Place, word: &Word<Key>) -> Fate {
    let Ok(target) = Target::new(word.key.path()) else { return Fate::Refused };
    let path = paths::ack(&place.environment, &target, &word.ack.consumer);
    let Ok(text) = word.ack.write() else { return Fate::Refused };
    match client.kv2_write(&place.mount, &path, Body::from_json_text(text), Some(word.cas)).await {
        Ok(version) => Fate::Written(version),
        Err(error) => match error.kind() {
            ErrorKind::Conflict => Fate::Conflict,
            ErrorKind::Denied => Fate::Denied,
            ErrorKind::Unreachable | ErrorKind::Sealed | ErrorKind::Server | ErrorKind::RateLimited => {
                Fate::Lost
            }
            _ => Fate::Refused,
        },
    }
}
