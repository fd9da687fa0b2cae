//! LIST `metadata/<path>`: the names below a path, of secrets in any state: without a version and deleted
//! ones, too.

use coffre_api::Refusal;
use coffre_api::kv1::KeyList;
use coffre_api::kv2::{ListKeys, ListKeysInput};
use coffre_engine::{Cx, Reply, Serve, storage};

use super::KvV2;
use super::model::{OLD_SECRETS, SECRETS};
use crate::plain;

impl Serve<ListKeys> for KvV2 {
    async fn serve(&self, cx: Cx<'_>, input: ListKeysInput) -> Result<Reply<KeyList>, Refusal> {
        let view = cx.view()?;
        let page = cx.page();
        let mut names = Vec::new();
        // First what moves, then where it moves to: a secret on its way is seen in one of them.
        for folder in [OLD_SECRETS, SECRETS] {
            let folder = format!("{folder}{}", input.path);
            names.extend(view.list(&folder, page.after, page.limit).await.map_err(storage)?.names);
        }
        names.sort_unstable();
        names.dedup();
        names.truncate(page.limit);
        Ok(plain::keys(names))
    }
}
