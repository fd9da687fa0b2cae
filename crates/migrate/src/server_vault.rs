//! The real server, through the client: every call is one request, except that a new mount is waited for. Nothing is
//! retried here that is not safe to repeat; whether a write that was not answered took effect is found out by its id.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Clock;
use coffre_ambient::Wall;
use coffre_client::{Body, Client, Error as ClientError, ErrorKind, MountEntry, login};
use coffre_secret::SecretText;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::vault::{Object, Place, Standing, Vault, VaultError, VaultErrorKind, role_state};

/// Any Vault-compatible server.
pub struct ServerVault {
    client: Client,
    clock: Arc<dyn Clock>,
    /// The mount that was asked for its settings, and how many versions it keeps of each document.
    kept: OnceCell<(String, u64)>,
}

impl ServerVault {
    /// With the client's token.
    #[must_use]
    pub const fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock, kept: OnceCell::const_new() }
    }
}

/// How often and how long a server is waited for that prepares a new KV v2 mount in the background.
const READY_TRIES: u32 = 50;
const READY_PAUSE: Duration = Duration::from_millis(100);

impl Vault for ServerVault {
    type Consumer = Self;

    async fn state(&self, object: &Object) -> Result<Option<String>, VaultError> {
        let mounted = |entry: Option<&MountEntry>| {
            entry.map(|entry| match entry.options.get("version") {
                Some(version) => format!("{}/{version}", entry.kind),
                None if entry.kind == "kv" => "kv/1".to_owned(),
                None => entry.kind.clone(),
            })
        };
        match object {
            Object::Mount(path) => Ok(mounted(self.client.mounts().await?.get(&format!("{path}/")))),
            Object::Auth(path) => Ok(mounted(self.client.auth_methods().await?.get(&format!("{path}/")))),
            Object::Policy(name) => Ok(self.client.policy(name).await?),
            Object::Role { auth, name } => {
                let found = self.client.read(&format!("auth/{auth}/role/{name}")).await?;
                let role: Option<Role> = found.map(|envelope| envelope.data()).transpose()?;
                Ok(role.map(|role| role_state(&role.token_policies, role.token_ttl, role.token_max_ttl)))
            }
        }
    }

    async fn put(&self, object: &Object, state: &str) -> Result<(), VaultError> {
        match object {
            Object::Mount(path) => {
                self.client.enable_kv2(path, "secrets of the application, from coffre.toml").await?;
                self.wait_until_ready(path).await
            }
            Object::Auth(path) => Ok(self.client.enable_auth(path, state).await?),
            Object::Policy(name) => Ok(self.client.put_policy(name, state).await?),
            Object::Role { auth, name } => {
                let body = Body::from_json_text(SecretText::from(state));
                Ok(self.client.put_approle(auth, name, body).await?)
            }
        }
    }

    async fn remove(&self, object: &Object) -> Result<(), VaultError> {
        let path = match object {
            Object::Mount(path) => format!("sys/mounts/{path}"),
            Object::Auth(path) => format!("sys/auth/{path}"),
            Object::Policy(name) => format!("sys/policies/acl/{name}"),
            Object::Role { auth, name } => format!("auth/{auth}/role/{name}"),
        };
        Ok(self.client.delete(&path).await.map(drop)?)
    }

    async fn in_use(&self, object: &Object) -> Result<bool, VaultError> {
        match object {
            Object::Mount(path) => self.holds_documents(path).await,
            Object::Auth(path) => Ok(!self.client.list(&format!("auth/{path}/role")).await?.is_empty()),
            Object::Policy(_) | Object::Role { .. } => Ok(false),
        }
    }

    async fn standing(&self, place: &Place) -> Result<Standing, VaultError> {
        let Some(metadata) = self.client.kv2_metadata(&place.mount, &place.path).await? else {
            return Ok(Standing::default());
        };
        let newest = metadata.versions.get(&metadata.current_version);
        // A deletion time may lie ahead: then the version is still there.
        let gone = newest.is_some_and(|version| {
            version.destroyed
                || Wall::parse(&version.deletion_time).is_some_and(|end| end <= self.clock.wall())
        });
        Ok(Standing {
            exists: true,
            version: metadata.current_version,
            gone,
            // The larger number counts.
            max_versions: metadata.max_versions.max(self.kept_by(&place.mount).await),
        })
    }

    async fn read(&self, place: &Place, version: Option<u64>) -> Result<Option<SecretText>, VaultError> {
        let entry = self.client.kv2_read(&place.mount, &place.path, version).await?;
        Ok(entry.and_then(|entry| entry.document().map(SecretText::duplicate)))
    }

