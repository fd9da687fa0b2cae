//! A whole kernel in memory for tests, and a toy engine to try it with.
//!
//! * [`TestVault`] is a kernel over memory with a clock that moves when told to and randomness from a seed, asked as
//!   the HTTP layer asks it. It can crash, restart, and fail any storage operation.
//! * [`Target`] stands for a database server: it counts accounts and can be made to refuse or to hang.
//! * [`DatabaseServer`] stands for PostgreSQL behind the database engine: users, passwords, and bad weather.
//! * [`toy::Toy`] is an engine that leases accounts of a target; `docs/manual/adding-an-engine.md` builds it step by
//!   step, and a test checks that the manual's code is this code.
//!
//! Nothing here is linked into the product.

mod databases;
mod target;
pub mod toy;
mod vault;

pub use databases::{Account, DatabaseServer, Weather};
pub use target::{Mood, Target};
pub use vault::{Answer, START, TestVault};
