//! Calls in the form of version 1: 404, and a sentence that names the right path.
//!
//! The `vault` command line and old clients show that sentence to their user. Nothing is read or written.

use coffre_api::kv2::{
    UnversionedBody, UnversionedDelete, UnversionedList, UnversionedPatch, UnversionedPath, UnversionedRead,
    UnversionedWrite,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::KvV2;

impl Serve<UnversionedRead> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: UnversionedPath) -> Result<Reply<Nothing>, Refusal> {
        Ok(told(cx, "read", "data", "kv get", &input.rest))
    }
}

impl Serve<UnversionedList> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: UnversionedPath) -> Result<Reply<Nothing>, Refusal> {
        Ok(told(cx, "list", "metadata", "kv list", &input.rest))
    }
}

impl Serve<UnversionedWrite> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: UnversionedBody) -> Result<Reply<Nothing>, Refusal> {
        Ok(told(cx, "write", "data", "kv put", &input.rest))
    }
}

impl Serve<UnversionedPatch> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: UnversionedBody) -> Result<Reply<Nothing>, Refusal> {
        Ok(told(cx, "patch", "data", "kv patch", &input.rest))
    }
}

impl Serve<UnversionedDelete> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: UnversionedPath) -> Result<Reply<Nothing>, Refusal> {
        Ok(told(cx, "delete", "data", "kv delete", &input.rest))
    }
}

fn told(cx: Cx<'_>, verb: &str, part: &str, command: &str, rest: &str) -> Reply<Nothing> {
    let mount = &cx.mount().path;
    Reply::missing_but(format!(
        "Invalid path for a versioned K/V secrets engine (version 2): to {verb} it, use the path `{mount}{part}/{rest}`, or on the command line `{command} {mount}{rest}`"
    ))
}