    async fn write(&self, place: &Place, cas: u64, document: &SecretText) -> Result<u64, VaultError> {
        let body = Body::from_json_text(document.duplicate());
        Ok(self.client.kv2_write(&place.mount, &place.path, body, Some(cas)).await?)
    }

    async fn erase(&self, place: &Place) -> Result<(), VaultError> {
        Ok(self.client.kv2_metadata_delete(&place.mount, &place.path).await?)
    }

    async fn destroy(&self, place: &Place, version: u64) -> Result<(), VaultError> {
        Ok(self.client.kv2_destroy(&place.mount, &place.path, &[version]).await?)
    }

    async fn log_in(&self, role: &Object) -> Result<Self, VaultError> {
        let Object::Role { auth, name } = role else {
            return Err(VaultError {
                kind: VaultErrorKind::Refused,
                message: format!("{role} is not an AppRole"),
            });
        };
        let role_id = self.client.approle_role_id(auth, name).await?;
        // For this one login: nothing that opens the vault is left behind.
        let path = format!("auth/{auth}/role/{name}/secret-id");
        let made = self.client.write(&path, Body::json(&json!({ "num_uses": 1, "ttl": "300s" }))?).await?;
        let secret_id = made.and_then(|made| made.field("secret_id"));
        let token = login::approle(&self.client, auth, &role_id, secret_id.as_ref()).await?.client_token;
        Ok(Self::new(self.client.with_token(token), Arc::clone(&self.clock)))
    }

    async fn log_out(&self) -> Result<(), VaultError> {
        Ok(self.client.write("auth/token/revoke-self", Body::json(&json!({}))?).await.map(drop)?)
    }
}

impl ServerVault {
    /// Whether a mount holds anything but what running programs say of themselves for rotations
    /// (`<environment>/_rot/ack/`) and to each other (`rollout/`): that ends with them, and may go with the mount.
    async fn holds_documents(&self, mount: &str) -> Result<bool, VaultError> {
        for environment in self.client.kv2_list(mount, "").await? {
            if !environment.ends_with('/') {
                return Ok(true);
            }
            if self.client.kv2_list(mount, &environment).await? != ["_rot/"] {
                return Ok(true);
            }
            let kept = self.client.kv2_list(mount, &format!("{environment}_rot")).await?;
            if !kept.iter().all(|name| matches!(name.as_str(), "ack/" | "rollout/")) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many versions a mount keeps; 0 if it does not say, or not to us. Asked once: a migration has one mount.
    async fn kept_by(&self, mount: &str) -> u64 {
        let ask = || async {
            let config = self.client.read(&format!("{mount}/config")).await.ok().flatten();
            let config = config.and_then(|config| config.data::<Config>().ok());
            (mount.to_owned(), config.map_or(0, |config| config.max_versions))
        };
        match self.kept.get_or_init(ask).await {
            (known, kept) if known == mount => *kept,
            _ => ask().await.1,
        }
    }

    /// Some servers prepare a new KV v2 mount in the background and refuse it until then.
    async fn wait_until_ready(&self, mount: &str) -> Result<(), VaultError> {
        let mut tries = READY_TRIES;
        loop {
            match self.client.read(&format!("{mount}/config")).await {
                Ok(_) => return Ok(()),
                // Not ours to read: then it is not ours to wait for either.
                Err(error) if error.kind() == ErrorKind::Denied => return Ok(()),
                Err(error) if tries == 0 => return Err(error.into()),
                Err(_) => tries -= 1,
            }
            tokio::time::sleep(READY_PAUSE).await;
        }
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    max_versions: u64,
}

#[derive(Deserialize)]
struct Role {
    #[serde(default)]
    token_policies: Vec<String>,
    #[serde(default)]
    token_ttl: u64,
    #[serde(default)]
    token_max_ttl: u64,
}

impl From<ClientError> for VaultError {
    fn from(error: ClientError) -> Self {
        let kind = match error.kind() {
            ErrorKind::Conflict => VaultErrorKind::Conflict,
            ErrorKind::Denied | ErrorKind::Unauthenticated => VaultErrorKind::Denied,
            ErrorKind::Unreachable
            | ErrorKind::Tls
            | ErrorKind::Sealed
            | ErrorKind::RateLimited
            | ErrorKind::Server
            | ErrorKind::Decode => VaultErrorKind::Down,
            _ => VaultErrorKind::Refused,
        };
        Self { kind, message: error.to_string() }
    }
}
