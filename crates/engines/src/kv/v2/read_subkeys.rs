//! GET `subkeys/<path>`: the names inside a version, each value that is no object replaced by null.
//!
//! For who may know the shape of a secret and not its content: a policy can grant this path alone.

use coffre_api::Refusal;
use coffre_api::kv2::{ReadSubkeys, ReadSubkeysInput, ReadSubkeysOutput};
use coffre_engine::{Cx, Reply, Serve};

use super::read_version::find;
use super::{KvV2, json, numbers};

impl Serve<ReadSubkeys> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: ReadSubkeysInput) -> Result<Reply<ReadSubkeysOutput>, Refusal> {
        let version = numbers::natural("version", input.version)?;
        let depth = numbers::natural("depth", input.depth)?;
        let Some((metadata, data)) = find(cx, &input.path, version).await? else {
            return Ok(Reply::missing());
        };
        let Some(data) = data else {
            return Ok(Reply::missing_with(ReadSubkeysOutput { subkeys: None, metadata }));
        };
        let subkeys = json::outline(&data, depth).map_err(Refusal::bug)?;
        Ok(Reply::data(ReadSubkeysOutput { subkeys: Some(subkeys), metadata }))
    }
}
