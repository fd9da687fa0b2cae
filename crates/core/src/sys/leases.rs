//! `sys/leases/*`. A token is a lease as well, of the path that made it: it is looked up, listed and revoked here under
//! the name `<path>/h<hash>`, and renewed at `auth/token/renew`.

use std::collections::BTreeSet;
use std::time::Duration;

use coffre_api::coerce::Ttl;
use coffre_api::kv1::KeyList;
use coffre_api::sys::leases::{
    CountInput, CountLeases, CountOutput, FolderInput, ForceFolder, LeaseInput, LeaseShown, ListInput,
    ListLeases, LookupLease, RenewInput, RenewLease, RevokeFolder, RevokeInput, RevokeLease, TidyLeases,
    TroubleInput, TroubleOutput, TroubledLeases,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::active::Active;
use crate::leases::Which;

/// How long an answer waits for credentials to be revoked before it says that this is being done.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many troubled leases are shown if nothing is said; Vault's number.
const SHOWN: usize = 10_000;

impl Serve<LookupLease> for Sys {
    async fn serve(&self, _: Cx<'_>, input: LeaseInput) -> Result<Reply<LeaseShown>, Refusal> {
        let active = self.active()?;
        let id = trimmed(&input.lease_id)?;
        let found = match active.leases.show(id).await? {
            Some(found) => Some(found),
            None => active.tokens.shown_as_lease(id).await?,
        };
        found.map(Reply::data).ok_or_else(|| Refusal::invalid("invalid lease"))
    }
}

impl Serve<ListLeases> for Sys {
    async fn serve(&self, _: Cx<'_>, input: ListInput) -> Result<Reply<KeyList>, Refusal> {
        let active = self.active()?;
        let folder = input.prefix.trim_matches('/');
        let mut names: BTreeSet<String> = active.leases.names(folder).await?.into_iter().collect();
        if may_hold_tokens(folder) {
            let base = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            let tokens = active.tokens.as_leases_below(folder).await?;
            let children = tokens.iter().filter_map(|(id, _)| id.strip_prefix(&base));
            names.extend(children.filter_map(|rest| rest.split_inclusive('/').next()).map(str::to_owned));
        }
        let keys: Vec<String> = names.into_iter().collect();
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(KeyList { keys }) })
    }
}

impl Serve<RenewLease> for Sys {
    async fn serve(&self, _: Cx<'_>, input: RenewInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let id = named(&input.url_lease_id, &input.lease_id)?;
        if active.tokens.shown_as_lease(id).await?.is_some() {
            return Err(Refusal::invalid(
                "tokens cannot be renewed through this endpoint: use auth/token/renew",
            ));
        }
        let wanted = input.increment.map_or(Duration::ZERO, Ttl::duration);
        let (block, warning) = active.leases.renew(id, wanted).await?;
        Ok(Reply::lease(block).warn_all(warning))
    }
}

impl Serve<RevokeLease> for Sys {
    async fn serve(&self, _: Cx<'_>, input: RevokeInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let id = named(&input.url_lease_id, &input.lease_id)?;
        if let Some(key) = active.tokens.of_lease(id).await? {
            active.tokens.revoke(key).await?;
            return Ok(if input.sync.0 { Reply::empty() } else { Reply::accepted(None) });
        }
        // Whatever happens next, it has ended.
        active.leases.end(id).await?;
        answer(input.sync.0, active.leases.revoke(id)).await
    }
}

impl Serve<RevokeFolder> for Sys {
    async fn serve(&self, _: Cx<'_>, input: FolderInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let folder = folder(&input.prefix)?;
        revoke_tokens(&active, folder).await?;
        active.leases.end_all(&active.leases.below(folder).await?).await?;
        answer(input.sync.0, active.leases.revoke_below(folder)).await
    }
}

