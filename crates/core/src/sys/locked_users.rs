//! `sys/locked-users`: what lockout has locked, and how to open it.

use std::cmp::Reverse;

use coffre_api::sys::locked_users::{
    ListLockedUsers, ListLockedUsersInput, LockedInMount, LockedInNamespace, LockedUsersOutput, UnlockUser,
    UnlockUserInput,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;

impl Serve<ListLockedUsers> for Sys {
    async fn serve(
        &self,
        _: Cx<'_>,
        input: ListLockedUsersInput,
    ) -> Result<Reply<LockedUsersOutput>, Refusal> {
        let locked = self.active()?.lockout.locked();
        let wanted = input.mount_accessor.filter(|accessor| !accessor.is_empty());
        let locked =
            locked.into_iter().filter(|(accessor, _)| wanted.as_ref().is_none_or(|it| it == accessor));
        let mut mounts: Vec<_> = locked
            .map(|(mount_accessor, names)| LockedInMount {
                mount_accessor,
                counts: names.len(),
                alias_identifiers: names,
            })
            .collect();
        mounts.sort_by_key(|mount| Reverse(mount.counts));
        let total = mounts.iter().map(|mount| mount.counts).sum();
        let root = LockedInNamespace {
            namespace_id: "root".into(),
            namespace_path: String::new(),
            counts: total,
            mount_accessors: mounts,
        };
        let by_namespace = if total == 0 { Vec::new() } else { vec![root] };
        Ok(Reply::data(LockedUsersOutput { by_namespace, total }))
    }
}

impl Serve<UnlockUser> for Sys {
    /// 204 also for names that are not locked, as in Vault.
    async fn serve(&self, _: Cx<'_>, input: UnlockUserInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.lockout.unlock(&input.mount_accessor, &input.alias_identifier).await?;
        Ok(Reply::empty())
    }
}
