//! Restart slots: a semaphore that a fleet shares in one KV v2 document, by check-and-set alone.
//!
//! The document is `<mount>/data/<environment>/_rot/rollout/<target>`. Whoever wants to restart writes itself among
//! the waiting; the waiting are served in the order of their names' hashes, which is the same for all and follows no
//! host names. A holder that died loses its slot when its time and an allowance for differing clocks have passed.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_client::{Body, Client, ErrorKind};
use serde::{Deserialize, Serialize};

/// How far clocks of a fleet may differ.
const ALLOWANCE: u64 = 60;
/// How long somebody who waits is believed to be there without saying so again.
const PRESENCE: u64 = 60;
/// More waiting than this are not written down; they ask again later.
const MOST_WAITING: usize = 1000;
/// How often a lost race is run again at once.
const ATTEMPTS: u32 = 4;

/// Who holds a slot or waits for one, until when (seconds since 1970).
type Until = BTreeMap<String, u64>;

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    #[serde(default)]
    holding: Until,
    #[serde(default)]
    waiting: Until,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The slot is ours.
    Granted,
    /// Others come first; ask again in some seconds.
    Wait,
    /// The server does not let us write the document: there are no slots.
    NotAllowed,
}

impl Rollout {
    /// Asks for a slot out of `most`, for `hold` seconds, at time `now`. Asking again keeps one's place.
    pub fn ask(&mut self, me: &str, now: u64, most: usize, hold: u64) -> bool {
        self.forget(now);
        if self.holding.contains_key(me) {
            self.holding.insert(me.to_owned(), now.saturating_add(hold));
            return true;
        }
        let ahead = self.waiting.keys().filter(|other| order(other) < order(me)).count();
        if self.holding.len().saturating_add(ahead) < most {
            self.waiting.remove(me);
            self.holding.insert(me.to_owned(), now.saturating_add(hold));
            return true;
        }
        if self.waiting.len() < MOST_WAITING || self.waiting.contains_key(me) {
            self.waiting.insert(me.to_owned(), now.saturating_add(PRESENCE));
        }
        false
    }

    /// Gives back whatever one has.
    pub fn leave(&mut self, me: &str) {
        self.holding.remove(me);
        self.waiting.remove(me);
    }

    fn forget(&mut self, now: u64) {
        self.holding.retain(|_, until| until.saturating_add(ALLOWANCE) > now);
        self.waiting.retain(|_, until| until.saturating_add(ALLOWANCE) > now);
    }
}

/// FNV-1a (64 bit): the same everywhere, in every version. Names that differ only at their end differ all over.
fn order(name: &str) -> (u64, &str) {
    let mixed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32), name)
}

/// One instance's access to the document.
#[derive(Clone, Debug)]
pub struct Slots {
    /// The engine.
    pub mount: String,
    /// The document below it.
    pub path: String,
    /// This instance: unique in the fleet, also over time.
    pub me: String,
    /// How many may be without service at the same time.
    pub most: usize,
    /// How long a restart may take before the slot is taken away.
    pub hold: Duration,
}

impl Slots {
    /// Asks, with the time in seconds since 1970. A server that does not answer is an error; ask again.
    pub async fn ask(&self, client: &Client, now: u64) -> Result<Asked, coffre_client::Error> {
        let hold = self.hold.as_secs();
        let asked = self.change(client, |rollout| rollout.ask(&self.me, now, self.most, hold)).await;
        match asked {
            Ok(Some(true)) => Ok(Asked::Granted),
            Ok(_) => Ok(Asked::Wait),
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound) => {
                Ok(Asked::NotAllowed)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the slot, or the place among the waiting, back. If that fails, time does it.
    pub async fn leave(&self, client: &Client) -> Result<(), coffre_client::Error> {
        self.change(client, |rollout| rollout.leave(&self.me)).await.map(drop)
    }

    /// One check-and-set; `None` if others were always faster.
    async fn change<T>(
        &self,
        client: &Client,
        mut change: impl FnMut(&mut Rollout) -> T,
    ) -> Result<Option<T>, coffre_client::Error> {
        for _ in 0..ATTEMPTS {
            let found = client.kv2_read(&self.mount, &self.path, None).await?;
            let version = found.as_ref().map_or(0, |entry| entry.version);
            // A document that is deleted or not ours starts afresh.
            let before: Rollout = found.and_then(|entry| entry.data().ok()).unwrap_or_default();
            let mut after = before.clone();
            let changed = change(&mut after);
            if after == before {
                return Ok(Some(changed));
            }
            match client.kv2_write(&self.mount, &self.path, Body::json(&after)?, Some(version)).await {
                Ok(_) => return Ok(Some(changed)),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_dead_holder_loses_its_slot() {
        let mut rollout = Rollout::default();
        assert!(rollout.ask("a", 1000, 1, 30));
        assert!(!rollout.ask("b", 1000 + 30 + ALLOWANCE - 1, 1, 30));
        assert!(rollout.ask("b", 1000 + 30 + ALLOWANCE, 1, 30));
        rollout.leave("b");
        assert!(rollout.ask("a", 1100, 1, 30));
    }

    #[test]
    fn somebody_who_waited_and_died_is_overtaken() {
        let mut rollout = Rollout::default();
        assert!(rollout.ask("holder", 0, 1, 10));
        let mut names = ["x", "y"];
        names.sort_by_key(|name| order(name));
        assert!(!rollout.ask(names[0], 0, 1, 10) && !rollout.ask(names[1], 0, 1, 10));
        rollout.leave("holder");
        assert!(!rollout.ask(names[1], 1, 1, 10), "the other one comes first");
        assert!(rollout.ask(names[1], PRESENCE + ALLOWANCE, 1, 10), "it has not been seen for long");
    }

    #[test]
    fn the_document_is_bounded() {
        let mut rollout = Rollout::default();
        for at in 0..MOST_WAITING + 50 {
            rollout.ask(&format!("instance-{at}"), 0, 1, 10);
        }
        assert_eq!(rollout.waiting.len(), MOST_WAITING);
    }

    proptest! {
        /// 40 instances that ask in any order, hold for a while and leave: never more than `most` hold, and in the end
        /// everybody has had its turn.
        #[test]
        fn never_too_many_and_everybody_in_the_end(
            most in 1_usize..5,
            turns in prop::collection::vec((0_usize..40, 0_u64..5), 0..400),
        ) {
            let names: Vec<String> = (0..40).map(|at| format!("web/host-{at}/1")).collect();
            let (mut rollout, mut now, mut served) = (Rollout::default(), 1000, std::collections::BTreeSet::new());
            let mut held: Vec<usize> = vec![];
            let everybody_often = (0..).flat_map(|_| 0..40).map(|at| (at, 0)).take(40 * 90);
            for (at, later) in turns.into_iter().chain(everybody_often) {
                now += later;
                if let Some(position) = held.iter().position(|held| *held == at) {
                    held.remove(position);
                    rollout.leave(&names[at]);
                } else if !served.contains(&at) && rollout.ask(&names[at], now, most, 1_000_000) {
                    held.push(at);
                    served.insert(at);
                }
                prop_assert!(rollout.holding.len() <= most && held.len() <= most);
            }
            prop_assert_eq!(served.len(), 40);
        }
    }
}
