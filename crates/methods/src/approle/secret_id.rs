//! Secret ids: made within the bounds of their role, listed by accessor, looked up, destroyed.
//!
//! The lock of a secret id is its key in the storage. It is taken by whoever counts down or removes; making one needs none,
//! for the key must be absent.

use std::time::Duration;

use coffre_ambient::{Wall, ids};
use coffre_api::approle::{
    CreateCustomSecretId, CreateSecretId, CustomSecretIdInput, DeleteSecretId, DestroySecretId, Keys,
    ListSecretIds, LookupSecretId, NewSecretId, RoleName as Named, SecretIdInput, SecretIdOptions,
    SecretIdOutput,
};
use coffre_api::coerce::go_duration;
use coffre_api::{Nothing, Refusal, SecretField};
use coffre_barrier::{BarrierError, ViewBatch};
use coffre_engine::{Cx, Reply, Serve, storage};
use coffre_secret::SecretText;

use super::AppRole;
use super::hashing::Hashing;
use super::model::{Accessor, Role, SecretId, accessor_key, accessors_of, secret_id_key};
use super::names::{RoleName, SHORT_SECRET, check_id};
use super::records::{self, no_role, removal, to_json};
use crate::network::{parse_all, texts, within};
use crate::token_settings::count;

impl Serve<CreateSecretId> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: SecretIdOptions) -> Result<Reply<NewSecretId>, Refusal> {
        let secret = ids::uuid(cx.entropy()).map(SecretText::new).map_err(Refusal::bug)?;
        create(cx, input, secret).await
    }
}

impl Serve<CreateCustomSecretId> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: CustomSecretIdInput) -> Result<Reply<NewSecretId>, Refusal> {
        // EXPOSE: checked and copied without the spaces around it.
        let secret = SecretText::from(input.secret_id.expose().trim());
        check_id("secret_id", secret.expose())?;
        let is_short = secret.len() < SHORT_SECRET;
        let options = SecretIdOptions {
            role_name: input.role_name,
            metadata: input.metadata,
            cidr_list: input.cidr_list,
            token_bound_cidrs: input.token_bound_cidrs,
            num_uses: input.num_uses,
            ttl: input.ttl,
        };
        let reply = create(cx, options, secret).await?;
        Ok(if is_short {
            reply.warn(format!(
                "a secret_id of fewer than {SHORT_SECRET} characters can be guessed: let the server draw one"
            ))
        } else {
            reply
        })
    }
}

/// Stores a new secret id. No lock: the key must be absent, and if the role was deleted meanwhile, so is what was
/// stored here.
async fn create(
    cx: Cx<'_>,
    options: SecretIdOptions,
    secret: SecretText,
) -> Result<Reply<NewSecretId>, Refusal> {
    let name = RoleName::parse(&options.role_name)?;
    let view = cx.view()?;
    let hashing = Hashing::find(view).await?.ok_or_else(no_role)?;
    let role = records::role_or_missing(view, name.as_str()).await?;
    if !role.bind_secret_id {
        return Err(Refusal::invalid("bind_secret_id is not set on the role: its logins take no secret id"));
    }
    let (record, warning) = bounded(cx, &role, options)?;
    // EXPOSE: hashed; the hash is its name in the storage.
    let hash = hashing.secret_id(&role.generation, secret.expose());
    let key = secret_id_key(&role.generation, &hash);
    let batch = ViewBatch::new().expect_absent(key.clone()).put(key, to_json(&record)?).put(
        accessor_key(&role.generation, &record.accessor),
        to_json(&Accessor { secret_id_hash: hash.clone() })?,
    );
    match view.transact(batch).await {
        Ok(()) => {}
        Err(BarrierError::Exists(_)) => {
            return Err(Refusal::invalid(
                "this secret_id is already registered for the role: choose another one",
            ));
        }
        Err(e) => return Err(storage(e)),
    }
    if !records::is_live(view, &role.name, &role.generation).await? {
        view.transact(removal(&role.generation, &hash, &record.accessor)).await.map_err(storage)?;
        return Err(no_role());
    }
    let accessor = record.accessor.clone();
    let made = NewSecretId {
        secret_id: SecretField::new(secret),
        secret_id_accessor: record.accessor,
        secret_id_ttl: record.ttl,
        secret_id_num_uses: record.num_uses,
    };
    Ok(Reply::data(made).wrapping(accessor).warn_all(warning))
}

