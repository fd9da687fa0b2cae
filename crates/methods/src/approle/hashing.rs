//! The mount's keyed hash: how role ids and secret ids become storage keys.
//!
//! The key is drawn with the first role and stays for the life of the mount; it is read for each request and not kept, so
//! that a sealed server holds none.

use coffre_api::Refusal;
use coffre_barrier::{BarrierError, View, ViewBatch};
use coffre_crypto::Key;
use coffre_crypto::mac::Mac;
use coffre_engine::{Cx, storage};
use coffre_secret::SecretVec;

use super::model::{DECOY_INDEX, DECOY_ROLE, HASH_KEY, Role, RoleIndex};
use super::records::to_json;
use crate::token_settings::TokenSettings;

/// The mount's keyed hash (HMAC-SHA-256). Labels keep its uses apart.
pub(super) struct Hashing(Mac);

impl Hashing {
    /// The mount's hash, or `None` while it has no key: then it has no roles either.
    pub(super) async fn find(view: &View) -> Result<Option<Self>, Refusal> {
        let Some(bytes) = view.get(HASH_KEY).await.map_err(storage)? else { return Ok(None) };
        // EXPOSE: the keyed state is made from the key.
        let key = Key::copy_of(bytes.expose()).ok_or_else(|| Refusal::bug("the hash key is damaged"))?;
        Ok(Some(Self(Mac::new(&key))))
    }

    /// The mount's hash; its key is drawn if there is none. Whoever is first wins, the others take that key: no lock
    /// is held, so this can be called from anywhere.
    pub(super) async fn find_or_make(cx: Cx<'_>) -> Result<Self, Refusal> {
        let view = cx.view()?;
        if let Some(found) = Self::find(view).await? {
            return Ok(found);
        }
        let key = coffre_crypto::fresh_key(cx.entropy()).map_err(Refusal::bug)?;
        // EXPOSE: stored below the barrier, which encrypts it.
        let bytes = SecretVec::new(key.expose().to_vec());
        let batch = ViewBatch::new()
            .expect_absent(HASH_KEY)
            .put(HASH_KEY, bytes)
            .put(DECOY_ROLE, to_json(&decoy())?)
            .put(DECOY_INDEX, to_json(&RoleIndex { role: decoy().name })?);
        match view.transact(batch).await {
            Ok(()) | Err(BarrierError::Exists(_)) => {}
            Err(e) => return Err(storage(e)),
        }
        Self::find(view).await?.ok_or_else(|| Refusal::bug("the hash key vanished"))
    }

    /// A hash that belongs to no mount, for the login on a mount without roles: the work is the same.
    pub(super) fn of_nobody() -> Self {
        Self(Mac::new(&Key::zeroed()))
    }

    /// The last part of the key of a role id's index.
    pub(super) fn role_id(&self, role_id: &str) -> String {
        self.0.hex(&[b"role-id\0", role_id.as_bytes()])
    }

    /// The last part of a secret id's key; the same text for two roles gives two hashes.
    ///
    /// Generations have a fixed length, so the parts cannot be cut differently.
    pub(super) fn secret_id(&self, generation: &str, secret_id: &str) -> String {
        self.0.hex(&[b"secret-id\0", generation.as_bytes(), b"\0", secret_id.as_bytes()])
    }
}

/// About as large as a real role.
fn decoy() -> Role {
    Role {
        name: "decoy".into(),
        role_id: "00000000-0000-4000-8000-000000000000".into(),
        generation: "0".repeat(32),
        token: TokenSettings { policies: vec!["decoy-read".into()], ..TokenSettings::default() },
        ..Role::default()
    }
}
