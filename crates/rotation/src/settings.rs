use std::time::Duration;

use crate::schedule::{Pause, When, Window, Zone};
use crate::{CLOCK_ALLOWANCE, Kind, RotPolicy};

/// Who does what has to be done outside, where the application has a rotation of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Bridge {
    /// It has none: the engine, or a person.
    #[default]
    None,
    /// The application's code, which this engine calls.
    Here,
    /// The application's code in another process: engines without it leave the target alone.
    Elsewhere,
}

/// The version of what the engine does in each phase; another one must show its worth again.
const PROCEDURE: u32 = 1;

/// How one target rotates. Follows from the manifest; [`crate::check`] says what cannot work.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// What sort of thing it is.
    pub kind: Kind,
    /// The schedule begins rotations; else only people do.
    pub automatic: bool,
    /// How often, or when.
    pub when: Option<When>,
    /// The zone of `when`, `window` and `pauses`.
    pub zone: Zone,
    /// The hours in which a rotation may begin.
    pub window: Option<Window>,
    /// When nothing is begun, beside the policy's blackouts.
    pub pauses: Vec<Pause>,
    /// So long after it was due a rotation waits for no window any more.
    pub overdue_after: Option<Duration>,
    /// `L`: how long what was signed with a key stays valid at most, refresh tokens included.
    pub token_lifetime: Option<Duration>,
    /// `w`: by how much verifiers forgive an expired token.
    pub leeway: Duration,
    /// So long after everybody has moved on, sessions of an old credential are left alone.
    pub grace: Duration,
    /// The most that a process lives which reads its values only when it starts, where some do.
    pub max_process_lifetime: Option<Duration>,
    /// Consumers that read only when they start, and neither acknowledge nor end in time.
    pub frozen: Vec<String>,
    /// Consumers that read only when they start, and whose supervisor restarts them and acknowledges.
    pub restarted: Vec<String>,
    /// Every consumer acknowledges: gates open as soon as all have.
    pub all_acknowledge: bool,
    /// So long a gate is waited for, then HALT.
    pub gate_deadline: Duration,
    /// So long a transient failure is borne, then HALT.
    pub retry_for: Duration,
    /// Between retirement and destruction of a signing key.
    pub destroy_hold: Duration,
    /// So long the same procedure must have gone well in the environment before this one, before the schedule begins here.
    pub promote_after: Option<Duration>,
    /// Targets of one group are promoted with a gap between them.
    pub group: Option<String>,
    /// An external action is over after that, or is given up.
    pub action_timeout: Duration,
    /// How long a claim holds.
    pub claim: Duration,
    /// `K`: by how much clocks may differ.
    pub allowance: Duration,
    /// How often new material is tried.
    pub attempts: u32,
    /// Whether the application's own code applies new material and retires old.
    pub bridge: Bridge,
    /// How soon to ask again what says "not yet": sessions that still live, evidence that is missing, a neighbour at work.
    pub look_again: Duration,
}

