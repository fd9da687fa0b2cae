//! The rotation engine: drives the machine of `coffre-rotation` against a vault, databases and consumers.
//!
//! A kind of secret is a [`Target`]: what it does in each phase, and what its [`Document`] looks like. Everything that
//! goes wrong is a [`Failure`], classed by what it asks for.

mod document;
mod failure;
mod kv;
pub mod notify;
mod target;
pub mod targets;

pub use document::Document;
pub use failure::{Failure, FailureKind};
pub use kv::{ClientKv, Kv, Manage, Metadata, Version};
pub use target::{At, BoxFuture, Drained, Progress, Target, Verdict, Which};
