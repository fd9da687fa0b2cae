use std::collections::BTreeMap;

use coffre_secret::SecretText;
use serde::Deserialize;
use serde_json::json;

use crate::envelope::or_default;
use crate::{Body, Client, Error, ErrorKind, Op, Request};

/// A secrets engine or an auth method, as mounted.
#[derive(Clone, Debug, Deserialize)]
pub struct MountEntry {
    /// `kv`, `approle`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Free text.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// Stable name of this mount.
    #[serde(default, deserialize_with = "or_default")]
    pub accessor: String,
    /// `version` for KV.
    #[serde(default, deserialize_with = "or_default")]
    pub options: BTreeMap<String, String>,
}

/// An audit device.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditEntry {
    /// `file`, `socket`, `syslog`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Free text.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// `file_path`, …
    #[serde(default, deserialize_with = "or_default")]
    pub options: BTreeMap<String, String>,
}

/// Whether the server can work (`sys/seal-status`).
#[derive(Clone, Debug, Deserialize)]
pub struct SealStatus {
    /// `shamir`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Whether it was ever initialised.
    #[serde(default)]
    pub initialized: bool,
    /// Whether it is locked.
    pub sealed: bool,
    /// How many shares open it.
    #[serde(default)]
    pub t: u64,
    /// How many shares there are.
    #[serde(default)]
    pub n: u64,
    /// How many were given in this attempt.
    #[serde(default)]
    pub progress: u64,
    /// The server's version.
    #[serde(default)]
    pub version: String,
}

/// `sys/health`, whatever its status code.
#[derive(Clone, Debug, Deserialize)]
pub struct Health {
    /// Whether it was ever initialised.
    pub initialized: bool,
    /// Whether it is locked.
    pub sealed: bool,
    /// Whether another node does the work.
    #[serde(default)]
    pub standby: bool,
    /// The server's version.
    #[serde(default)]
    pub version: String,
    /// The cluster's name; only from an open server.
    #[serde(default, deserialize_with = "or_default")]
    pub cluster_name: String,
}

/// What `migrate`, `run` and `doctor` need of the system's own endpoints.
impl Client {
    /// Asks how the server is; a sealed or standby one still answers. Not repeated: callers poll.
    pub async fn health(&self) -> Result<Health, Error> {
        let answer = self.without_token().send(Request::new(Op::Read, "sys/health").retries(0)).await?;
        match answer.status() {
            200 | 429 | 472 | 473 | 501 | 503 => {}
            _ => return Err(answer.error(None)),
        }
        let envelope = answer.envelope()?;
        envelope.ok_or_else(|| Error::new(ErrorKind::Decode, "read sys/health"))?.body()
    }

    /// Seal state; works on a sealed server.
    pub async fn seal_status(&self) -> Result<SealStatus, Error> {
        let answer = self.request(Request::new(Op::Read, "sys/seal-status")).await?;
        answer.ok_or_else(|| Error::new(ErrorKind::Decode, "read sys/seal-status"))?.body()
    }

    /// Secrets engines by path; each path ends with `/`.
    pub async fn mounts(&self) -> Result<BTreeMap<String, MountEntry>, Error> {
        self.table("sys/mounts").await
    }

    /// Auth methods by path; each path ends with `/`.
    pub async fn auth_methods(&self) -> Result<BTreeMap<String, MountEntry>, Error> {
        self.table("sys/auth").await
    }

    /// Audit devices by path; each path ends with `/`.
    pub async fn audit_devices(&self) -> Result<BTreeMap<String, AuditEntry>, Error> {
        self.table("sys/audit").await
    }

    /// Mounts KV v2 at a path.
    pub async fn enable_kv2(&self, mount: &str, description: &str) -> Result<(), Error> {
        let body = json!({ "type": "kv", "description": description, "options": { "version": "2" } });
        self.write(&format!("sys/mounts/{}", mount.trim_matches('/')), Body::json(&body)?).await.map(drop)
    }

