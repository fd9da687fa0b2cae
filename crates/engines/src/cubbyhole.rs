//! The cubbyhole: KV version 1 in a space that belongs to one token and dies with it.
//!
//! Storage: `<space>/<path>`, the JSON text of the secret. The space is the kernel's random name for a token; whoever
//! has none (nobody in particular, batch tokens) is refused.

use coffre_api::cubbyhole::{
    DeleteSecret, DeleteSecretInput, ListSecrets, ListSecretsInput, ReadSecret, ReadSecretInput, WriteSecret,
    WriteSecretInput,
};
use coffre_api::kv1::KeyList;
use coffre_api::{Nothing, RawJson, Refusal};
use coffre_barrier::View;
use coffre_engine::{Cx, Engine, Exists, ReadCx, Reply, Row, Serve, storage};
use coffre_policy::Existence;

use crate::plain;

/// The engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cubbyhole;

impl Engine for Cubbyhole {
    const KIND: &'static str = "cubbyhole";
    const ROWS: &'static [Row<Self>] = &[
        Row::of::<ReadSecret>(),
        Row::creates::<WriteSecret>(),
        Row::of::<DeleteSecret>(),
        Row::of::<ListSecrets>(),
    ];
}

const _: &[Row<Cubbyhole>] = Cubbyhole::ROWS;

/// Removes everything in a space; `view` is the mount's. For the kernel, when a token dies.
pub async fn destroy(view: &View, space: &str) -> Result<(), Refusal> {
    // Without a name the prefix would be everybody's.
    if space.is_empty() {
        return Err(Refusal::bug("a private space without a name"));
    }
    view.delete_all(&format!("{space}/")).await.map_err(storage)
}

impl Serve<ReadSecret> for Cubbyhole {
    async fn serve(&self, cx: Cx<'_>, input: ReadSecretInput) -> Result<Reply<RawJson>, Refusal> {
        let key = key(cx.private_space(), &input.path)?;
        Ok(plain::read(cx.view()?, &key).await?.map_or_else(Reply::missing, Reply::data))
    }
}

impl Serve<WriteSecret> for Cubbyhole {
    async fn serve(&self, cx: Cx<'_>, input: WriteSecretInput) -> Result<Reply<Nothing>, Refusal> {
        let key = key(cx.private_space(), plain::named(&input.path)?)?;
        plain::write(cx.view()?, &key, &input.secret).await
    }
}

impl Exists<WriteSecret> for Cubbyhole {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteSecretInput) -> Result<Existence, Refusal> {
        match key(cx.private_space(), &input.path) {
            Ok(key) => plain::exists(cx.view(), &key).await,
            // Refused by `serve`, after authorization.
            Err(_) => Ok(Existence::Unknown),
        }
    }
}

impl Serve<DeleteSecret> for Cubbyhole {
    async fn serve(&self, cx: Cx<'_>, input: DeleteSecretInput) -> Result<Reply<Nothing>, Refusal> {
        let key = key(cx.private_space(), plain::named(&input.path)?)?;
        plain::delete(cx.view()?, &key).await
    }
}

impl Serve<ListSecrets> for Cubbyhole {
    async fn serve(&self, cx: Cx<'_>, input: ListSecretsInput) -> Result<Reply<KeyList>, Refusal> {
        plain::list(cx.view()?, &key(cx.private_space(), &input.path)?, cx.page()).await
    }
}

fn key(space: Option<&std::sync::Arc<str>>, path: &str) -> Result<String, Refusal> {
    let space = space.filter(|space| !space.is_empty()).ok_or_else(Refusal::denied)?;
    Ok(format!("{space}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        assert_eq!(coffre_engine::check_table::check::<Cubbyhole>(), []);
    }
}
