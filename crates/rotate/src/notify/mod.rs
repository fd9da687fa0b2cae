//! Telling people and programs what happened to a secret: log, counters, signed requests, e-mail.
//!
//! [`Notifier::tell`] never waits and never fails a rotation: it logs and counts at once and puts the rest into queues,
//! one for each channel, which [`Notifier::run`] or [`Notifier::flush`] empty. A channel that does not take a notice is
//! tried again with growing pauses, in order, for a day. Delivery is at least once; every notice carries a key
//! (`dedupe`) by which a receiver sees a repetition. What is told holds names, times, numbers of generations and keyed
//! fingerprints, never material.

mod channel;
mod counts;
mod mail;
mod notice;
mod webhook;

pub(crate) use webhook::trust;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::{Clock, Entropy};
use coffre_rotation::{EventKind, Happening, Target};
use tokio::sync::Notify;

use self::channel::Channel;
pub use self::counts::Counts;
pub use self::mail::{Email, Security};
pub use self::notice::Notice;
pub use self::webhook::Webhook;
use crate::Failure;

/// Keys of notices that are remembered.
const REMEMBERED: usize = 4096;
/// Channels of one notifier.
const MAX_CHANNELS: usize = 16;

/// Who is told what.
#[derive(Debug)]
pub struct NotifySettings {
    /// The project's name, for people who have several.
    pub project: String,
    /// The environment.
    pub environment: String,
    /// Addresses that get a signed request.
    pub webhooks: Vec<Webhook>,
    /// E-mail.
    pub email: Vec<Email>,
}

/// The events that people usually want: whatever needs them, and that something changed.
pub const USUAL: [EventKind; 8] = [
    EventKind::Due,
    EventKind::Promoted,
    EventKind::Destroyed,
    EventKind::Halted,
    EventKind::Overdue,
    EventKind::Drift,
    EventKind::Undo,
    EventKind::Rollback,
];

/// See the module.
pub struct Notifier {
    project: String,
    environment: String,
    channels: Vec<Channel>,
    told: Mutex<Told>,
    counts: Counts,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    wake: Notify,
    /// One delivery at a time: a flush beside a run would send twice.
    sending: tokio::sync::Mutex<()>,
}

impl Notifier {
    /// Checks the settings; connects to nothing.
    ///
    /// # Errors
    /// A configuration failure that names the channel and what is wrong.
    pub fn new(
        settings: NotifySettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Failure> {
        let NotifySettings { project, environment, webhooks, email } = settings;
        if webhooks.len() + email.len() > MAX_CHANNELS {
            return Err(Failure::config("more than 16 channels for notifications"));
        }
        let mut channels = Vec::new();
        for webhook in webhooks {
            channels.push(Channel::webhook(webhook)?);
        }
        for email in email {
            channels.push(Channel::email(email)?);
        }
        Ok(Self {
            project,
            environment,
            channels,
            told: Mutex::default(),
            counts: Counts::default(),
            clock,
            entropy,
            wake: Notify::new(),
            sending: tokio::sync::Mutex::default(),
        })
    }

    /// Tells everybody who wants to know; once for each key. States that last (`due`, `overdue`, `halted`, `drift`) are
    /// told once a day for each target.
    pub fn tell(&self, target: &Target, happening: &Happening) {
        let notice = Notice::new(&self.project, &self.environment, target, happening);
        if !self.told.lock().unwrap_or_else(PoisonError::into_inner).first_time(notice.key()) {
            self.counts.repeated();
            return;
        }
        notice.log();
        self.counts.told(happening.event);
        let notice = Arc::new(notice);
        for channel in self.channels.iter().filter(|channel| channel.wants(happening.event)) {
            channel.put(Arc::clone(&notice), self.clock.boot(), &self.counts);
        }
        self.wake.notify_one();
    }

    /// Delivers for ever; for a service, beside its loop. May be dropped at any time: what is not delivered stays queued.
    pub async fn run(&self) {
        loop {
            let pause = self.deliver().await;
            let woken = self.wake.notified();
            match pause {
                None => woken.await,
                Some(pause) => drop(tokio::time::timeout(pause, woken).await),
            }
        }
    }

    /// Delivers what can be within `patience`, for a program that ends afterwards. Returns how many notices are left.
    pub async fn flush(&self, patience: Duration) -> usize {
        let all = async {
            while let Some(pause) = self.deliver().await {
                tokio::time::sleep(pause).await;
            }
        };
        let _in_time = tokio::time::timeout(patience, all).await;
        self.waiting()
    }

    /// How many deliveries are outstanding.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.channels.iter().map(Channel::waiting).sum()
    }

    /// What was told and what became of it.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// One round over all channels, side by side, as far as each is due. Returns when the next round is worth it;
    /// `None`: nothing waits.
    async fn deliver(&self) -> Option<Duration> {
        let _alone = self.sending.lock().await;
        let rounds =
            self.channels.iter().map(|channel| channel.deliver(&*self.clock, &*self.entropy, &self.counts));
        futures_util::future::join_all(rounds).await;
        let now = self.clock.boot();
        self.channels.iter().filter_map(|channel| channel.next(now)).min()
    }
}

/// The keys of what was told, the newest [`REMEMBERED`] of them.
#[derive(Default)]
struct Told {
    order: VecDeque<String>,
    keys: HashSet<String>,
}

impl Told {
    fn first_time(&mut self, key: &str) -> bool {
        if !self.keys.insert(key.to_owned()) {
            return false;
        }
        self.order.push_back(key.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_remembered_up_to_a_bound() {
        let mut told = Told::default();
        assert!(told.first_time("a") && !told.first_time("a"));
        for number in 0..REMEMBERED {
            assert!(told.first_time(&number.to_string()));
        }
        assert_eq!((told.order.len(), told.keys.len()), (REMEMBERED, REMEMBERED));
        assert!(told.first_time("a"), "the oldest is forgotten");
    }
}
