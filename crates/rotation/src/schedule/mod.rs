//! When a rotation begins: periods, cron expressions, windows and pauses, in an IANA time zone.
//!
//! Time zones are compiled in; nothing asks the system.

mod due;
mod pause;
mod when;
mod window;

pub(crate) use due::paused;
pub use due::{Begin, begin, next_due};
pub use pause::Pause;
pub use when::{BadWhen, When, Zone};
pub use window::Window;
