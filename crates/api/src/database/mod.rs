//! Endpoints of `database`: users and passwords of databases (Vault documentation, "Database secrets engine: API").

mod config;
mod creds;
mod refresh;
mod role;
mod root;
mod static_creds;
mod static_role;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use config::{
    ConfigOutput, ConnectionDetails, DeleteConfig, ListConfigs, ReadConfig, WriteConfig, WriteConfigInput,
};
pub use creds::{CredsOutput, ReadCreds};
pub use refresh::{PluginName, Reload, ReloadOutput, Reset};
pub use role::{DeleteRole, ListRoles, ReadRole, RoleOutput, WriteRole, WriteRoleInput};
pub use root::{RotateRole, RotateRoot};
pub use static_creds::{ReadStaticCreds, StaticCredsOutput};
pub use static_role::{
    DeleteStaticRole, ListStaticRoles, ReadStaticRole, StaticRoleOutput, WriteStaticRole,
    WriteStaticRoleInput,
};

/// Names a connection or a role.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "DatabaseName")]
pub struct Named {
    /// Letters, digits and `_`, inside also `-` and `.`.
    pub name: String,
}

/// Names.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DatabaseKeys")]
pub struct Keys {
    /// In order.
    pub keys: Vec<String>,
}
