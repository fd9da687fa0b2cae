use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::{CommaList, LooseBool, LooseInt, Ttl};
use crate::token_settings::with_token_settings;
use crate::{Access, Endpoint, Nothing, Op, Template, TokenSettingsOutput};

/// Writes a role, or the named fields of one that exists.
pub struct WriteRole;

with_token_settings! {
    /// A role's fields. What is absent keeps its value, or its default in a new role.
    #[schemars(rename = "AppRoleWriteRoleInput")]
    pub struct WriteRoleInput {
        /// Name of the role.
        pub role_name: String,
        /// Whether a login needs a secret id. Default true.
        pub bind_secret_id: Option<LooseBool>,
        /// Networks from which a login may come.
        pub secret_id_bound_cidrs: Option<CommaList>,
        /// The older name of `secret_id_bound_cidrs`.
        pub bound_cidr_list: Option<CommaList>,
        /// How many logins a secret id is good for; 0 is unlimited.
        pub secret_id_num_uses: Option<LooseInt>,
        /// How long a secret id is good for; 0 is unlimited.
        pub secret_id_ttl: Option<Ttl>,
        /// Whether secret ids stay in this cluster. Only for a new role; a single cluster makes no difference.
        pub local_secret_ids: Option<LooseBool>,
        /// The role id, instead of a random one.
        pub role_id: Option<String>,
    }
}

impl Endpoint for WriteRole {
    type Input = WriteRoleInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("role/{role_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a role.";
}

/// Names a role.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AppRoleRoleName")]
pub struct RoleName {
    /// Name of the role.
    pub role_name: String,
}

/// Reads a role.
pub struct ReadRole;

/// A role.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AppRoleRoleOutput")]
pub struct RoleOutput {
    /// Whether a login needs a secret id.
    pub bind_secret_id: bool,
    /// Networks from which a login may come; null is everywhere.
    pub secret_id_bound_cidrs: Option<Vec<String>>,
    /// How many logins a secret id is good for; 0 is unlimited.
    pub secret_id_num_uses: u64,
    /// Seconds that a secret id is good for; 0 is unlimited.
    pub secret_id_ttl: u64,
    /// Whether secret ids stay in this cluster.
    pub local_secret_ids: bool,
    /// What the tokens are like.
    #[serde(flatten)]
    pub token: TokenSettingsOutput,
}

impl Endpoint for ReadRole {
    type Input = RoleName;
    type Output = RoleOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("role/{role_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a role.";
}

/// Deletes a role with all its secret ids.
pub struct DeleteRole;

impl Endpoint for DeleteRole {
    type Input = RoleName;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("role/{role_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a role and its secret ids.";
}

/// Lists the roles.
pub struct ListRoles;

/// Names, or accessors.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AppRoleKeys")]
pub struct Keys {
    /// In order.
    pub keys: Vec<String>,
}

impl Endpoint for ListRoles {
    type Input = Nothing;
    type Output = Keys;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("role");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names of the roles.";
}
