//! How secrets change: what `rotation` of an entry, `[rotation]` and `[notifications]` hold, and the targets that follow.
//!
//! The rotation engine builds its targets from [`Manifest::targets`](crate::Manifest::targets): each has its kind, the
//! settings that hold for it (its own, else the project's, else the defaults), and where the database is.

mod check;
mod holders;
mod notifications;
mod probe;
mod project;
mod schedule;
mod servers;
mod settings;
mod targets;

pub(crate) use check::problems;
pub use holders::{Codec, Drain, Holder};
pub use notifications::{Email, EventWord, Notifications, Security, Webhook};
pub use probe::{HttpProbe, PostgresqlProbe, Privileges, RedisProbe, fill};
pub use project::{Consumer, Gates, Limits, Project};
pub use schedule::{BadSchedule, Blackout, BlackoutWhen, Cron, Window, Zone};
pub use servers::{Persistence, PostgresqlPlace, PostgresqlServer, RedisPlace, RedisServer, Sslmode};
pub use settings::{Algorithm, Breach, Mode, Rotation};
pub use targets::{Target, TargetKind};
