//! What is said of a program that has what rotates: which epoch, which generation, and whether it stands still.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_agent::supervise::{Health, OnChange};
use coffre_ambient::{Clock as _, SystemClock};
use coffre_client::{Body, Client, ErrorKind};
use coffre_rotation::{
    ConsumerId, Fate, Ledger, RotPolicy, Speaker, Target, Trouble, WireDocument as _, Word, paths,
};
use coffre_source::consumer;
use coffre_source::start::Started;

use super::Setup;
use super::options::Options;
use super::supervised::say;

/// The policy is not read more often.
const POLICY: Duration = Duration::from_secs(60);
/// Waits are not longer.
const LONGEST: Duration = Duration::from_secs(60);

/// The consumer that the program is.
pub(super) struct Words {
    mount: String,
    environment: String,
    me: ConsumerId,
    /// It has what it was started with, until it is over.
    stands: bool,
    ledger: Ledger,
    speaker: Speaker<String>,
    policy_at: Option<Duration>,
    /// Whether there is anything to speak of.
    rotates: bool,
}

impl Words {
    pub(super) fn of(setup: &Setup, program: &str, options: &Options) -> Self {
        let policy = RotPolicy::default();
        Self {
            mount: setup.manifest.mount().to_owned(),
            environment: setup.environment.name.clone(),
            me: consumer::id(setup.service.as_deref().unwrap_or(program), None),
            stands: !options.watch || options.policy.on_change == OnChange::None,
            ledger: Ledger::default(),
            speaker: Speaker::new(policy.soft_ttl, policy.max_stale),
            policy_at: None,
            rotates: false,
        }
    }

    /// The number of what was read, by which the supervisor says what the program has.
    pub(super) fn number(&mut self, started: &Started) -> u64 {
        self.rotates |= !started.rotating.is_empty();
        self.ledger.number(started.rotating.clone())
    }

    /// How long there is nothing to say, if nothing happens.
    pub(super) fn wait(&self) -> Duration {
        if !self.rotates {
            return LONGEST;
        }
        let wake = self.speaker.wake_at().map_or(LONGEST, |at| at.saturating_sub(SystemClock.boot()));
        wake.clamp(Duration::from_millis(50), LONGEST)
    }

    /// Says what the program has now. A server that is away, or does not allow it, stops nothing.
    pub(super) async fn speak(&mut self, health: &[Health], client: Option<&Client>) {
        let (Some(seen), Some(client), true) = (health.first(), client, self.rotates) else { return };
        self.read_policy(client).await;
        let said = self.ledger.statements(seen.holds, self.stands || !seen.current);
        let said: BTreeMap<String, _> = said.into_iter().collect();
        self.speaker.forget(|path| !said.contains_key(path));
        let all = said.into_iter().map(|(path, statement)| (path, self.me.clone(), statement)).collect();
        let words = self.speaker.pick(SystemClock.boot(), SystemClock.wall(), all);
        self.write(client, words).await;
    }

    /// The program is over: nobody has to wait for it.
    pub(super) async fn leave(&mut self, client: Option<&Client>) {
        let words = self.speaker.farewell(SystemClock.wall());
        if let Some(client) = client {
            self.write(client, words).await;
        }
    }

    async fn write(&mut self, client: &Client, words: Vec<Word<String>>) {
        if words.is_empty() {
            return;
        }
        let mut told = Vec::with_capacity(words.len());
        for word in words {
            let fate = self.write_one(client, &word).await;
            told.push((word, fate));
        }
        let clocks = (SystemClock.wall(), client.server_date());
        for trouble in self.speaker.told(SystemClock.boot(), clocks, told) {
            if let Trouble::Taken(name) = trouble {
                say(&format!(
                    "somebody else acknowledges as {name}; another name is taken (COFFRE_SERVICE tells services apart)"
                ));
            }
        }
    }

    async fn write_one(&self, client: &Client, word: &Word<String>) -> Fate {
        let Ok(target) = Target::new(&word.key) else { return Fate::Refused };
        let path = paths::ack(&self.environment, &target, &word.ack.consumer);
        let Ok(text) = word.ack.write() else { return Fate::Refused };
        match client.kv2_write(&self.mount, &path, Body::from_json_text(text), Some(word.cas)).await {
            Ok(version) => Fate::Written(version),
            Err(error) => match error.kind() {
                ErrorKind::Conflict => Fate::Conflict,
                ErrorKind::Denied => Fate::Denied,
                ErrorKind::Unreachable
                | ErrorKind::Sealed
                | ErrorKind::Server
                | ErrorKind::RateLimited
                | ErrorKind::Unauthenticated => Fate::Lost,
                _ => Fate::Refused,
            },
        }
    }

    /// Nobody has to be allowed to read it: then its defaults stand.
    async fn read_policy(&mut self, client: &Client) {
        let now = SystemClock.boot();
        if self.policy_at.is_some_and(|at| now < at.saturating_add(POLICY)) {
            return;
        }
        self.policy_at = Some(now);
        let path = paths::policy(&self.environment);
        let Ok(Some(found)) = client.kv2_read(&self.mount, &path, None).await else { return };
        let Some(text) = found.document() else { return };
        // EXPOSE: a policy holds no secret.
        if let Ok(policy) = RotPolicy::parse(text.expose().as_bytes()) {
            self.speaker.set_bounds(policy.soft_ttl, policy.max_stale);
        }
    }
}
