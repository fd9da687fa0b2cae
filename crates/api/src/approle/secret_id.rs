//! Secret ids: made, chosen, listed, looked up, destroyed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Keys, RoleName};
use crate::coerce::{CommaList, KvPairs, LooseInt, Ttl};
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

const PATH: Template = Template::new("role/{role_name}/secret-id");
const DESTROY: Template = Template::new("role/{role_name}/secret-id/destroy");

/// Makes a secret id.
pub struct CreateSecretId;

/// What a secret id may be used for, within the bounds of its role.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "AppRoleCreateSecretIdInput")]
pub struct SecretIdOptions {
    /// Name of the role.
    pub role_name: String,
    /// Facts that logins carry in `auth.metadata`: the JSON text of a map of texts, or the map itself.
    pub metadata: Option<KvPairs>,
    /// Networks from which the login may come; within those of the role.
    pub cidr_list: Option<CommaList>,
    /// Networks from which the token may be used; within those of the role.
    pub token_bound_cidrs: Option<CommaList>,
    /// How many logins; at most the role's number. 0 is unlimited.
    pub num_uses: Option<LooseInt>,
    /// How long; at most the role's time.
    pub ttl: Option<Ttl>,
}

/// A new secret id. It is shown this once: only its keyed hash is stored.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AppRoleNewSecretId")]
pub struct NewSecretId {
    /// The secret.
    pub secret_id: SecretField,
    /// Names it without being it.
    pub secret_id_accessor: String,
    /// Seconds; 0 is unlimited.
    pub secret_id_ttl: u64,
    /// Logins; 0 is unlimited.
    pub secret_id_num_uses: u64,
}

impl Endpoint for CreateSecretId {
    type Input = SecretIdOptions;
    type Output = NewSecretId;
    const OP: Op = Op::Write;
    const PATH: Template = PATH;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make a secret id for a role.";
}

/// Takes a secret id that the caller chose.
pub struct CreateCustomSecretId;

/// A chosen secret id and what it may be used for.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AppRoleCustomSecretIdInput")]
pub struct CustomSecretIdInput {
    /// Name of the role.
    pub role_name: String,
    /// The secret: 4 to 512 printable characters that the role does not have yet. Choose one that nobody guesses.
    pub secret_id: SecretField,
    /// Facts that logins carry in `auth.metadata`: the JSON text of a map of texts, or the map itself.
    #[serde(default)]
    pub metadata: Option<KvPairs>,
    /// Networks from which the login may come; within those of the role.
    #[serde(default)]
    pub cidr_list: Option<CommaList>,
    /// Networks from which the token may be used; within those of the role.
    #[serde(default)]
    pub token_bound_cidrs: Option<CommaList>,
    /// How many logins; at most the role's number. 0 is unlimited.
    #[serde(default)]
    pub num_uses: Option<LooseInt>,
    /// How long; at most the role's time.
    #[serde(default)]
    pub ttl: Option<Ttl>,
}

impl Endpoint for CreateCustomSecretId {
    type Input = CustomSecretIdInput;
    type Output = NewSecretId;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("role/{role_name}/custom-secret-id");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Give a role a secret id that the caller chose.";
}

/// Lists the accessors of a role's secret ids.
pub struct ListSecretIds;

impl Endpoint for ListSecretIds {
    type Input = RoleName;
    type Output = Keys;
    const OP: Op = Op::List;
    const PATH: Template = PATH;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the accessors of a role's secret ids.";
}

/// Names a secret id by itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AppRoleSecretIdInput")]
pub struct SecretIdInput {
    /// Name of the role.
    pub role_name: String,
    /// The secret id.
    pub secret_id: SecretField,
}

/// Tells about a secret id.
pub struct LookupSecretId;

/// What is known about a secret id; not the secret itself.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AppRoleSecretIdOutput")]
pub struct SecretIdOutput {
    /// Names it without being it.
    pub secret_id_accessor: String,
    /// Logins left; 0 is unlimited.
    pub secret_id_num_uses: u64,
    /// Seconds from its making; 0 is unlimited.
    pub secret_id_ttl: u64,
    /// RFC 3339.
    pub creation_time: String,
    /// RFC 3339; the year 1 if it never expires.
    pub expiration_time: String,
    /// RFC 3339.
    pub last_updated_time: String,
    /// Facts that logins carry.
    pub metadata: BTreeMap<String, String>,
    /// Networks from which the login may come.
    pub cidr_list: Vec<String>,
    /// Networks from which the token may be used.
    pub token_bound_cidrs: Vec<String>,
}

impl Endpoint for LookupSecretId {
    type Input = SecretIdInput;
    type Output = SecretIdOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("role/{role_name}/secret-id/lookup");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look up a secret id of a role.";
}

/// Ends a secret id.
pub struct DestroySecretId;

impl Endpoint for DestroySecretId {
    type Input = SecretIdInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = DESTROY;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Destroy a secret id of a role.";
}

/// Ends a secret id, by DELETE.
pub struct DeleteSecretId;

impl Endpoint for DeleteSecretId {
    type Input = SecretIdInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = DESTROY;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Destroy a secret id of a role.";
}