impl Settings {
    /// The defaults of a kind; not automatic.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            automatic: false,
            when: Some(When::Every(default_period(kind))),
            zone: Zone::utc(),
            window: None,
            pauses: Vec::new(),
            overdue_after: None,
            token_lifetime: None,
            leeway: Duration::ZERO,
            grace: Duration::from_secs(3_600),
            max_process_lifetime: None,
            frozen: Vec::new(),
            restarted: Vec::new(),
            all_acknowledge: false,
            gate_deadline: Duration::from_secs(86_400),
            retry_for: Duration::from_secs(86_400),
            destroy_hold: Duration::ZERO,
            promote_after: None,
            group: None,
            action_timeout: Duration::from_secs(30),
            claim: Duration::from_secs(120),
            allowance: CLOCK_ALLOWANCE,
            attempts: 3,
            bridge: Bridge::None,
            look_again: Duration::from_secs(60),
        }
    }

    /// What the rotation does, as a name: another version of the engine's procedure, or other settings that it follows, have
    /// another one. The schedule and the pace are not among them.
    #[must_use]
    pub fn procedure(&self) -> String {
        let what = format!(
            "{:?}",
            (
                self.kind,
                self.bridge == Bridge::None,
                (self.token_lifetime, self.leeway, self.grace),
                (&self.frozen, &self.restarted, self.max_process_lifetime),
                self.all_acknowledge,
            )
        );
        let digest = hex::encode(coffre_crypto::digest::sha256(what.as_bytes()));
        format!("{PROCEDURE}-{}", digest.get(..16).unwrap_or_default())
    }

    /// `L + w`; zero for what signs nothing.
    pub fn token_tail(&self) -> Duration {
        self.token_lifetime.unwrap_or_default().saturating_add(self.leeway)
    }

    /// `S + 2K`, or the longest life of a frozen process if that is more: how long after a write nobody has the old
    /// document any more.
    pub fn settled(&self, policy: &RotPolicy) -> Duration {
        let live = policy.max_stale.saturating_add(self.allowance.saturating_mul(2));
        live.max(self.max_process_lifetime.unwrap_or_default())
    }

    /// How long consumers take to have a new document, as a rule: those that acknowledge ask every `soft_ttl`.
    pub fn expected(&self, policy: &RotPolicy) -> Duration {
        if !self.all_acknowledge {
            return self.settled(policy);
        }
        let live = policy.soft_ttl.saturating_mul(2).saturating_add(self.allowance.saturating_mul(2));
        live.max(self.max_process_lifetime.unwrap_or_default())
    }

    /// How long after promotion the generation before may be retired at the earliest, by time alone:
    /// `S + 2K + L + w + K`.
    pub fn retire_after(&self, policy: &RotPolicy) -> Duration {
        self.settled(policy).saturating_add(self.token_tail()).saturating_add(self.allowance)
    }

    /// The most generations that are accepted at the same time: `1 + ceil((2S + 4K + L + w) / period) + 1`, where consumers
    /// that acknowledge count as they do as a rule. `None` without a period.
    pub fn accepted_bound(&self, policy: &RotPolicy) -> Option<u64> {
        let period = self.when.as_ref()?.shortest(&self.zone)?.as_nanos().max(1);
        let overlap = self.expected(policy).saturating_mul(2).saturating_add(self.token_tail());
        u64::try_from(overlap.as_nanos().div_ceil(period)).ok()?.checked_add(2)
    }

    /// Which phases do something for the kind.
    pub(crate) const fn steps(&self) -> Steps {
        let steps = Steps::of(self.kind);
        match self.bridge {
            Bridge::None => steps,
            // There is nothing that a person must do or bring.
            Bridge::Here | Bridge::Elsewhere => Steps { apply: true, by_hand: false, ..steps },
        }
    }
}

const fn default_period(kind: Kind) -> Duration {
    const DAY: u64 = 86_400;
    Duration::from_secs(match kind {
        Kind::SigningKey => 30 * DAY,
        Kind::EncryptionKey | Kind::External => 90 * DAY,
        Kind::PgAlternating | Kind::RedisTwoPassword | Kind::Dynamic => 7 * DAY,
    })
}

/// Which phases do something; the others are passed in the write of the phase before.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a row of the table of phases")]
pub(crate) struct Steps {
    pub(crate) apply: bool,
    pub(crate) publish: bool,
    pub(crate) reencrypt: bool,
    pub(crate) destroy: bool,
    /// At most two generations live: the old one must be gone before another is made.
    pub(crate) pair: bool,
    /// A person brings the material, and revokes the old one.
    pub(crate) by_hand: bool,
}

impl Steps {
    const fn of(kind: Kind) -> Self {
        let ring = matches!(kind, Kind::SigningKey | Kind::EncryptionKey);
        Self {
            apply: matches!(kind, Kind::PgAlternating | Kind::RedisTwoPassword | Kind::Dynamic),
            publish: ring,
            reencrypt: matches!(kind, Kind::EncryptionKey),
            destroy: ring,
            pair: !ring,
            by_hand: matches!(kind, Kind::External),
        }
    }
}
