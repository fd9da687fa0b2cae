//! The cache as a pure state machine: events go in, commands come out; it knows no clock, no network and no thread.
//!
//! A [`Machine`] keeps what is known of each secret: its value, how old it is, when it must be asked for again, when it
//! must no longer be handed out. A driver owns the machine, tells it what happened ([`Event`], always with the time
//! since boot), and does what it answers ([`Command`]), in the order given. Between events it sleeps until
//! [`Machine::wake_at`]. The same events at the same times with the same seed give the same commands.
//!
//! Readers that find a value do not come here at all: [`Command::Publish`] hands the driver a value with a [`Shown`],
//! whose deadlines a reader compares with the clock. The machine hears of a reader only if it found nothing
//! ([`Event::Get`]) or a value that should be asked for again ([`Event::Touch`]).
//!
//! Threat model: a server that lies about nothing but may be away, slow, sealed, restored from an old backup, or
//! unwilling; networks that fail in any way; consumers that ask in any order. Promises, each checked by exhaustive
//! search and by random runs:
//!
//! 1. no value older than its bound is handed out;
//! 2. after the server's authoritative "no" no value is handed out until a later success;
//! 3. an entry has at most one request on its way;
//! 4. the time of validation moves on success alone;
//! 5. a reader never waits for the network while there is a value within its bound;
//! 6. a document is one version: its fields are never mixed with another's;
//! 7. the epoch that a consumer sees never decreases.

mod breaker;
mod command;
mod counters;
mod due;
mod entry;
mod event;
mod flight;
mod get;
mod jitter;
mod landing;
mod lease;
mod machine;
mod parameters;
mod pump;
mod relogin;
mod token;
mod view;

pub use command::{Alarm, Answer, Command, Mark, Note, Refusal, Shown, Withdrawn};
pub use counters::{Counters, FLIGHT_BUCKETS};
pub use event::{
    EntryId, Event, Failure, Fetched, FlightId, Generation, LeaseGrant, LoginFailed, LookedUp, Outcome,
    ProbeId, Renewed, Revision, TokenGrant, TokenRenewed, WaiterId,
};
pub use jitter::Jitter;
pub use machine::{Full, Machine, NewEntry};
pub use parameters::{Limits, Local, Parameters, ParametersError, Policy, Settings};
pub use view::{BreakerState, EntryView, State};
