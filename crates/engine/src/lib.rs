//! What an engine is: a table of rows, each an endpoint declared in `coffre-api` and served by one method.
//!
//! * [`Engine`] names the table; [`Serve`] implements one endpoint; [`Exists`] tells create from update.
//! * [`Row::of`] ties an endpoint to its implementation; a row without one does not compile.
//! * [`Mount`] is an engine at a path with its own storage view; [`Resolved`] is a request that found its row.
//! * [`LeaseRow::of`] ties a kind of lease to its [`Leased`] implementation; [`lease`] is the contract.
//! * [`dispatch`] is the only way to call a row, and demands the proof that the request was permitted and recorded.
//!
//! Architecture invariant: engines know neither HTTP nor the kernel; what they need is in [`Cx`].

mod args;
pub mod check_table;
mod cx;
mod decode;
mod dispatch;
pub mod lease;
mod locks;
mod login;
mod mount;
mod page;
mod renewal;
mod reply;
mod row;
mod serve;
mod storage_refusal;
mod trie;

pub use args::{Args, Decoded};
pub use cx::{Cx, MountCx, ReadCx, Surroundings};
pub use decode::{DecodeError, decode};
pub use dispatch::{SealedRow, dispatch, dispatch_sealed, exists};
pub use lease::{
    AnyLease, AnyRenewed, Lease, LeaseBlock, LeaseFacts, LeaseGrant, LeaseRow, Leased, Renewal, Renewed,
};
pub use locks::Locks;
pub use login::{Attempt, LockoutRule, LoginGuard, Pending};
pub use mount::{Mount, MountFacts, MountInUse, MountTokens, NoRow, Resolved};
pub use page::Page;
pub use renewal::{LoginFacts, RenewTerms};
pub use reply::{AnyReply, Auth, Reply, Shape, TokenGrant, TokenKind};
pub use row::{Meta, Row};
pub use serve::{AnyEngine, Engine, Exists, Serve};
pub use storage_refusal::storage;
pub use trie::{Found, Trie};
