//! Who stands behind a token: entities, their aliases, groups, and the mount `identity/` that manages them.
//!
//! A login tells under which name its method knows the caller. The mount's accessor and that name are an *alias*; it
//! belongs to one *entity*, which is made with the first login, in the same transaction as the token. What the entity
//! and its groups (and theirs) may do is added to the token's own policies at each request, not at login.
//!
//! # Storage and memory
//! One record for each entity, alias and group, two empty ones for each membership, and an index by name; all that
//! belongs to one change lands in one transaction. Memory holds none of it but what requests needed lately
//! ([`Standing`], at most [`store::MOST_STANDINGS`] of them). A change of any of it moves the epoch on, and whoever
//! compiled anything in an older epoch does it anew: a change counts with the next request.
//!
//! # Locks
//! Logins share the gate and exclude each other by alias; a change by an administrator takes the gate alone. So two
//! logins of one new name make one entity, and no login sees half a merge. Reading for evaluation takes no lock.
//!
//! # Decided here, where Vault leaves it open
//! * `root` and `response-wrapping` cannot be given to an entity or a group, in no spelling.
//! * Names of entities and groups are unique without regard to case, and found by their exact spelling only: a `deny`
//!   on one spelling cannot be walked around with another.
//! * Who may update one alias by its id cannot give it to another entity; that takes the right to write
//!   `identity/entity-alias` itself.
//! * Merging adds no policies and no metadata to the entity that stays.

mod alias;
mod bind;
mod entity;
mod group;
mod members;
mod merge;
pub(crate) mod method;
pub(crate) mod model;
mod rules;
mod standing;
mod store;

pub use bind::Joining;
pub(crate) use bind::{Bound, LoginName};
pub(crate) use standing::Standing;
pub use store::IdentityStore;