    /// Enables an auth method at a path.
    pub async fn enable_auth(&self, path: &str, kind: &str) -> Result<(), Error> {
        let body = Body::json(&json!({ "type": kind }))?;
        self.write(&format!("sys/auth/{}", path.trim_matches('/')), body).await.map(drop)
    }

    /// The text of a policy; `None` if there is none of that name.
    pub async fn policy(&self, name: &str) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Found {
            policy: String,
        }
        let found = self.read(&format!("sys/policies/acl/{name}")).await?;
        found.map(|envelope| envelope.data::<Found>().map(|found| found.policy)).transpose()
    }

    /// Creates or replaces a policy.
    pub async fn put_policy(&self, name: &str, text: &str) -> Result<(), Error> {
        let body = Body::json(&json!({ "policy": text }))?;
        self.write(&format!("sys/policies/acl/{name}"), body).await.map(drop)
    }

    /// Removes a policy.
    pub async fn delete_policy(&self, name: &str) -> Result<(), Error> {
        self.delete(&format!("sys/policies/acl/{name}")).await.map(drop)
    }

    /// What the token may do at each path.
    pub async fn capabilities(&self, paths: &[&str]) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let body = Body::json(&json!({ "paths": paths }))?;
        let answer = self.write("sys/capabilities-self", body).await?;
        let mut found: BTreeMap<String, Vec<String>> = match answer {
            None => BTreeMap::new(),
            Some(answer) => answer.data()?,
        };
        // For a single path the server repeats the list under this name.
        if !paths.contains(&"capabilities") {
            found.remove("capabilities");
        }
        Ok(found)
    }

    /// Creates or replaces an AppRole; `settings` are the role's fields.
    pub async fn put_approle(&self, mount: &str, role: &str, settings: Body) -> Result<(), Error> {
        self.write(&format!("auth/{}/role/{role}", mount.trim_matches('/')), settings).await.map(drop)
    }

    /// The role_id of an AppRole.
    pub async fn approle_role_id(&self, mount: &str, role: &str) -> Result<SecretText, Error> {
        let path = format!("auth/{}/role/{role}/role-id", mount.trim_matches('/'));
        let answer = self.request(Request::new(Op::Read, path.as_str())).await?;
        answer
            .and_then(|answer| answer.field("role_id"))
            .ok_or_else(|| Error::new(ErrorKind::Decode, format!("read {path}")))
    }

    /// A new secret_id of an AppRole, in the clear; see [`Client::approle_wrapped_secret_id`].
    pub async fn approle_secret_id(&self, mount: &str, role: &str) -> Result<SecretText, Error> {
        let path = format!("auth/{}/role/{role}/secret-id", mount.trim_matches('/'));
        let answer = self.write(&path, Body::json(&json!({}))?).await?;
        answer
            .and_then(|answer| answer.field("secret_id"))
            .ok_or_else(|| Error::new(ErrorKind::Decode, format!("write {path}")))
    }

    /// A token that opens a new secret_id once, within `ttl`.
    pub async fn approle_wrapped_secret_id(
        &self,
        mount: &str,
        role: &str,
        ttl: &str,
    ) -> Result<SecretText, Error> {
        let path = format!("auth/{}/role/{role}/secret-id", mount.trim_matches('/'));
        let request = Request::new(Op::Write, path.as_str()).body(Body::json(&json!({}))?).wrap_ttl(ttl);
        let answer = self.request(request).await?;
        let wrapped = answer.and_then(|answer| answer.wrap_info).map(|wrap| wrap.token);
        wrapped.ok_or_else(|| Error::new(ErrorKind::Decode, format!("write {path}")))
    }

    async fn table<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<BTreeMap<String, T>, Error> {
        let answer = self.request(Request::new(Op::Read, path)).await?;
        answer.ok_or_else(|| Error::new(ErrorKind::Decode, format!("read {path}")))?.data()
    }
}
