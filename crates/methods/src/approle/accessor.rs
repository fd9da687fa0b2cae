//! A secret id by its accessor: an operator ends what leaked without ever having known it.
//!
//! Accessors are kept by generation of a role, so that one of another role is as unknown as one that never was.

use coffre_api::approle::{
    AccessorInput, DeleteByAccessor, DestroyByAccessor, LookupByAccessor, SecretIdOutput,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::AppRole;
use super::model::Role;
use super::names::RoleName;
use super::records;
use super::secret_id::{destroy, shown};

impl Serve<LookupByAccessor> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: AccessorInput) -> Result<Reply<SecretIdOutput>, Refusal> {
        let (role, hash) = named(cx, &input).await?;
        let found = records::secret_id(cx.view()?, &role.generation, &hash).await?;
        let living = found.filter(|record| !record.is_expired(cx.now())).ok_or_else(unknown)?;
        Ok(Reply::data(shown(living)))
    }
}

impl Serve<DestroyByAccessor> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: AccessorInput) -> Result<Reply<Nothing>, Refusal> {
        let (role, hash) = named(cx, &input).await?;
        if destroy(cx, &role.generation, &hash).await? { Ok(Reply::empty()) } else { Err(unknown()) }
    }
}

impl Serve<DeleteByAccessor> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: AccessorInput) -> Result<Reply<Nothing>, Refusal> {
        Serve::<DestroyByAccessor>::serve(self, cx, input).await
    }
}

/// The role, and where the accessor leads. Accessors are kept by generation, so those of other roles are unknown here.
async fn named(cx: Cx<'_>, input: &AccessorInput) -> Result<(Role, String), Refusal> {
    let name = RoleName::parse(&input.role_name)?;
    let view = cx.view()?;
    let role = records::role_or_missing(view, name.as_str()).await?;
    let accessor = input.secret_id_accessor.trim();
    let hash = records::hash_of_accessor(view, &role.generation, accessor).await?.ok_or_else(unknown)?;
    Ok((role, hash))
}

fn unknown() -> Refusal {
    Refusal::missing_because(
        "failed to find accessor entry for secret_id_accessor: the role has none by this name",
    )
}
