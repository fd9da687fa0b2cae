use std::sync::Arc;
use std::time::Duration;

use crate::parameters::Parameters;

/// One entry: a path with its parameters. Given by [`crate::Machine::add`], never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub(crate) u64);

impl EntryId {
    /// The number, for logs and maps.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// One request for an entry. A driver hands it back with the request's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(pub(crate) u64);

/// One new credential on trial by its subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub(crate) u64);

/// Somebody who waits for an answer; the driver chooses the number and does not use it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// Which token: the first is 1, each login gives the next. The driver keeps the token itself under this number until
/// [`crate::Command::ForgetToken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub(crate) u32);

impl Generation {
    /// The number, for logs and maps.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What happened. Results carry the id that their command gave; a result nobody waits for any more is ignored.
#[derive(Clone, Debug)]
pub enum Event<V> {
    /// A reader found nothing published that it may use. Answered by one [`crate::Command::Answer`], now or later.
    Get {
        /// What it wants.
        entry: EntryId,
        /// Whom to answer.
        waiter: WaiterId,
        /// How long it may wait; `None` is the entry's own `wait`.
        budget: Option<Duration>,
    },
    /// A reader was served from a published value whose `revalidate_at` has passed. Once for each publication is enough.
    Touch {
        /// What it read.
        entry: EntryId,
    },
    /// A reader gave up waiting. Its request goes on for the others; it gets no answer.
    Abandon {
        /// What it wanted.
        entry: EntryId,
        /// Who it was.
        waiter: WaiterId,
    },
    /// Entries wanted soon, at start: asked for at once, as many at a time as [`crate::Limits::flights`] allows.
    Warm {
        /// Which.
        entries: Vec<EntryId>,
    },
    /// A request for a document ended ([`crate::Command::StartFlight`]).
    Landed {
        /// Which request.
        flight: FlightId,
        /// How.
        outcome: Outcome<V>,
    },
    /// A request to renew a lease ended ([`crate::Command::RenewLease`]).
    LeaseRenewed {
        /// Which request.
        flight: FlightId,
        /// How.
        outcome: Renewed,
    },
    /// The subscriber tried a new credential ([`crate::Command::Probe`]).
    Probed {
        /// Which.
        probe: ProbeId,
        /// Whether it worked. A driver without a subscriber says `true`.
        works: bool,
    },
    /// Nobody uses a replaced credential any more ([`crate::Command::Drain`]).
    Drained {
        /// Whose.
        entry: EntryId,
        /// Its lease.
        lease: Arc<str>,
    },
    /// A login ended ([`crate::Command::Login`]), or somebody gave a token unasked (`Ok` alone).
    LoggedIn {
        /// What the server said of the token, or why there is none.
        outcome: Result<TokenGrant, LoginFailed>,
    },
    /// A token was looked up ([`crate::Command::LookupToken`]).
    LookedUp {
        /// Which token.
        generation: Generation,
        /// What the server said.
        outcome: LookedUp,
    },
    /// A token was renewed ([`crate::Command::RenewToken`]).
    TokenRenewed {
        /// Which token.
        generation: Generation,
        /// What the server said.
        outcome: TokenRenewed,
    },
    /// Somebody says that an entry changed: a push, the rotator, a peer, the application.
    Invalidate {
        /// Which.
        entry: EntryId,
        /// The epoch it has now, if known; an entry that has it already ignores the event.
        epoch: Option<u64>,
    },
    /// Other bounds for an entry: its policy changed.
    Parameters {
        /// Which.
        entry: EntryId,
        /// The new bounds.
        parameters: Parameters,
    },
    /// The host was suspended, or its wall clock and boot clock disagree by more than `soft`: nothing counts as fresh.
    Resumed,
    /// This is a child after fork(2): requests under way are the parent's, and so are leases and tokens, which are used
    /// here but neither renewed nor revoked.
    Forked {
        /// The child's own seed.
        seed: u64,
    },
    /// Nothing happened, but [`crate::Machine::wake_at`] is reached.
    Tick,
    /// The end: everything is wiped, and nothing is answered any more but [`crate::Refusal::Closed`].
    Shutdown {
        /// Whether to revoke leases and tokens of our own.
        revoke: bool,
    },
}

impl<V> Event<V> {
    /// Whether it goes before what is due: results of commands, and a fork, after which nothing of that is due here.
    pub(crate) const fn goes_first(&self) -> bool {
        matches!(
            self,
            Self::Landed { .. }
                | Self::LeaseRenewed { .. }
                | Self::Probed { .. }
                | Self::Drained { .. }
                | Self::LoggedIn { .. }
                | Self::LookedUp { .. }
                | Self::TokenRenewed { .. }
                | Self::Forked { .. }
        )
    }
}

/// How a request for a document ended.
#[derive(Clone, Debug)]
pub enum Outcome<V> {
    /// A document that passed its checks of schema and key ids.
    Fetched(Fetched<V>),
    /// No answer that means anything. It changes no value and no validation time.
    Failed(Failure),
    /// 403. By itself it says nothing yet: the token is looked up, and the request repeated once.
    Denied,
    /// 404 with the server's own body, without `deletion_time` and `destroyed`. A 404 from something else on the way (a
    /// proxy, a wrong mount page) is [`Failure::Server`].
    Absent,
    /// 404 with `deletion_time` or `destroyed`: proof that it was deleted.
    Gone,
    /// A document whose schema or key ids are wrong.
    Corrupt,
}

/// What a server's answer gave.
#[derive(Clone, Debug, Hash)]
pub struct Fetched<V> {
    /// The whole document, immutable.
    pub value: V,
    /// Which write of the document it is; subscribers hear of a change if it differs.
    pub revision: Revision,
    /// The document's epoch, if it has one.
    pub epoch: Option<u64>,
    /// Whether the document carries a *verified* marker that epochs begin anew.
    pub epoch_reset: bool,
    /// The lease, if the answer came with a lease id.
    pub lease: Option<LeaseGrant>,
}

/// What tells one write of a document from another; both `None` means that each answer counts as a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Revision {
    /// Version of KV 2.
    pub version: Option<u64>,
    /// `_w` of the document (a ULID has 128 bits), or a keyed hash of the fields where there is neither.
    pub write: Option<u128>,
}

/// A lease as the server reports it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseGrant {
    /// `lease_id`.
    pub id: Arc<str>,
    /// `lease_duration`.
    pub ttl: Duration,
    /// `renewable`.
    pub renewable: bool,
}

