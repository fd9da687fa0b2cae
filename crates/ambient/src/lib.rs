//! The outside world as arguments: clock, randomness, ids.
//!
//! Nothing else in the workspace may ask the system for time or randomness; tests and simulations pass
//! [`ManualClock`] and [`SeededEntropy`] instead of [`SystemClock`] and [`SystemEntropy`].

mod clock;
mod entropy;
pub mod hardening;
pub mod ids;

pub use clock::{Clock, Deadline, ManualClock, SystemClock, Wall};
pub use entropy::{Entropy, EntropyFailed, SeededEntropy, SystemEntropy};
