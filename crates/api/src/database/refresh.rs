use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Closes the connections to a database and opens them anew.
pub struct Reset;

impl Endpoint for Reset {
    type Input = Named;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("reset/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Connect to a database anew.";
}

/// Does the same with all databases of a plugin.
pub struct Reload;

/// Names a plugin.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "DatabasePluginName")]
pub struct PluginName {
    /// As in a connection's `plugin_name`.
    pub plugin_name: String,
}

/// What was connected anew.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DatabaseReloadOutput")]
pub struct ReloadOutput {
    /// Names of connections.
    pub connections: Vec<String>,
    /// How many.
    pub count: usize,
}

impl Endpoint for Reload {
    type Input = PluginName;
    type Output = ReloadOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("reload/{plugin_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Connect anew to all databases of a plugin.";
}
