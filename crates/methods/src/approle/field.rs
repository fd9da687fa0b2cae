//! The single fields of a role, each at a path of its own. Serving them is written once, for every [`FieldOf`]: what
//! differs is where a field stands in a [`Role`] and how a submitted value is checked.
//!
//! A change reads, checks and writes the whole role under its lock, so two changes of two fields never undo each other.

use coffre_api::approle::{
    BindSecretId, BoundCidrList, FieldInput, FieldOutput, LocalSecretIds, Period, Policies, ReadField,
    ResetField, RoleField, RoleName as Named, SecretIdBoundCidrs, SecretIdNumUses, SecretIdTtl,
    TokenBoundCidrs, TokenMaxTtl, TokenNumUses, TokenTtl, WriteField,
};
use coffre_api::coerce::{CommaList, LooseBool, LooseInt, Ttl};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::AppRole;
use super::hashing::Hashing;
use super::model::{Role, role_key};
use super::names::RoleName;
use super::records;
use super::role::save;
use super::settings::check;
use crate::network::{parse_all, texts};
use crate::token_settings::{count, policies};

/// Where a field is in a [`Role`].
trait FieldOf: RoleField {
    /// Its value in a role; of a default role, its default.
    fn of(role: &Role) -> Self::Value;
    /// Checks a submitted value by itself and puts it in. What it means together with other fields is checked after.
    fn put(role: &mut Role, value: Self::Value) -> Result<(), Refusal>;
}

impl<F: FieldOf> Serve<ReadField<F>> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<FieldOutput<F>>, Refusal> {
        let name = RoleName::parse(&input.role_name)?;
        let role = records::role(cx.view()?, name.as_str()).await?;
        Ok(role.map_or_else(Reply::missing, |role| Reply::data(FieldOutput(F::of(&role)))))
    }
}

impl<F: FieldOf> Serve<WriteField<F>> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: FieldInput<F>) -> Result<Reply<Nothing>, Refusal> {
        change(cx, &input.role_name, |role| F::put(role, input.value)).await
    }
}

impl<F: FieldOf> Serve<ResetField<F>> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Nothing>, Refusal> {
        change(cx, &input.role_name, |role| F::put(role, F::of(&Role::default()))).await
    }
}

/// Changes one field of a role that exists, and stores it if it is sound as a whole.
async fn change(
    cx: Cx<'_>,
    name: &str,
    put: impl FnOnce(&mut Role) -> Result<(), Refusal>,
) -> Result<Reply<Nothing>, Refusal> {
    let name = RoleName::parse(name)?;
    let hashing = Hashing::find_or_make(cx).await?;
    let _exclusive = cx.lock(&role_key(name.as_str())).await;
    let old = records::role_or_missing(cx.view()?, name.as_str()).await?;
    let mut role = old.clone();
    put(&mut role)?;
    check(&role)?;
    save(cx, &hashing, Some(&old), &role).await?;
    Ok(Reply::empty().warn_all(role.token.warnings(cx.mount())))
}

impl FieldOf for Policies {
    fn of(role: &Role) -> CommaList {
        CommaList(role.token.policies.clone())
    }
    fn put(role: &mut Role, value: CommaList) -> Result<(), Refusal> {
        role.token.policies = policies(value.items())?;
        Ok(())
    }
}

impl FieldOf for BoundCidrList {
    fn of(role: &Role) -> CommaList {
        SecretIdBoundCidrs::of(role)
    }
    fn put(role: &mut Role, value: CommaList) -> Result<(), Refusal> {
        SecretIdBoundCidrs::put(role, value)
    }
}

impl FieldOf for SecretIdBoundCidrs {
    fn of(role: &Role) -> CommaList {
        CommaList(texts(&role.secret_id_bound_cidrs))
    }
    fn put(role: &mut Role, value: CommaList) -> Result<(), Refusal> {
        role.secret_id_bound_cidrs = parse_all(value.items())?;
        Ok(())
    }
}

impl FieldOf for TokenBoundCidrs {
    fn of(role: &Role) -> CommaList {
        CommaList(texts(&role.token.bound_cidrs))
    }
    fn put(role: &mut Role, value: CommaList) -> Result<(), Refusal> {
        role.token.bound_cidrs = parse_all(value.items())?;
        Ok(())
    }
}

impl FieldOf for BindSecretId {
    fn of(role: &Role) -> LooseBool {
        LooseBool(role.bind_secret_id)
    }
    fn put(role: &mut Role, value: LooseBool) -> Result<(), Refusal> {
        role.bind_secret_id = value.0;
        Ok(())
    }
}

impl FieldOf for SecretIdNumUses {
    fn of(role: &Role) -> LooseInt {
        shown_count(role.secret_id_num_uses)
    }
    fn put(role: &mut Role, value: LooseInt) -> Result<(), Refusal> {
        role.secret_id_num_uses = count("secret_id_num_uses", value)?;
        Ok(())
    }
}

impl FieldOf for SecretIdTtl {
    fn of(role: &Role) -> Ttl {
        Ttl::secs(role.secret_id_ttl)
    }
    fn put(role: &mut Role, value: Ttl) -> Result<(), Refusal> {
        role.secret_id_ttl = value.as_secs();
        Ok(())
    }
}

impl FieldOf for Period {
    fn of(role: &Role) -> Ttl {
        Ttl::secs(role.token.period)
    }
    fn put(role: &mut Role, value: Ttl) -> Result<(), Refusal> {
        role.token.period = value.as_secs();
        Ok(())
    }
}

impl FieldOf for TokenNumUses {
    fn of(role: &Role) -> LooseInt {
        shown_count(role.token.num_uses)
    }
    fn put(role: &mut Role, value: LooseInt) -> Result<(), Refusal> {
        role.token.num_uses = count("token_num_uses", value)?;
        Ok(())
    }
}

impl FieldOf for TokenTtl {
    fn of(role: &Role) -> Ttl {
        Ttl::secs(role.token.ttl)
    }
    fn put(role: &mut Role, value: Ttl) -> Result<(), Refusal> {
        role.token.ttl = value.as_secs();
        Ok(())
    }
}

impl FieldOf for TokenMaxTtl {
    fn of(role: &Role) -> Ttl {
        Ttl::secs(role.token.max_ttl)
    }
    fn put(role: &mut Role, value: Ttl) -> Result<(), Refusal> {
        role.token.max_ttl = value.as_secs();
        Ok(())
    }
}

impl FieldOf for LocalSecretIds {
    fn of(role: &Role) -> LooseBool {
        LooseBool(role.local_secret_ids)
    }
    fn put(_: &mut Role, _: LooseBool) -> Result<(), Refusal> {
        Err(Refusal::invalid("local_secret_ids can only be modified during role creation"))
    }
}

fn shown_count(count: u64) -> LooseInt {
    LooseInt(i64::try_from(count).unwrap_or(i64::MAX))
}
