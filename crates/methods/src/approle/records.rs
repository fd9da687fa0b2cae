//! Reading and writing records, and the few questions that several endpoints ask of them.
//!
//! Nothing here takes a lock; callers that change what they read hold the lock of the record's key.

use coffre_api::Refusal;
use coffre_barrier::{ReadView, View, ViewBatch};
use coffre_engine::storage;

pub(super) use crate::records::{names, read, to_json};

use super::model::{Accessor, Role, SecretId, accessor_key, role_key, secret_id_key};

/// The role of this name.
pub(super) async fn role(view: &View, name: &str) -> Result<Option<Role>, Refusal> {
    read(view, &role_key(name)).await
}

/// The role of this name, or a 404 that says what to do.
pub(super) async fn role_or_missing(view: &View, name: &str) -> Result<Role, Refusal> {
    role(view, name).await?.ok_or_else(no_role)
}

/// For the existence check, which cannot write.
pub(super) async fn role_exists(view: &ReadView, name: &str) -> Result<bool, Refusal> {
    Ok(view.get(&role_key(name)).await.map_err(storage)?.is_some())
}

/// Whether this generation of the role still is the role.
pub(super) async fn is_live(view: &View, name: &str, generation: &str) -> Result<bool, Refusal> {
    Ok(role(view, name).await?.is_some_and(|role| role.generation == generation))
}

/// The secret id with this hash, expired or not.
pub(super) async fn secret_id(
    view: &View,
    generation: &str,
    hash: &str,
) -> Result<Option<SecretId>, Refusal> {
    read(view, &secret_id_key(generation, hash)).await
}

/// The hash that an accessor of this generation leads to.
pub(super) async fn hash_of_accessor(
    view: &View,
    generation: &str,
    accessor: &str,
) -> Result<Option<String>, Refusal> {
    if accessor.is_empty() || !accessor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Ok(None);
    }
    let found: Option<Accessor> = read(view, &accessor_key(generation, accessor)).await?;
    Ok(found.map(|found| found.secret_id_hash))
}

/// The removal of a secret id with its accessor.
pub(super) fn removal(generation: &str, hash: &str, accessor: &str) -> ViewBatch {
    ViewBatch::new().delete(secret_id_key(generation, hash)).delete(accessor_key(generation, accessor))
}

/// The refusal for a role that is not there.
pub(super) fn no_role() -> Refusal {
    Refusal::missing_because("role does not exist: make it first with a write to role/<name>")
}
