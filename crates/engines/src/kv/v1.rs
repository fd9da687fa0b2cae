//! KV version 1: one value at each path, without history.
//!
//! Storage: `s/<path>`, the JSON text of the secret. Version 2 knows this key, too, for mounts that change their
//! version.

use coffre_api::kv1::{
    DeleteSecret, DeleteSecretInput, KeyList, ListSecrets, ListSecretsInput, ReadSecret, ReadSecretInput,
    WriteSecret, WriteSecretInput,
};
use coffre_api::{Nothing, RawJson, Refusal};
use coffre_engine::{Cx, Engine, Exists, ReadCx, Reply, Row, Serve};
use coffre_policy::Existence;

use crate::plain;

/// The engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct KvV1;

impl Engine for KvV1 {
    const KIND: &'static str = "kv";
    const ROWS: &'static [Row<Self>] = &[
        Row::of::<ReadSecret>(),
        Row::creates::<WriteSecret>(),
        Row::of::<DeleteSecret>(),
        Row::of::<ListSecrets>(),
    ];
}

const _: &[Row<KvV1>] = KvV1::ROWS;

/// The storage key of a secret.
pub(crate) fn secret_key(path: &str) -> String {
    format!("s/{path}")
}

impl Serve<ReadSecret> for KvV1 {
    async fn serve(&self, cx: Cx<'_>, input: ReadSecretInput) -> Result<Reply<RawJson>, Refusal> {
        let Some(secret) = plain::read(cx.view()?, &secret_key(&input.path)).await? else {
            return Ok(Reply::missing());
        };
        let keep = plain::own_lifetime(&secret).unwrap_or_else(|| cx.mount().default_ttl.as_secs());
        Ok(Reply::data(secret).keep_for(keep))
    }
}

impl Serve<WriteSecret> for KvV1 {
    async fn serve(&self, cx: Cx<'_>, input: WriteSecretInput) -> Result<Reply<Nothing>, Refusal> {
        plain::write(cx.view()?, &secret_key(plain::named(&input.path)?), &input.secret).await
    }
}

impl Exists<WriteSecret> for KvV1 {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteSecretInput) -> Result<Existence, Refusal> {
        plain::exists(cx.view(), &secret_key(&input.path)).await
    }
}

impl Serve<DeleteSecret> for KvV1 {
    async fn serve(&self, cx: Cx<'_>, input: DeleteSecretInput) -> Result<Reply<Nothing>, Refusal> {
        plain::delete(cx.view()?, &secret_key(plain::named(&input.path)?)).await
    }
}

impl Serve<ListSecrets> for KvV1 {
    async fn serve(&self, cx: Cx<'_>, input: ListSecretsInput) -> Result<Reply<KeyList>, Refusal> {
        plain::list(cx.view()?, &secret_key(&input.path), cx.page()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        assert_eq!(coffre_engine::check_table::check::<KvV1>(), []);
    }
}
