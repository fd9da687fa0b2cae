//! The rotation of a secret as a pure state machine, and the documents that its state is kept in.
//!
//! Nothing here does I/O, waits, or asks for the time: the present, randomness and everything that was read are
//! arguments. A driver reads documents from a KV v2 mount, asks what is to be done, does it, and writes the record
//! under check-and-set; after a crash it asks again, and the same call goes on where the record says.
//!
//! * [`Record`] is the state of one target, [`Ack`] what a consumer says ([`Speaker`]: when), [`RotPolicy`] what rules an environment,
//!   [`HistoryMonth`] the chained list of what happened, [`Facts`] what matters of a credential document.
//! * [`keyring`] is the form that documents of signing and encryption keys have.
//! * [`machine`] decides what is to be done next; [`Settings`] say how a target rotates, [`schedule`] when,
//!   [`external`] who must be reminded, [`check`] what cannot work.
//! * [`Target`], [`ConsumerId`] and [`paths`] name things.
//!
//! Threat model: whoever may write an acknowledgement (every consumer), a server that was restored from an older
//! snapshot, a second rotator, a rotator that was paused and woke, a clock that jumps. Every document is read under
//! bounds, and a `schema` that is not known is refused with a sentence. Material is
//! [`SecretText`](coffre_secret::SecretText): it is in no `Debug`, no error and no event.

mod ack;
mod approval;
pub mod check;
mod consumer;
mod credential;
pub mod destruction;
mod escrow;
pub mod external;
mod history;
mod id;
pub mod keyring;
pub mod machine;
pub mod paths;
mod policy;
mod reading;
mod record;
pub mod schedule;
mod settings;
mod soak;
mod speaker;
mod target;
mod wire;
mod words;

pub use ack::{Ack, Decrypts, shifted};
pub use approval::Approval;
pub use consumer::ConsumerId;
pub use credential::{CredentialHead, Facts, Usable};
pub use escrow::EscrowCopy;
pub use history::{BrokenChain, ChainHead, EventKind, Happening, HistoryEvent, HistoryMonth};
pub use id::{RotationId, WriteId};
pub use policy::{Blackout, Limits, RotPolicy};
pub use reading::{Ledger, Reading};
pub use record::{
    AfterUndo, Claim, Gate, GateMode, Halt, HaltCode, MAX_RETIRING, Pending, Record, Repair, RepairReason,
    Retiring, Schedule,
};
pub use settings::{Bridge, Settings};
pub use soak::{Soak, Well};
pub use speaker::{Fate, Speaker, Statement, Trouble, Word};
pub use target::{BadName, Target};
pub use wire::{DocumentError, WireDocument};
pub use words::{Kind, Phase, Reason};

/// The allowance for clocks that differ, `K` of all formulas.
pub const CLOCK_ALLOWANCE: std::time::Duration = std::time::Duration::from_secs(60);
