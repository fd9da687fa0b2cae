//! The id of a role. Giving another one keeps the secret ids, as in Vault, and makes the old id unknown at once.

use coffre_api::approle::{ReadRoleId, RoleIdOutput, RoleName as Named, WriteRoleId, WriteRoleIdInput};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::AppRole;
use super::hashing::Hashing;
use super::model::role_key;
use super::names::{RoleName, check_id};
use super::records;
use super::role::save;

impl Serve<ReadRoleId> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<RoleIdOutput>, Refusal> {
        let name = RoleName::parse(&input.role_name)?;
        let role = records::role(cx.view()?, name.as_str()).await?;
        Ok(role.map_or_else(Reply::missing, |role| Reply::data(RoleIdOutput { role_id: role.role_id })))
    }
}

impl Serve<WriteRoleId> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: WriteRoleIdInput) -> Result<Reply<Nothing>, Refusal> {
        let name = RoleName::parse(&input.role_name)?;
        let id = input.role_id.trim();
        check_id("role_id", id)?;
        let hashing = Hashing::find_or_make(cx).await?;
        let _exclusive = cx.lock(&role_key(name.as_str())).await;
        let old = records::role_or_missing(cx.view()?, name.as_str()).await?;
        let mut role = old.clone();
        id.clone_into(&mut role.role_id);
        save(cx, &hashing, Some(&old), &role).await?;
        Ok(Reply::empty())
    }
}
