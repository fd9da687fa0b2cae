//! `sys/plugins/catalog`, and `sys/storage/raft` of other servers.

use coffre_api::sys::catalog::{
    CatalogEntry, CatalogEntryInput, CatalogEntryOutput, CatalogInput, CatalogOutput, ListCatalog, RaftInput,
    ReadCatalog, ReadCatalogEntry, ReadRaft, WriteRaft,
};
use coffre_api::sys::policies::PolicyKeysOutput;
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::builtin;

/// As Vault marks what comes with the server.
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"), "+builtin.coffre");

/// Names that Vault knows; those that this server has are listed.
const METHODS: [&str; 13] = [
    "approle",
    "aws",
    "azure",
    "cert",
    "gcp",
    "github",
    "jwt",
    "kubernetes",
    "ldap",
    "oidc",
    "okta",
    "radius",
    "userpass",
];
const ENGINES: [&str; 11] =
    ["aws", "azure", "consul", "database", "gcp", "kubernetes", "kv", "pki", "ssh", "totp", "transit"];

fn names(kind: &str) -> Result<Vec<String>, Refusal> {
    let present: Vec<&str> = match kind {
        "auth" => METHODS.into_iter().filter(|name| builtin::auth_kind(name).is_some()).collect(),
        "secret" => ENGINES.into_iter().filter(|name| builtin::secrets_kind(name).is_some()).collect(),
        "database" => builtin::DATABASE_PLUGINS.to_vec(),
        _ => return Err(Refusal::invalid("the type of a plugin is auth, database or secret")),
    };
    Ok(present.into_iter().map(str::to_owned).collect())
}

impl Serve<ReadCatalog> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<CatalogOutput>, Refusal> {
        let mut detailed = Vec::new();
        for kind in ["auth", "database", "secret"] {
            detailed.extend(names(kind)?.into_iter().map(|name| CatalogEntry {
                r#type: kind.into(),
                name,
                version: VERSION.into(),
                builtin: true,
                deprecation_status: "supported".into(),
            }));
        }
        let (auth, database, secret) = (names("auth")?, names("database")?, names("secret")?);
        Ok(Reply::data(CatalogOutput { auth, database, secret, detailed }))
    }
}

impl Serve<ListCatalog> for Sys {
    async fn serve(&self, _: Cx<'_>, input: CatalogInput) -> Result<Reply<PolicyKeysOutput>, Refusal> {
        let keys = names(&input.r#type)?;
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(PolicyKeysOutput { keys }) })
    }
}

impl Serve<ReadCatalogEntry> for Sys {
    async fn serve(&self, _: Cx<'_>, input: CatalogEntryInput) -> Result<Reply<CatalogEntryOutput>, Refusal> {
        if !names(&input.r#type)?.contains(&input.plugin) {
            return Ok(Reply::missing());
        }
        Ok(Reply::data(CatalogEntryOutput {
            name: input.plugin,
            args: Vec::new(),
            command: String::new(),
            sha256: String::new(),
            version: VERSION.into(),
            builtin: true,
            deprecation_status: "supported".into(),
        }))
    }
}

fn no_raft() -> Refusal {
    Refusal::invalid("raft storage is not in use")
}

impl Serve<ReadRaft> for Sys {
    async fn serve(&self, _: Cx<'_>, _: RaftInput) -> Result<Reply<Nothing>, Refusal> {
        Err(no_raft())
    }
}

impl Serve<WriteRaft> for Sys {
    async fn serve(&self, _: Cx<'_>, _: RaftInput) -> Result<Reply<Nothing>, Refusal> {
        Err(no_raft())
    }
}
