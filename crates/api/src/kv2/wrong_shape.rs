//! Calls in the form of version 1 that reach a mount of version 2: they are answered with the right path.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Access, Endpoint, Nothing, Op, RawJson, Template};

/// A path without `data/` or its kin before it.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2UnversionedPath")]
pub struct UnversionedPath {
    /// The path as version 1 would have it.
    pub rest: String,
}

/// The same, with a body that is not looked at.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2UnversionedBody")]
pub struct UnversionedBody {
    /// The path as version 1 would have it.
    pub rest: String,
    /// The body as version 1 would have it.
    pub body: RawJson,
}

/// A read.
pub struct UnversionedRead;

impl Endpoint for UnversionedRead {
    type Input = UnversionedPath;
    type Output = Nothing;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("{rest*}");
    const ACCESS: Access = Access::Token;
    const DESCRIBED: bool = false;
    const SUMMARY: &'static str = "Tell the right path to a caller who reads as in version 1.";
}

/// A list.
pub struct UnversionedList;

impl Endpoint for UnversionedList {
    type Input = UnversionedPath;
    type Output = Nothing;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("{rest*}");
    const ACCESS: Access = Access::Token;
    const DESCRIBED: bool = false;
    const SUMMARY: &'static str = "Tell the right path to a caller who lists as in version 1.";
}

/// A write.
pub struct UnversionedWrite;

impl Endpoint for UnversionedWrite {
    type Input = UnversionedBody;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("{rest*}");
    const ACCESS: Access = Access::Token;
    const DESCRIBED: bool = false;
    const SUMMARY: &'static str = "Tell the right path to a caller who writes as in version 1.";
    const WHOLE_BODY: Option<&'static str> = Some("body");
}

/// A patch.
pub struct UnversionedPatch;

impl Endpoint for UnversionedPatch {
    type Input = UnversionedBody;
    type Output = Nothing;
    const OP: Op = Op::Patch;
    const PATH: Template = Template::new("{rest*}");
    const ACCESS: Access = Access::Token;
    const DESCRIBED: bool = false;
    const SUMMARY: &'static str = "Tell the right path to a caller who patches without naming the data.";
    const WHOLE_BODY: Option<&'static str> = Some("body");
}

/// A deletion.
pub struct UnversionedDelete;

impl Endpoint for UnversionedDelete {
    type Input = UnversionedPath;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("{rest*}");
    const ACCESS: Access = Access::Token;
    const DESCRIBED: bool = false;
    const SUMMARY: &'static str = "Tell the right path to a caller who deletes as in version 1.";
}
