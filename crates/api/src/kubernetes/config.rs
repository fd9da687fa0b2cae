use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::{CommaList, LooseBool};
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// Writes how tokens of the cluster are checked.
pub struct WriteConfig;

/// The cluster. What is absent takes its default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "KubernetesWriteConfigInput")]
pub struct WriteConfigInput {
    /// The API server: a URL.
    pub kubernetes_host: Option<String>,
    /// Certificates (PEM) that the API server's is checked against.
    pub kubernetes_ca_cert: Option<String>,
    /// The token that may review others; without it each token reviews itself.
    pub token_reviewer_jwt: Option<SecretField>,
    /// Public keys (PEM) with which the cluster signs tokens: they are checked here, without asking it.
    pub pem_keys: Option<CommaList>,
    /// Who must have issued a token, if `disable_iss_validation` is false.
    pub issuer: Option<String>,
    /// Default true.
    pub disable_iss_validation: Option<LooseBool>,
    /// Do not use the certificates and token of the pod in which this server runs.
    pub disable_local_ca_jwt: Option<LooseBool>,
    /// Kept and shown.
    pub use_annotations_as_alias_metadata: Option<LooseBool>,
}

impl Endpoint for WriteConfig {
    type Input = WriteConfigInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("config");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write how tokens of the cluster are checked.";
}

/// Reads how tokens of the cluster are checked; never the reviewer's token.
pub struct ReadConfig;

/// The cluster.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KubernetesConfigOutput")]
pub struct ConfigOutput {
    /// As written.
    pub kubernetes_host: String,
    /// As written.
    pub kubernetes_ca_cert: String,
    /// As written.
    pub pem_keys: Vec<String>,
    /// As written.
    pub issuer: String,
    /// True unless written otherwise.
    pub disable_iss_validation: bool,
    /// As written.
    pub disable_local_ca_jwt: bool,
    /// As written.
    pub use_annotations_as_alias_metadata: bool,
    /// Whether there is a reviewer's token.
    pub token_reviewer_jwt_set: bool,
}

impl Endpoint for ReadConfig {
    type Input = Nothing;
    type Output = ConfigOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("config");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read how tokens of the cluster are checked.";
}
