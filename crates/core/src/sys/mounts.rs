//! `sys/mounts` and `sys/auth`: one table, seen from two sides.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_api::coerce::Ttl;
use coffre_api::sys::mounts::{
    DisableAuth, DisableMount, EnableAuth, EnableInput, EnableMount, ListAuth, ListMounts, MountOutput,
    MountPath, MountSettings, ReadAuth, ReadAuthTune, ReadMount, ReadTune, SystemTtl, TuneInput, TuneOutput,
    WriteAuthTune, WriteTune,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::lockout::LockoutConfig;
use crate::mounts::{MountConfig, MountEntry};
use crate::settings::Settings;

/// Which of the two tables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Secrets,
    Auth,
}

impl Table {
    fn full_path(self, path: &str) -> String {
        let path = path.trim_matches('/');
        match self {
            Self::Secrets => format!("{path}/"),
            Self::Auth => format!("auth/{path}/"),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Secrets => "secret engine mount",
            Self::Auth => "auth engine",
        }
    }
}

impl Sys {
    fn list(&self, table: Table) -> Result<Reply<BTreeMap<String, MountOutput>>, Refusal> {
        let router = self.active()?.mounts.router();
        let entries = router.entries().filter(|entry| entry.is_auth() == (table == Table::Auth));
        Ok(Reply::data(entries.map(|entry| (entry.shown_path().to_owned(), entry.output())).collect()))
    }

    /// An entry of one table; the other table's are as good as missing.
    fn entry(&self, table: Table, path: &str) -> Result<Arc<MountEntry>, Refusal> {
        let router = self.active()?.mounts.router();
        let full = table.full_path(path);
        let found = router.entry(&full).filter(|entry| entry.is_auth() == (table == Table::Auth));
        found
            .cloned()
            .ok_or_else(|| Refusal::invalid(format!("No {} at {}/", table.word(), path.trim_matches('/'))))
    }

    async fn enable(&self, table: Table, input: EnableInput) -> Result<Reply<Nothing>, Refusal> {
        let kind = match (input.r#type.as_str(), input.plugin_name) {
            ("", Some(plugin)) | ("plugin", Some(plugin)) => plugin,
            ("", None) => return Err(Refusal::invalid("backend type must be specified as a string")),
            (kind, _) => kind.to_owned(),
        };
        let kernel = self.kernel()?;
        let known = match table {
            Table::Secrets => kernel.linked().secrets_kind(&kind),
            Table::Auth => kernel.linked().auth_kind(&kind),
        };
        let known =
            known.ok_or_else(|| Refusal::invalid("unknown backend type: see the documentation for the engines and login methods that this server has"))?;
        let mut options = input.options.map(|options| options.0).unwrap_or_default();
        if let Some(version) = match kind.as_str() {
            "kv-v1" => Some("1"),
            "kv-v2" => Some("2"),
            _ => None,
        } {
            options.insert("version".into(), version.into());
        }
        let path = table.full_path(&input.path);
        if table == Table::Secrets && path.starts_with("auth/") {
            return Err(Refusal::invalid("login methods are enabled with sys/auth"));
        }
        let mut entry = MountEntry {
            path,
            kind: known.to_owned(),
            description: input.description,
            options,
            local: input.local.0,
            seal_wrap: input.seal_wrap.0,
            external_entropy_access: input.external_entropy_access.0,
            ..MountEntry::default()
        };
        let settings = self.kernel()?.settings().clone();
        change(&mut entry.config, known, input.config.unwrap_or_default(), &settings)?;
        self.active()?.mounts.enable(entry).await?;
        Ok(Reply::empty())
    }

    async fn disable(&self, table: Table, path: &str) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let full = table.full_path(path);
        let is_other_table = (table == Table::Secrets) == full.starts_with("auth/");
        if is_other_table {
            return Err(Refusal::invalid("login methods are disabled with sys/auth"));
        }
        active.mounts.disable(&full, &active.tokens, &active.leases).await?;
        Ok(Reply::empty())
    }

    fn read_tune(&self, table: Table, path: &str) -> Result<Reply<TuneOutput>, Refusal> {
        let entry = self.entry(table, path)?;
        Ok(Reply::data(entry.tune_output(self.kernel()?.settings())))
    }

    async fn write_tune(&self, table: Table, input: TuneInput) -> Result<Reply<Nothing>, Refusal> {
        let entry = self.entry(table, &input.path)?;
        let settings = self.kernel()?.settings().clone();
        let wanted = input.options.as_ref().and_then(|options| options.0.get("version").cloned());
        let current = entry.options.get("version").cloned().unwrap_or_else(|| "1".into());
        let upgrades = match wanted.as_deref() {
            Some("2") if current == "1" && entry.kind == "kv" => true,
            Some(wanted) if wanted != current => {
                return Err(Refusal::invalid("the version of a kv mount can only be raised from 1 to 2"));
            }
            _ => false,
        };
        let tuned = MountSettings {
            default_lease_ttl: input.default_lease_ttl,
            max_lease_ttl: input.max_lease_ttl,
            force_no_cache: input.force_no_cache,
            listing_visibility: input.listing_visibility,
            audit_non_hmac_request_keys: input.audit_non_hmac_request_keys,
            audit_non_hmac_response_keys: input.audit_non_hmac_response_keys,
            passthrough_request_headers: input.passthrough_request_headers,
            allowed_response_headers: input.allowed_response_headers,
            token_type: input.token_type,
            plugin_version: input.plugin_version,
            user_lockout_config: input.user_lockout_config,
        };
        let (description, options) = (input.description, input.options);
        let active = self.active()?;
        let changed = active.mounts.change(&entry.path, move |entry| {
            change(&mut entry.config, &entry.kind, tuned, &settings)?;
            if let Some(description) = description {
                entry.description = description;
            }
            if let Some(options) = options {
                entry.options.extend(options.0);
            }
            Ok(())
        });
        changed.await?;
        let reply = Reply::empty();
        Ok(if upgrades {
            reply.warn("each secret is upgraded when it is first touched; readers are served meanwhile")
        } else {
            reply
        })
    }
}

