//! Endpoints of the token method, mounted at `auth/token/`, a file for each family.

pub mod create;
pub mod lookup;
pub mod renew;
pub mod revoke;
pub mod roles;
pub mod tidy;
