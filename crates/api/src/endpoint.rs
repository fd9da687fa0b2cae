use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Access, Op, Template};

/// One operation on one path, declared once.
///
/// `Input` has a field for each capture of `PATH`; query (read, list, delete) or body (write, patch) fill the rest.
/// For a client that talks to other servers, fields of `Output` that those may leave out carry `#[serde(default)]`.
pub trait Endpoint: 'static {
    /// The arguments.
    type Input: DeserializeOwned + JsonSchema + Send + Sync;
    /// What stands under `data` in the answer (or the whole body, for raw answers).
    type Output: Serialize + JsonSchema + Send;
    /// What it does.
    const OP: Op;
    /// Where, below its mount.
    const PATH: Template;
    /// Other spellings of the same path.
    const ALSO: &'static [Template] = &[];
    /// Who may.
    const ACCESS: Access;
    /// One sentence.
    const SUMMARY: &'static str;
    /// The field of `Input` that takes the whole body, where the body's names are the user's own (KV version 1).
    const WHOLE_BODY: Option<&'static str> = None;
    /// Whether each key of `data` is also emitted beside it: old clients of some `sys` paths read the top level.
    const TOP_LEVEL: bool = false;
    /// Whether the answer is `Output` alone, without an envelope around it. Rows that are answered while sealed always
    /// are.
    const BARE: bool = matches!(Self::ACCESS, Access::Sealed(_));
    /// Whether it stands in the server's description of itself; what only tells callers that they are lost does not.
    const DESCRIBED: bool = true;
}

/// No arguments, or no data: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}