/// Applies what was sent; what is absent stays.
fn change(
    config: &mut MountConfig,
    kind: &str,
    sent: MountSettings,
    settings: &Settings,
) -> Result<(), Refusal> {
    let seconds = |ttl: SystemTtl| ttl.0.map_or(0, Ttl::as_secs);
    config.default_lease_ttl = sent.default_lease_ttl.map_or(config.default_lease_ttl, seconds);
    config.max_lease_ttl = sent.max_lease_ttl.map_or(config.max_lease_ttl, seconds);
    let max = if config.max_lease_ttl == 0 { settings.max_ttl.as_secs() } else { config.max_lease_ttl };
    if config.default_lease_ttl > max {
        return Err(Refusal::invalid("default_lease_ttl is greater than max_lease_ttl"));
    }
    if let Some(visibility) = sent.listing_visibility {
        config.listing_visibility = match visibility.as_str() {
            "" | "hidden" => None,
            "unauth" => Some(visibility),
            _ => return Err(Refusal::invalid("listing_visibility must be hidden or unauth")),
        };
    }
    if let Some(kind) = sent.token_type {
        if !matches!(kind.as_str(), "default-service" | "default-batch" | "service" | "batch") {
            return Err(Refusal::invalid(
                "invalid 'token_type' value: it must be default-service, default-batch, service or batch",
            ));
        }
        config.token_type = Some(kind);
    }
    if let Some(lockout) = sent.user_lockout_config {
        if !LockoutConfig::applies_to(kind) {
            return Err(Refusal::invalid(
                "user_lockout_config is for methods that log users in by name: approle, ldap and userpass",
            ));
        }
        config.user_lockout.get_or_insert_default().apply(&lockout)?;
    }
    config.force_no_cache = sent.force_no_cache.map_or(config.force_no_cache, |value| value.0);
    set(&mut config.audit_non_hmac_request_keys, sent.audit_non_hmac_request_keys);
    set(&mut config.audit_non_hmac_response_keys, sent.audit_non_hmac_response_keys);
    set(&mut config.passthrough_request_headers, sent.passthrough_request_headers);
    set(&mut config.allowed_response_headers, sent.allowed_response_headers);
    Ok(())
}

fn set(kept: &mut Option<Vec<String>>, sent: Option<coffre_api::coerce::CommaList>) {
    if let Some(list) = sent {
        *kept = (!list.items().is_empty()).then_some(list.0);
    }
}

impl Serve<ListMounts> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<BTreeMap<String, MountOutput>>, Refusal> {
        self.list(Table::Secrets)
    }
}

impl Serve<ReadMount> for Sys {
    async fn serve(&self, _: Cx<'_>, input: MountPath) -> Result<Reply<MountOutput>, Refusal> {
        Ok(Reply::data(self.entry(Table::Secrets, &input.path)?.output()))
    }
}

impl Serve<EnableMount> for Sys {
    async fn serve(&self, _: Cx<'_>, input: EnableInput) -> Result<Reply<Nothing>, Refusal> {
        self.enable(Table::Secrets, input).await
    }
}

impl Serve<DisableMount> for Sys {
    async fn serve(&self, _: Cx<'_>, input: MountPath) -> Result<Reply<Nothing>, Refusal> {
        self.disable(Table::Secrets, &input.path).await
    }
}

impl Serve<ReadTune> for Sys {
    async fn serve(&self, _: Cx<'_>, input: MountPath) -> Result<Reply<TuneOutput>, Refusal> {
        // Old clients ask for the tune of login methods under `sys/mounts/auth/…` as well.
        match input.path.strip_prefix("auth/") {
            Some(path) => self.read_tune(Table::Auth, path),
            None => self.read_tune(Table::Secrets, &input.path),
        }
    }
}

impl Serve<WriteTune> for Sys {
    async fn serve(&self, _: Cx<'_>, input: TuneInput) -> Result<Reply<Nothing>, Refusal> {
        self.write_tune(Table::Secrets, input).await
    }
}

impl Serve<ListAuth> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<BTreeMap<String, MountOutput>>, Refusal> {
        self.list(Table::Auth)
    }
}

impl Serve<ReadAuth> for Sys {
    async fn serve(&self, _: Cx<'_>, input: MountPath) -> Result<Reply<MountOutput>, Refusal> {
        Ok(Reply::data(self.entry(Table::Auth, &input.path)?.output()))
    }
}

impl Serve<EnableAuth> for Sys {
    async fn serve(&self, _: Cx<'_>, input: EnableInput) -> Result<Reply<Nothing>, Refusal> {
        self.enable(Table::Auth, input).await
    }
}

impl Serve<DisableAuth> for Sys {
    async fn serve(&self, _: Cx<'_>, input: MountPath) -> Result<Reply<Nothing>, Refusal> {
        self.disable(Table::Auth, &input.path).await
    }
}

impl Serve<ReadAuthTune> for Sys {
    async fn serve(&self, _: Cx<'_>, input: MountPath) -> Result<Reply<TuneOutput>, Refusal> {
        self.read_tune(Table::Auth, &input.path)
    }
}

impl Serve<WriteAuthTune> for Sys {
    async fn serve(&self, _: Cx<'_>, input: TuneInput) -> Result<Reply<Nothing>, Refusal> {
        self.write_tune(Table::Auth, input).await
    }
}