/// What the caller asked for, if it is within the role's bounds.
fn bounded(cx: Cx<'_>, role: &Role, options: SecretIdOptions) -> Result<(SecretId, Option<String>), Refusal> {
    let cidr_list = parse_all(options.cidr_list.unwrap_or_default().items())?;
    if !within(&cidr_list, &role.secret_id_bound_cidrs) {
        return Err(Refusal::invalid("cidr_list must lie within the role's secret_id_bound_cidrs"));
    }
    let token_bound_cidrs = parse_all(options.token_bound_cidrs.unwrap_or_default().items())?;
    if !within(&token_bound_cidrs, &role.token.bound_cidrs) {
        return Err(Refusal::invalid("token_bound_cidrs must lie within the role's token_bound_cidrs"));
    }
    let asked = options.num_uses.map(|number| count("num_uses", number)).transpose()?;
    let num_uses = at_most("num_uses", "secret_id_num_uses", asked, role.secret_id_num_uses)?;
    let asked = options.ttl.map(|ttl| ttl.as_secs());
    let ttl = at_most("ttl", "secret_id_ttl", asked, role.secret_id_ttl)?;
    let (ttl, warning) = capped(ttl, cx.mount().max_ttl);
    let now = cx.now().nanos();
    let record = SecretId {
        role: role.name.clone(),
        accessor: ids::uuid(cx.entropy()).map_err(Refusal::bug)?,
        num_uses,
        ttl,
        created: now,
        updated: now,
        metadata: options.metadata.unwrap_or_default().0,
        cidr_list,
        token_bound_cidrs,
    };
    Ok((record, warning))
}

/// The smaller of what was asked and what the role allows, where 0 is unlimited.
fn at_most(asked_as: &str, role_has: &str, asked: Option<u64>, allowed: u64) -> Result<u64, Refusal> {
    match asked {
        None => Ok(allowed),
        Some(asked) if allowed > 0 && (asked == 0 || asked > allowed) => Err(Refusal::invalid(format!(
            "{asked_as} cannot be more than the role's {role_has}, and 0 is unlimited"
        ))),
        Some(asked) => Ok(asked),
    }
}

/// Cuts a lifetime at the mount's longest, with a sentence about it. 0 stays unlimited, as in Vault.
fn capped(ttl: u64, bound: Duration) -> (u64, Option<String>) {
    if bound.is_zero() || ttl <= bound.as_secs() {
        return (ttl, None);
    }
    let warning = format!(
        "TTL of \"{}\" exceeded the effective max_ttl of \"{}\"; TTL value is capped accordingly",
        go_duration(Duration::from_secs(ttl)),
        go_duration(bound)
    );
    (bound.as_secs(), Some(warning))
}

impl Serve<ListSecretIds> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Keys>, Refusal> {
        let name = RoleName::parse(&input.role_name)?;
        let view = cx.view()?;
        let role = records::role_or_missing(view, name.as_str()).await?;
        let keys = records::names(view, &accessors_of(&role.generation), cx.page()).await?;
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(Keys { keys }) })
    }
}

impl Serve<LookupSecretId> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: SecretIdInput) -> Result<Reply<SecretIdOutput>, Refusal> {
        let (role, hash) = named(cx, &input).await?;
        let found = records::secret_id(cx.view()?, &role.generation, &hash).await?;
        let living = found.filter(|record| !record.is_expired(cx.now()));
        Ok(living.map_or_else(Reply::empty, |record| Reply::data(shown(record))))
    }
}

impl Serve<DestroySecretId> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: SecretIdInput) -> Result<Reply<Nothing>, Refusal> {
        let (role, hash) = named(cx, &input).await?;
        destroy(cx, &role.generation, &hash).await?;
        Ok(Reply::empty())
    }
}

impl Serve<DeleteSecretId> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: SecretIdInput) -> Result<Reply<Nothing>, Refusal> {
        Serve::<DestroySecretId>::serve(self, cx, input).await
    }
}

/// The role, and where its secret id would be.
async fn named(cx: Cx<'_>, input: &SecretIdInput) -> Result<(Role, String), Refusal> {
    let name = RoleName::parse(&input.role_name)?;
    let view = cx.view()?;
    let hashing = Hashing::find(view).await?.ok_or_else(no_role)?;
    let role = records::role_or_missing(view, name.as_str()).await?;
    // EXPOSE: hashed.
    let hash = hashing.secret_id(&role.generation, input.secret_id.expose().trim());
    Ok((role, hash))
}

/// Removes a secret id with its accessor; whether there was one.
pub(super) async fn destroy(cx: Cx<'_>, generation: &str, hash: &str) -> Result<bool, Refusal> {
    let view = cx.view()?;
    let _exclusive = cx.lock(&secret_id_key(generation, hash)).await;
    let Some(record) = records::secret_id(view, generation, hash).await? else { return Ok(false) };
    view.transact(removal(generation, hash, &record.accessor)).await.map_err(storage)?;
    Ok(true)
}

/// What may be told about a secret id.
pub(super) fn shown(record: SecretId) -> SecretIdOutput {
    // Go's zero time, which clients know as "never".
    let never = || "0001-01-01T00:00:00Z".to_owned();
    SecretIdOutput {
        expiration_time: record.end().map_or_else(never, Wall::rfc3339),
        secret_id_accessor: record.accessor,
        secret_id_num_uses: record.num_uses,
        secret_id_ttl: record.ttl,
        creation_time: Wall::from_nanos(record.created).rfc3339(),
        last_updated_time: Wall::from_nanos(record.updated).rfc3339(),
        metadata: record.metadata,
        cidr_list: texts(&record.cidr_list),
        token_bound_cidrs: texts(&record.token_bound_cidrs),
    }
}
