//! Endpoints of `kubernetes`: a pod logs in with its service account's token (Vault documentation, "Kubernetes auth
//! method: API").

mod config;
mod login;
mod role;

pub use config::{ConfigOutput, ReadConfig, WriteConfig, WriteConfigInput};
pub use login::{Login, LoginInput};
pub use role::{DeleteRole, Keys, ListRoles, ReadRole, RoleName, RoleOutput, WriteRole, WriteRoleInput};
