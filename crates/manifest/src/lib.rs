//! `coffre.toml`: the manifest and everything that follows from it.
//!
//! One file, without any value in it, names each environment variable that a program reads, where it lives, what kind it
//! is and how it rotates. From it follow the addresses in the vault ([`Manifest::address`]), what is read or composed
//! ([`Manifest::source`]), the policies ([`Manifest::policies`]), the AppRole ([`Manifest::approle`]) and what rotates
//! ([`Manifest::targets`]).
//!
//! [`Manifest::parse`] gives a manifest that is sound, or every problem with its line. No I/O here.

mod check;
mod model;
mod parse;
mod paths;
mod period;
mod policies;
pub mod rotation;
mod template;
mod write;

pub use model::{Dotenv, Dynamic, Entry, Kind, Local, Manifest, Priority};
pub use parse::{Invalid, Problem};
pub use paths::{Address, Source, is_app_name, is_environment_name, is_secret_path, is_variable_name};
pub use period::{BadPeriod, Period};
pub use policies::{AppRole, Policy};
pub use rotation::{Mode, Rotation};
pub use template::{BadTemplate, Part, Template};
