//! Endpoints below `sys/`, a file for each family.

pub mod audit;
pub mod capabilities;
pub mod generate_root;
pub mod explain;
pub mod generate_root_token;
pub mod health;
pub mod init;
pub mod leases;
pub mod locked_users;
pub mod mounts;
pub mod openapi;
pub mod passwords;
pub mod policies;
pub mod quotas;
pub mod rekey;
pub mod remount;
pub mod request_headers;
pub mod rotate;
pub mod seal;
pub mod tools;
pub mod ui;
pub mod wrapping;
