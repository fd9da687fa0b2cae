//! How much each part of the server logs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Access, Endpoint, Nothing, Op, Template};

/// A part of the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysLoggerInput")]
pub struct LoggerInput {
    /// The part.
    pub logger: String,
}

/// How much it logs.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysWriteLoggerInput")]
pub struct WriteLoggerInput {
    /// The part; absent for all of them.
    #[serde(default)]
    pub logger: Option<String>,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    #[serde(default)]
    pub level: String,
}

/// Read how much each part logs.
pub struct ReadLoggers;

impl Endpoint for ReadLoggers {
    type Input = Nothing;
    type Output = BTreeMap<String, String>;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("loggers");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read how much each part of the server logs.";
}

/// Read how much one part logs.
pub struct ReadLogger;

impl Endpoint for ReadLogger {
    type Input = LoggerInput;
    type Output = BTreeMap<String, String>;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("loggers/{logger}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read how much one part of the server logs.";
}

/// Change how much is logged, until the server restarts.
pub struct WriteLogger;

impl Endpoint for WriteLogger {
    type Input = WriteLoggerInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("loggers");
    const ALSO: &'static [Template] = &[Template::new("loggers/{logger}")];
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change how much is logged, until the server restarts.";
}

/// Let all parts log as the configuration says.
pub struct ResetLoggers;

impl Endpoint for ResetLoggers {
    type Input = Nothing;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("loggers");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Let all parts log as the configuration says.";
}

/// Let one part log as the configuration says.
pub struct ResetLogger;

impl Endpoint for ResetLogger {
    type Input = LoggerInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("loggers/{logger}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Let one part log as the configuration says.";
}
