//! W `data/<path>`: writes a new version and answers with what is known of it.
//!
//! The condition (check and set) is looked at under the secret's lock, after the request was authorized, and
//! the version is durable before the answer leaves.

use coffre_api::Refusal;
use coffre_api::kv2::{VersionMetadata, WriteVersion, WriteVersionInput};
use coffre_engine::{Cx, Exists, ReadCx, Reply, Serve};
use coffre_policy::Existence;

use super::KvV2;
use super::change::{add_version, check_and_set, object};
use super::exclusive::{self, Exclusive};
use super::model::Config;

impl Serve<WriteVersion> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: WriteVersionInput) -> Result<Reply<VersionMetadata>, Refusal> {
        let data = object(input.data)?;
        let (held, record) = Exclusive::take(cx, &input.path).await?;
        let config = Config::load(held.view()).await?;
        check_and_set(input.options, record.as_ref(), &config)?;
        add_version(held, &input.path, record, data, &config).await.map(Reply::data)
    }
}

impl Exists<WriteVersion> for KvV2 {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteVersionInput) -> Result<Existence, Refusal> {
        exclusive::exists(cx.view(), &input.path).await
    }
}