/// Why there is no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No answer at all: no connection, time out, TLS.
    Transport,
    /// The server answered that it cannot: 408, 412, 429, 472, 473, 5xx, sealed, or something that is not its API.
    Server {
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
}

/// How the renewal of a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// Renewed.
    Granted {
        /// `lease_duration` of the answer: what remains.
        ttl: Duration,
        /// `renewable` of the answer.
        renewable: bool,
    },
    /// 400: the server knows no such lease.
    NotFound,
    /// 403, or another final refusal to renew.
    Refused,
    /// No usable answer.
    Failed(Failure),
}

/// A token as the server reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenGrant {
    /// Remaining life; `None` for a token that does not expire (Vault says 0).
    pub ttl: Option<Duration>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Remaining time until the end that no renewal passes (`explicit_max_ttl`, or the role's maximum), if known.
    pub hard: Option<Duration>,
}

/// Why a login gave no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFailed {
    /// The server said no: credentials used up, role gone.
    Refused,
    /// No usable answer.
    Failed(Failure),
}

/// What the server says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookedUp {
    /// It is valid.
    Good {
        /// Remaining life; `None` if it does not expire.
        ttl: Option<Duration>,
    },
    /// 403: there is no such token.
    Bad,
    /// No usable answer.
    Failed(Failure),
}

/// How the renewal of a token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRenewed {
    /// Renewed.
    Granted(TokenGrant),
    /// 403 or 400: not this token. It is not renewed again but replaced by a login.
    Refused,
    /// No usable answer.
    Failed(Failure),
}
