use std::sync::Arc;
use std::time::Duration;

use crate::event::{EntryId, FlightId, Generation, ProbeId, Revision, WaiterId};

/// What the driver does next. Commands stand in the order in which they are to be done; none of them blocks.
#[derive(Clone, Debug)]
pub enum Command<V> {
    /// Ask the server for the document, with this token (`None`: the transport needs none). One attempt, its own
    /// time-out at most [`crate::Limits::request`]; answered by [`crate::Event::Landed`].
    StartFlight {
        /// The request.
        flight: FlightId,
        /// What to ask for.
        entry: EntryId,
        /// With which token.
        token: Option<Generation>,
    },
    /// Renew a lease; answered by [`crate::Event::LeaseRenewed`].
    RenewLease {
        /// The request.
        flight: FlightId,
        /// Whose lease.
        entry: EntryId,
        /// `lease_id`.
        lease: Arc<str>,
        /// `increment` to ask for.
        increment: Duration,
        /// The token that got the lease.
        token: Option<Generation>,
    },
    /// Nobody waits for this request any more; drop it. A late result is ignored anyway.
    CancelFlight {
        /// The request.
        flight: FlightId,
    },
    /// Log in; answered by [`crate::Event::LoggedIn`]. The token becomes `generation`.
    Login {
        /// The new token's number.
        generation: Generation,
    },
    /// `lookup-self` with this token; answered by [`crate::Event::LookedUp`].
    LookupToken {
        /// Which token.
        generation: Generation,
    },
    /// `renew-self` with this token; answered by [`crate::Event::TokenRenewed`].
    RenewToken {
        /// Which token.
        generation: Generation,
    },
    /// Revoke this token of our own, best effort, then forget it.
    RevokeToken {
        /// Which token.
        generation: Generation,
    },
    /// Wipe the driver's copy of this token; it is dead or somebody else's.
    ForgetToken {
        /// Which token.
        generation: Generation,
    },
    /// Revoke this lease of our own, best effort.
    RevokeLease {
        /// `lease_id`.
        lease: Arc<str>,
        /// The token that got it.
        token: Option<Generation>,
    },
    /// Let the subscriber try this new credential; answered by [`crate::Event::Probed`]. Readers do not see it yet.
    Probe {
        /// Which trial.
        probe: ProbeId,
        /// Whose credential.
        entry: EntryId,
        /// The new document.
        value: V,
    },
    /// A credential was replaced; when nobody uses it any more, say [`crate::Event::Drained`]. It is revoked then, or
    /// when [`crate::Limits::drain`] has passed.
    Drain {
        /// Whose.
        entry: EntryId,
        /// Its lease.
        lease: Arc<str>,
    },
    /// Show this value to readers, instead of what was shown before.
    Publish {
        /// Which entry.
        entry: EntryId,
        /// The whole document.
        value: V,
        /// Until when, and how marked.
        shown: Shown,
    },
    /// Show nothing: drop the published value. The machine has dropped its own copy.
    Withdraw {
        /// Which entry.
        entry: EntryId,
        /// Why.
        why: Withdrawn,
    },
    /// Answer a reader.
    Answer {
        /// Whom.
        waiter: WaiterId,
        /// With what.
        answer: Answer<V>,
    },
    /// Tell subscribers, the log or a person; nothing depends on it.
    Notify(Note),
}

/// A published value's deadlines, as times since boot. A reader with the time `now` does:
/// `now >= hard_until`: do not use it, send [`crate::Event::Get`]. Else use it; if `now >= revalidate_at` send
/// [`crate::Event::Touch`], once for each publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    /// When the request was sent whose answer this is; the age is counted from here.
    pub validated_at: Duration,
    /// From here on the value counts as stale.
    pub fresh_until: Duration,
    /// From here on a [`crate::Event::Touch`] does something. Not before `fresh_until`; later while the server is given
    /// a rest. `Duration::MAX` for leased values, which are renewed unasked.
    pub revalidate_at: Duration,
    /// From here on the value is never used, whatever else is known.
    pub hard_until: Duration,
    /// What the last request said.
    pub mark: Mark,
    /// The document's epoch, if it has one.
    pub epoch: Option<u64>,
    /// Which write of the document.
    pub revision: Revision,
}

/// What the last request about a value said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// This value.
    Confirmed,
    /// Nothing: the server could not be asked.
    Degraded,
    /// A newer document that is not acceptable; the value is the one before.
    Corrupt,
}

/// Why nothing is shown any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withdrawn {
    /// The bound of its age, its lease's or its token's deadline has passed.
    Expired,
    /// The server says that we may not read it.
    Denied,
    /// The server says that it was deleted.
    Gone,
    /// The server knows nothing of it.
    Absent,
    /// The driver removed the entry.
    Removed,
    /// The machine was shut down.
    Closed,
}

/// What a reader gets.
#[derive(Clone, Debug)]
pub enum Answer<V> {
    /// A value, with its deadlines.
    Value {
        /// The whole document.
        value: V,
        /// Its deadlines and mark.
        shown: Shown,
    },
    /// Nothing, and why.
    Refused(Refusal),
}

/// Why a reader gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Nothing is known, and the server could not be asked in time.
    #[error("the server could not be asked, and nothing is cached; try again")]
    Unavailable,
    /// There was a value, but it is too old to be used, and the server could not be asked in time.
    #[error("the cached value is {} s old, which is more than allowed, and the server could not be asked", age.as_secs())]
    Stale {
        /// Time since the value was last confirmed.
        age: Duration,
    },
    /// The server says no, with a token that is valid.
    #[error("the server denies reading this; its policy must allow it")]
    Denied,
    /// The server says that it was deleted.
    #[error("the secret was deleted on the server")]
    Gone,
    /// The server knows nothing of it.
    #[error("the server has no such secret")]
    NotFound,
    /// The server's document is not acceptable, and there is none from before.
    #[error("the server's document fails its checks, and nothing is cached")]
    Invalid,
    /// Too many readers wait already.
    #[error("too many readers wait for the server already; try again")]
    Busy,
    /// The cache was shut down, or the entry removed.
    #[error("the cache is closed")]
    Closed,
}

impl Refusal {
    /// Whether asking again later can help without anybody changing something on the server.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Stale { .. } | Self::Busy)
    }
}

/// News without consequences for the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// Another write of the document is shown than before (or the first).
    Changed {
        /// Which entry.
        entry: EntryId,
    },
    /// Something a person should look at.
    Alarm {
        /// Which entry.
        entry: EntryId,
        /// What.
        alarm: Alarm,
    },
    /// The login was refused.
    LoginRefused,
    /// The server is given a rest until then.
    BreakerOpened {
        /// Time since boot.
        until: Duration,
    },
    /// The server answers again.
    BreakerClosed,
}

/// What a person should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alarm {
    /// The server's document has a smaller epoch than one seen before.
    Downgrade {
        /// Of the server's document.
        offered: u64,
        /// The largest seen.
        seen: u64,
    },
    /// The server's document fails its checks.
    Corrupt,
    /// A new credential did not work.
    ProbeFailed,
    /// The server denies the entry.
    Denied,
    /// The entry was deleted.
    Gone,
    /// The server gave less than asked when a lease was renewed; the credential is replaced.
    ShortLease,
    /// The server lost a lease.
    LeaseLost,
}
