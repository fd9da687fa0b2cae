use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffre_ambient::{Clock, Entropy};
use coffre_rotation::EventKind;

use super::mail::{Email, Mailer};
use super::webhook::{Sender, Webhook};
use super::{Counts, Notice, USUAL};
use crate::Failure;

/// Notices that wait for one channel; beyond, the oldest goes.
const MAX_WAITING: usize = 256;
/// The first pause after a failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// After this a notice is given up.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a channel did not take a notice. No address, no answer of the peer: either may be a secret.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Worth another attempt.
    Later(String),
    /// It will not take this one.
    Never(String),
}

/// One way out, with what waits for it, oldest first.
pub(super) struct Channel {
    way: Way,
    name: String,
    events: Vec<EventKind>,
    queue: Mutex<Queue>,
}

enum Way {
    Webhook(Sender),
    Email(Mailer),
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    failures: u32,
    not_before: Duration,
}

#[derive(Clone)]
struct Waiting {
    notice: Arc<Notice>,
    since: Duration,
}

impl Channel {
    pub(super) fn webhook(settings: Webhook) -> Result<Self, Failure> {
        let events = usual(&settings.events);
        let sender = Sender::new(settings)?;
        Ok(Self { name: sender.name(), way: Way::Webhook(sender), events, queue: Mutex::default() })
    }

    pub(super) fn email(settings: Email) -> Result<Self, Failure> {
        let events = usual(&settings.events);
        let name = format!("e-mail through {}", settings.host);
        Ok(Self { way: Way::Email(Mailer::new(settings)?), name, events, queue: Mutex::default() })
    }

    pub(super) fn wants(&self, event: EventKind) -> bool {
        self.events.contains(&event)
    }

    /// Puts a notice into the queue; full, the oldest is given up.
    pub(super) fn put(&self, notice: Arc<Notice>, now: Duration, counts: &Counts) {
        let mut queue = self.queue();
        if queue.waiting.len() >= MAX_WAITING {
            queue.waiting.pop_front();
            counts.gave_up();
            tracing::error!(channel = %self.name, "too many notices wait; the oldest is given up");
        }
        queue.waiting.push_back(Waiting { notice, since: now });
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue().waiting.len()
    }

    /// How long until something can be sent; `None`: nothing waits.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        let queue = self.queue();
        (!queue.waiting.is_empty()).then(|| queue.not_before.saturating_sub(now))
    }

    /// Sends what waits, in order, until the channel refuses. A notice leaves the queue after it was taken, so a call
    /// that is dropped in between sends it again.
    pub(super) async fn deliver(&self, clock: &dyn Clock, entropy: &dyn Entropy, counts: &Counts) {
        loop {
            let head = {
                let queue = self.queue();
                if clock.boot() < queue.not_before {
                    return;
                }
                queue.waiting.front().cloned()
            };
            let Some(head) = head else { return };
            let sent = match &self.way {
                Way::Webhook(sender) => sender.send(&head.notice, clock.wall()).await,
                Way::Email(mailer) => mailer.send(&head.notice).await,
            };
            let now = clock.boot();
            let (done, why) = match sent {
                Ok(()) => {
                    counts.took();
                    self.queue().failures = 0;
                    (true, None)
                }
                Err(Refusal::Later(why)) if now.saturating_sub(head.since) < PATIENCE => {
                    let pause = self.pause(now, entropy);
                    tracing::warn!(channel = %self.name, %why, ?pause, "a notice was not taken; it is tried again");
                    counts.refused();
                    (false, None)
                }
                Err(Refusal::Later(why) | Refusal::Never(why)) => {
                    counts.refused();
                    (true, Some(why))
                }
            };
            if let Some(why) = why {
                counts.gave_up();
                tracing::error!(channel = %self.name, %why, key = head.notice.key(), "a notice is given up");
            }
            if !done {
                return;
            }
            let mut queue = self.queue();
            if queue.waiting.front().is_some_and(|first| Arc::ptr_eq(&first.notice, &head.notice)) {
                queue.waiting.pop_front();
            }
        }
    }

    /// Full jitter between half of the pause and all of it, so that many rotators do not come back together.
    fn pause(&self, now: Duration, entropy: &dyn Entropy) -> Duration {
        let mut queue = self.queue();
        let longest = FIRST_PAUSE.saturating_mul(1_u32 << queue.failures.min(12)).min(LONGEST_PAUSE);
        let mut drawn = [u8::MAX];
        let _full_pause_without = entropy.fill(&mut drawn);
        let pause = longest / 2 + longest.mul_f64(f64::from(drawn[0]) / 510.0);
        queue.failures = queue.failures.saturating_add(1);
        queue.not_before = now.saturating_add(pause);
        pause
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn usual(events: &[EventKind]) -> Vec<EventKind> {
    if events.is_empty() { USUAL.to_vec() } else { events.to_vec() }
}
