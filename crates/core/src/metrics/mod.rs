//! Numbers for dashboards and alarms.
//!
//! What happens often is counted where it happens, in [`Meters`]; what is a state (tokens, mounts, devices) is asked when
//! somebody scrapes. Both become [`family::Family`]s, which are written as Prometheus's text or as a JSON summary in the
//! shape of go-metrics.
//!
//! Labels hold words of this program alone: operations, classes of status codes, types of devices. No path, no name of a
//! user, mount or policy, no token stands in a metric, so that whoever may scrape learns sizes and no more.

mod attached;
mod family;
mod gather;
mod json;
mod measured;
mod meters;
mod text;

pub use attached::Attached;
pub(crate) use attached::Source;
pub(crate) use gather::gather;
pub(crate) use json::json;
pub(crate) use measured::Measured;
pub(crate) use meters::Meters;
pub(crate) use text::text;
