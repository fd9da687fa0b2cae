//! Processes that are looked after: started with their values, told of signals, stopped with patience, started anew
//! when values change, and cleaned up after.
//!
//! [`machine`] decides, as a pure function of events and time; [`driver`] listens, spawns and kills. [`rollout`] shares
//! restarts among a fleet, and [`redact`] hides values in what programs print.
//!
//! ```no_run
//! # async fn sample(environment: coffre_source::inject::Injected) -> std::io::Result<u8> {
//! use std::sync::Arc;
//! use coffre_agent::supervise::{Policy, Signals, Spec, Supervisor};
//!
//! let web = Spec {
//!     name: "web".into(),
//!     program: "gunicorn".into(),
//!     args: vec!["app:app".into()],
//!     policy: Policy::default(),
//!     whole_group: false,
//!     redact: false,
//!     hook: None,
//! };
//! let say = Box::new(|line: &str| tracing_or_stderr(line));
//! # fn tracing_or_stderr(_: &str) {}
//! let clock = Arc::new(coffre_ambient::SystemClock);
//! let (supervisor, control, _slots) = Supervisor::new(vec![web], Signals::Stop, clock, say)?;
//! control.values(0, environment, 1).await; // starts it; other values later restart it
//! Ok(supervisor.run().await)
//! # }
//! ```

pub mod children;
pub mod driver;
mod group;
pub mod machine;
mod output;
pub mod policy;
pub mod redact;
pub mod rollout;
pub mod signals;

pub use driver::{Control, Health, Signals, SlotWish, Spec, Supervisor};
pub use policy::{OnChange, OnCrash, Policy};
