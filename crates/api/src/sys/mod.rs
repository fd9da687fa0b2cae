//! Endpoints below `sys/`, a file for each family.

pub mod audit;
pub mod capabilities;
pub mod health;
pub mod init;
pub mod mounts;
pub mod policies;
pub mod request_headers;
pub mod remount;
pub mod rotate;
pub mod seal;
pub mod ui;
pub mod wrapping;
