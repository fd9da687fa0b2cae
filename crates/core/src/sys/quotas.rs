//! `sys/quotas`.

use coffre_api::coerce::{LooseFloat, Ttl};
use coffre_api::sys::policies::PolicyKeysOutput;
use coffre_api::sys::quotas::{
    DeleteRateLimit, ListRateLimits, QuotaConfigOutput, QuotaInput, RateLimitOutput, ReadQuotaConfig,
    ReadRateLimit, WriteQuotaConfig, WriteQuotaConfigInput, WriteRateLimit, WriteRateLimitInput,
};
use coffre_api::{Nothing, Refusal, VaultPath};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::quotas::QuotaRecord;

/// More than any server answers.
const MOST_REQUESTS: f64 = 1e9;

impl Sys {
    /// Accessor and rest of the path that a limit is for; both empty for the whole server.
    fn scope(&self, path: &str) -> Result<(String, String), Refusal> {
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            return Ok((String::new(), String::new()));
        }
        let unknown =
            || Refusal::invalid("invalid mount path: a limit is for a mount, or for paths below it");
        let (whole, star) = match path.strip_suffix('*') {
            Some(whole) => (whole, "*"),
            None => (path, ""),
        };
        let parsed = VaultPath::parse(whole).map_err(|_| unknown())?;
        let router = self.active()?.mounts.router();
        let mount = router.find(&parsed).ok_or_else(unknown)?.facts();
        let rest = parsed.below(&mount.path).unwrap_or_default();
        // `kv/a/*` means below `a`; its slash is no part of a canonical path.
        let slash = if star == "*" && whole.ends_with('/') && !rest.is_empty() { "/" } else { "" };
        Ok((mount.accessor.clone(), format!("{rest}{slash}{star}")))
    }

    /// The path of a limit as it is now; `None` if its mount is gone.
    fn shown_path(&self, record: &QuotaRecord) -> Result<Option<String>, Refusal> {
        if record.mount.is_empty() {
            return Ok(Some(String::new()));
        }
        let router = self.active()?.mounts.router();
        let entry = router.entries().find(|entry| entry.accessor == record.mount);
        Ok(entry.map(|entry| format!("{}{}", entry.path, record.suffix)))
    }
}

impl Serve<ReadQuotaConfig> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<QuotaConfigOutput>, Refusal> {
        let config = self.active()?.operations.quotas.config();
        Ok(Reply::data(QuotaConfigOutput {
            enable_rate_limit_audit_logging: config.enable_rate_limit_audit_logging,
            enable_rate_limit_response_headers: config.enable_rate_limit_response_headers,
            rate_limit_exempt_paths: config.rate_limit_exempt_paths,
        }))
    }
}

impl Serve<WriteQuotaConfig> for Sys {
    async fn serve(&self, _: Cx<'_>, input: WriteQuotaConfigInput) -> Result<Reply<Nothing>, Refusal> {
        if input.rate_limit_exempt_paths.as_ref().is_some_and(|paths| paths.items().len() > 256) {
            return Err(Refusal::invalid("at most 256 paths can be exempt: end one with * to cover several"));
        }
        let active = self.active()?;
        let changed = active.operations.quotas.configure(|config| {
            if let Some(flag) = input.enable_rate_limit_audit_logging {
                config.enable_rate_limit_audit_logging = flag.0;
            }
            if let Some(flag) = input.enable_rate_limit_response_headers {
                config.enable_rate_limit_response_headers = flag.0;
            }
            if let Some(paths) = input.rate_limit_exempt_paths {
                config.rate_limit_exempt_paths = paths.0;
            }
        });
        changed.await?;
        Ok(Reply::empty())
    }
}

impl Serve<ListRateLimits> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<PolicyKeysOutput>, Refusal> {
        let mut keys = Vec::new();
        for (name, record) in self.active()?.operations.quotas.all() {
            if self.shown_path(&record)?.is_some() {
                keys.push(name);
            }
        }
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(PolicyKeysOutput { keys }) })
    }
}

impl Serve<ReadRateLimit> for Sys {
    async fn serve(&self, _: Cx<'_>, input: QuotaInput) -> Result<Reply<RateLimitOutput>, Refusal> {
        let Some(record) = self.active()?.operations.quotas.all().remove(&input.quota) else {
            return Ok(Reply::missing());
        };
        let Some(path) = self.shown_path(&record)? else { return Ok(Reply::missing()) };
        Ok(Reply::data(RateLimitOutput {
            name: input.quota,
            r#type: "rate-limit".into(),
            path,
            role: record.role,
            rate: LooseFloat(record.requests),
            interval: record.interval,
            block_interval: record.block_interval,
            inheritable: record.inheritable,
        }))
    }
}

impl Serve<WriteRateLimit> for Sys {
    async fn serve(&self, _: Cx<'_>, input: WriteRateLimitInput) -> Result<Reply<Nothing>, Refusal> {
        if input.r#type.as_deref().is_some_and(|kind| !matches!(kind, "" | "rate-limit")) {
            return Err(Refusal::invalid("'type' must be rate-limit here"));
        }
        let requests = input.rate.0;
        if !(requests > 0.0 && requests <= MOST_REQUESTS) {
            return Err(Refusal::invalid("'rate' must be positive, and at most 1000000000"));
        }
        let interval = input.interval.unwrap_or(Ttl::secs(1)).as_secs();
        if interval == 0 {
            return Err(Refusal::invalid("'interval' must be at least 1 second"));
        }
        let (mount, suffix) = self.scope(&input.path)?;
        let active = self.active()?;
        let router = active.mounts.router();
        let lives = |accessor: &str| router.entries().find(|entry| entry.accessor == accessor);
        let of_method = lives(&mount).is_some_and(|entry| entry.is_auth()) && suffix.is_empty();
        if !input.role.is_empty() && !of_method {
            return Err(Refusal::invalid(
                "'role' is for login methods: set 'path' to one, such as auth/approle/",
            ));
        }
        let record = QuotaRecord {
            mount,
            suffix,
            role: input.role,
            requests,
            interval,
            block_interval: input.block_interval.unwrap_or_default().as_secs(),
            inheritable: input.inheritable.0,
        };
        active.operations.quotas.write(&input.quota, record, |accessor| lives(accessor).is_some()).await?;
        Ok(Reply::empty())
    }
}

impl Serve<DeleteRateLimit> for Sys {
    async fn serve(&self, _: Cx<'_>, input: QuotaInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.operations.quotas.delete(&input.quota).await?;
        Ok(Reply::empty())
    }
}
