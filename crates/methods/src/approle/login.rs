//! The login: from a role id and a secret id to what the token is to be.
//!
//! Order: is the role id locked → role by id (or the decoy) → secret id by hash → expiry → networks → one use, counted
//! down durably → role still there. Whatever fails before the networks answers `invalid role or secret ID`, 400, after the same reads; who proved a
//! secret id but comes from outside its networks is told `permission denied`, 403, and keeps the use.

use std::collections::BTreeMap;

use coffre_api::approle::{Login, LoginInput};
use coffre_api::{Nothing, Refusal, SecretField};
use coffre_barrier::View;
use coffre_engine::{Cx, Reply, Serve, TokenGrant, storage};

use super::AppRole;
use super::hashing::Hashing;
use super::model::{DECOY_INDEX, DECOY_ROLE, Role, RoleIndex, SecretId, role_id_key, secret_id_key};
use super::names::MAX_ID;
use super::records::{self, read, removal, to_json};
use crate::network::{Network, admits, intersection, texts};

impl Serve<Login> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: LoginInput) -> Result<Reply<Nothing>, Refusal> {
        let role_id = submitted(input.role_id.as_ref()).ok_or_else(|| Refusal::invalid("missing role_id"))?;
        let attempt = cx.login_attempt(role_id).await?;
        let (role, found) = match credentials(cx, role_id, submitted(input.secret_id.as_ref())).await? {
            Some(found) => found,
            None => {
                attempt.failed().await?;
                return Err(wrong());
            }
        };
        // Who knows a secret id is not guessing, whatever becomes of it below.
        attempt.succeeded();
        let Some((hash, found)) = found else {
            return Ok(Reply::login(grant(&role, BTreeMap::new(), &role.token.bound_cidrs)));
        };
        let record = use_up(cx, &role, &hash, found).await?;
        let networks = intersection(&record.token_bound_cidrs, &role.token.bound_cidrs);
        let networks = networks.ok_or_else(Refusal::denied)?;
        Ok(Reply::login(grant(&role, record.metadata, &networks)))
    }
}

/// A role with the secret id that belongs to it, by its hash; without one if the role needs none. `None` if the
/// credentials are wrong.
async fn credentials(
    cx: Cx<'_>,
    role_id: &str,
    secret_id: Option<&str>,
) -> Result<Option<(Role, Option<(String, SecretId)>)>, Refusal> {
    let view = cx.view()?;
    let (hashing, has_roles) = match Hashing::find(view).await? {
        Some(hashing) => (hashing, true),
        None => (Hashing::of_nobody(), false),
    };
    let (role, is_known) = role_or_decoy(view, &hashing, role_id).await?;
    let hash = hashing.secret_id(&role.generation, secret_id.unwrap_or_default());
    // Looked up also for the decoy, and for roles without secret ids: one path, one duration.
    let found = records::secret_id(view, &role.generation, &hash).await?;
    if !(is_known && has_roles) {
        return Ok(None);
    }
    if !role.bind_secret_id {
        return Ok(admits_without_secret(cx, &role).then_some((role, None)));
    }
    // A role that needs a secret id and got none is told the same as one that got a wrong one.
    let found = found.filter(|_| secret_id.is_some());
    Ok(found.map(|found| (role, Some((hash, found)))))
}

/// An id as it was submitted, without the spaces around it; too long is as good as absent.
fn submitted(field: Option<&SecretField>) -> Option<&str> {
    // EXPOSE: hashed by the caller.
    field.map(|field| field.expose().trim()).filter(|text| !text.is_empty() && text.len() <= MAX_ID)
}

/// The role of a role id. An unknown one leads to the decoy by the same number of reads that find something.
async fn role_or_decoy(view: &View, hashing: &Hashing, role_id: &str) -> Result<(Role, bool), Refusal> {
    let index: Option<RoleIndex> = read(view, &role_id_key(&hashing.role_id(role_id))).await?;
    if let Some(index) = index
        && let Some(role) = records::role(view, &index.role).await?
    {
        // The index and the role are written together; a role id that was just replaced is unknown.
        let is_known = role.role_id == role_id;
        return Ok((role, is_known));
    }
    let _: Option<RoleIndex> = read(view, DECOY_INDEX).await?;
    let decoy: Option<Role> = read(view, DECOY_ROLE).await?;
    Ok((decoy.unwrap_or_default(), false))
}

/// A role without secret ids is guarded by networks alone. Who comes from elsewhere proved nothing, and is told nothing.
fn admits_without_secret(cx: Cx<'_>, role: &Role) -> bool {
    let has_guard = !(role.secret_id_bound_cidrs.is_empty() && role.token.bound_cidrs.is_empty());
    let admitted =
        admits(&role.secret_id_bound_cidrs, cx.peer()) && admits(&role.token.bound_cidrs, cx.peer());
    has_guard && admitted
}

/// Checks a secret id and takes one use of it, durably. What it returns may become a token.
async fn use_up(cx: Cx<'_>, role: &Role, hash: &str, found: SecretId) -> Result<SecretId, Refusal> {
    if found.num_uses == 0 && !found.is_expired(cx.now()) {
        check_networks(cx, role, &found)?;
        return Ok(found);
    }
    let view = cx.view()?;
    let generation = &role.generation;
    let key = secret_id_key(generation, hash);
    let _exclusive = cx.lock(&key).await;
    let mut record = records::secret_id(view, generation, hash).await?.ok_or_else(wrong)?;
    if record.is_expired(cx.now()) {
        // Expired once is expired for ever, whatever the clock says later.
        view.transact(removal(generation, hash, &record.accessor)).await.map_err(storage)?;
        return Err(wrong());
    }
    check_networks(cx, role, &record)?;
    match record.num_uses {
        0 => return Ok(record),
        1 => view.transact(removal(generation, hash, &record.accessor)).await.map_err(storage)?,
        left => {
            record.num_uses = left - 1;
            record.updated = cx.now().nanos();
            // EXPOSE: the record holds no secret; the barrier encrypts it all the same.
            view.put(&key, to_json(&record)?.expose()).await.map_err(storage)?;
        }
    }
    if !records::is_live(view, &role.name, generation).await? {
        // The role was deleted between the reads: what was just written must not stay behind.
        view.transact(removal(generation, hash, &record.accessor)).await.map_err(storage)?;
        return Err(wrong());
    }
    Ok(record)
}

/// Both the role's networks and the secret id's own must admit the caller.
fn check_networks(cx: Cx<'_>, role: &Role, record: &SecretId) -> Result<(), Refusal> {
    let admitted = admits(&role.secret_id_bound_cidrs, cx.peer()) && admits(&record.cidr_list, cx.peer());
    if admitted { Ok(()) } else { Err(Refusal::denied()) }
}

/// What the kernel is to make a token of. The role's name wins over a secret id's metadata of that name.
fn grant(role: &Role, mut metadata: BTreeMap<String, String>, networks: &[Network]) -> TokenGrant {
    metadata.insert("role_name".into(), role.name.clone());
    let facts = super::renewal::facts(role);
    TokenGrant { metadata, bound_cidrs: texts(networks), facts, ..role.token.grant(role.role_id.clone()) }
}

/// The one answer to every wrong credential.
fn wrong() -> Refusal {
    Refusal::invalid("invalid role or secret ID")
}
