//! Secret ids named by their accessors: looked up and destroyed without knowing the secret.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretIdOutput;
use crate::{Access, Endpoint, Nothing, Op, Template};

const DESTROY: Template = Template::new("role/{role_name}/secret-id-accessor/destroy");

/// Names a secret id by its accessor.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AppRoleAccessorInput")]
pub struct AccessorInput {
    /// Name of the role.
    pub role_name: String,
    /// The accessor of a secret id of this role.
    pub secret_id_accessor: String,
}

/// Tells about a secret id, by accessor.
pub struct LookupByAccessor;

impl Endpoint for LookupByAccessor {
    type Input = AccessorInput;
    type Output = SecretIdOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("role/{role_name}/secret-id-accessor/lookup");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look up a secret id of a role by its accessor.";
}

/// Ends a secret id, by accessor.
pub struct DestroyByAccessor;

impl Endpoint for DestroyByAccessor {
    type Input = AccessorInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = DESTROY;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Destroy a secret id of a role by its accessor.";
}

/// Ends a secret id, by accessor and DELETE.
pub struct DeleteByAccessor;

impl Endpoint for DeleteByAccessor {
    type Input = AccessorInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = DESTROY;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Destroy a secret id of a role by its accessor.";
}
