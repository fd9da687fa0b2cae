//! The server's description of itself: the `OpenAPI` document, and the help of one path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::LooseBool;
use crate::{Access, Endpoint, Op, RawJson, Template};

/// What the document is to look like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "SysOpenApiInput")]
pub struct OpenApiInput {
    /// Name a parameter instead of each mount, so that clients can be generated for any server.
    #[serde(default)]
    pub generic_mount_paths: LooseBool,
    /// Taken for compatibility, without effect.
    #[serde(default)]
    pub context: Option<String>,
}

const WHY: &str = "describes only mounts that are marked as visible without a login, unless there is a token";

/// Describe the paths that the caller may see.
pub struct OpenApi;

impl Endpoint for OpenApi {
    type Input = OpenApiInput;
    type Output = RawJson;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("internal/specs/openapi");
    const ACCESS: Access = Access::Public(WHY);
    const BARE: bool = true;
    const SUMMARY: &'static str = "Describe the paths that the caller may see, as an OpenAPI document.";
}

/// Describe the paths that the caller may see; the arguments are in the body.
pub struct OpenApiByWrite;

impl Endpoint for OpenApiByWrite {
    type Input = OpenApiInput;
    type Output = RawJson;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("internal/specs/openapi");
    const ACCESS: Access = Access::Public(WHY);
    const BARE: bool = true;
    const SUMMARY: &'static str = "Describe the paths that the caller may see, as an OpenAPI document.";
}

/// Which path.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysHelpInput")]
pub struct HelpInput {
    /// Any path, of a mount or below one.
    pub path: String,
}

/// The help of a path.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SysHelpOutput")]
pub struct HelpOutput {
    /// For people.
    pub help: String,
    /// Paths with further help; none is ever named.
    pub see_also: Option<Vec<String>>,
    /// The same as an `OpenAPI` document.
    pub openapi: RawJson,
}

/// Tell what a path does. Where clients ask the path itself with `?help=1`, the listener asks here.
pub struct Help;

impl Endpoint for Help {
    type Input = HelpInput;
    type Output = HelpOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("internal/help/{path*}");
    const ACCESS: Access = Access::Public(
        "the handler asks the token's policies itself: it answers only to those who may use the mount",
    );
    const BARE: bool = true;
    const SUMMARY: &'static str = "Tell what a path does; also asked by the query help=1 on the path itself.";
}
