//! The rotation engine: drives the machine of `coffre-rotation` against a vault, databases and consumers.
//!
//! A [`Rotator`] reads, asks the machine, does what it says, and writes, one step at a time: as a service
//! ([`Rotator::run`]), from cron ([`Rotator::tick`]), or step by step ([`Rotator::step`]). A kind of secret is a
//! [`Target`]: what it does in each phase, and what its [`Document`] looks like. Everything that goes wrong is a
//! [`Failure`], classed by what it asks for.
//!
//! All that is asked of a server is KV v2 with check-and-set ([`Kv`]). Every write names the version it replaces and
//! carries an id of its own; one that was not answered is looked for before it is repeated. The record is written before
//! an effect and after it, so that whoever goes on after a crash knows what may have happened.

mod assemble;
mod chronicle;
mod document;
mod failure;
mod gather;
mod kv;
mod leftovers;
pub mod notify;
mod outbound;
mod perform;
mod plan;
mod recollection;
mod reveal;
mod rotating;
mod rotator;
mod service;
mod session;
mod show;
mod store;
mod switch;
mod target;
pub mod targets;
mod wishes;

pub use assemble::{Opening, name_of, policy_of, settings_of};
pub use document::Document;
pub use failure::{Failure, FailureKind};
pub use kv::{ClientKv, Kv, Manage, Metadata, Version};
pub use plan::Planned;
pub use recollection::{Recollection, StateFile};
pub use rotating::{LogSink, Parts, Rotating, Sink};
pub use rotator::{Rotator, Step, Waits};
pub use service::Report;
pub use session::Session;
pub use show::{Leaving, Status, Stopped};
pub use target::{At, BoxFuture, Drained, Progress, Target, Verdict, Which};
pub use wishes::Finding;