impl Serve<ForceFolder> for Sys {
    async fn serve(&self, _: Cx<'_>, input: FolderInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let folder = folder(&input.prefix)?;
        revoke_tokens(&active, folder).await?;
        active.leases.force_below(folder).await?;
        Ok(Reply::empty())
    }
}

impl Serve<TidyLeases> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        let told = if self.active()?.leases.request_tidy() {
            "Tidy operation successfully started. Any information from the operation will be printed to the server's log."
        } else {
            "Tidy operation already in progress."
        };
        Ok(Reply::accepted(None).warn(told))
    }
}

impl Serve<CountLeases> for Sys {
    async fn serve(&self, _: Cx<'_>, input: CountInput) -> Result<Reply<CountOutput>, Refusal> {
        let which = match input.r#type.as_str() {
            "" => Which::All,
            "irrevocable" => Which::Irrevocable,
            _ => return Err(unknown_type()),
        };
        let counts = self.active()?.leases.count(which).await?;
        Ok(Reply::data(CountOutput { lease_count: counts.total, counts: counts.by_mount }))
    }
}

impl Serve<TroubledLeases> for Sys {
    async fn serve(&self, _: Cx<'_>, input: TroubleInput) -> Result<Reply<TroubleOutput>, Refusal> {
        if !matches!(input.r#type.as_str(), "" | "irrevocable") {
            return Err(unknown_type());
        }
        let limit = match input.limit.as_deref() {
            None | Some("") => SHOWN,
            Some("none") => usize::MAX,
            Some(number) => number
                .parse()
                .ok()
                .filter(|limit| *limit > 0)
                .ok_or_else(|| Refusal::invalid("limit must be a positive number or none"))?,
        };
        let active = self.active()?;
        let counts = active.leases.count(Which::Irrevocable).await?;
        let leases = active.leases.irrevocable(limit).await?;
        Ok(Reply::data(TroubleOutput { lease_count: counts.total, leases }))
    }
}

/// Waits for the work if that was asked for; otherwise for a moment only, because the background goes on with it.
async fn answer(
    sync: bool,
    work: impl Future<Output = Result<(), Refusal>>,
) -> Result<Reply<Nothing>, Refusal> {
    if sync {
        return work.await.map(|()| Reply::empty());
    }
    if let Ok(Err(refusal)) = tokio::time::timeout(PATIENCE, work).await
        && refusal.kind() == coffre_api::Kind::Bug
    {
        return Err(refusal);
    }
    Ok(Reply::accepted(None))
}

async fn revoke_tokens(active: &Active, folder: &str) -> Result<(), Refusal> {
    if may_hold_tokens(folder) {
        for (_, key) in active.tokens.as_leases_below(folder).await? {
            active.tokens.revoke(key).await?;
        }
    }
    Ok(())
}

/// Tokens are made below `auth/`, and wrapping tokens anywhere; those are no leases.
fn may_hold_tokens(folder: &str) -> bool {
    folder.is_empty() || folder == "auth" || folder.starts_with("auth/")
}

/// The one lease that a request names. A policy sees the path, so a body that names another one is refused.
fn named<'a>(path: &'a str, body: &'a str) -> Result<&'a str, Refusal> {
    let (path, body) = (path.trim_matches('/'), body.trim_matches('/'));
    match (path, body) {
        ("", body) => trimmed(body),
        (path, "") => trimmed(path),
        (path, body) if path == body => trimmed(path),
        _ => Err(Refusal::invalid("the path and the body name different leases")),
    }
}

fn trimmed(id: &str) -> Result<&str, Refusal> {
    let id = id.trim_matches('/');
    if id.is_empty() { Err(Refusal::invalid("lease_id must be specified")) } else { Ok(id) }
}

fn folder(prefix: &str) -> Result<&str, Refusal> {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        return Err(Refusal::invalid("a prefix must be specified: all leases at once are not revoked"));
    }
    Ok(prefix)
}

fn unknown_type() -> Refusal {
    Refusal::invalid("type must be irrevocable")
}
