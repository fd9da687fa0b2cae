//! `sys/internal/ui/*`: what the command line asks before each `kv` command, and what user interfaces ask about the
//! caller.

use std::collections::BTreeMap;

use coffre_api::sys::ui::{
    AclPath, FeatureFlags, FeatureFlagsOutput, ResultantAcl, ResultantAclOutput, UiMount, UiMountInput,
    UiMountOutput, UiMounts, UiMountsOutput, UiNamespaces, UiNamespacesOutput,
};
use coffre_api::{Nothing, Refusal, VaultPath};
use coffre_engine::{Cx, Reply, Serve};
use coffre_policy::{Acl, Caller};

use super::Sys;
use crate::mounts::MountEntry;

impl Serve<UiMounts> for Sys {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<UiMountsOutput>, Refusal> {
        let acl = cx.caller().and_then(Caller::as_token).map(|token| &*token.acl);
        let mut output = UiMountsOutput { auth: [].into(), secret: [].into() };
        for entry in self.active()?.mounts.router().entries().filter(|entry| may_see(acl, entry)) {
            let list = if entry.is_auth() { &mut output.auth } else { &mut output.secret };
            list.insert(entry.shown_path().to_owned(), entry.output());
        }
        Ok(Reply::data(output))
    }
}

impl Serve<UiMount> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: UiMountInput) -> Result<Reply<UiMountOutput>, Refusal> {
        let acl =
            cx.caller().and_then(Caller::as_token).map(|token| &*token.acl).ok_or_else(Refusal::denied)?;
        let refused = || {
            Refusal::new(
                coffre_api::Kind::Denied,
                "preflight capability check returned 403, please ensure client's policies grant access to the path",
            )
        };
        let path = VaultPath::parse(&input.path).map_err(|e| Refusal::invalid(e.to_string()))?;
        let router = self.active()?.mounts.router();
        let mount = router.find(&path).ok_or_else(refused)?;
        let entry = router.entry(&mount.facts().path).filter(|entry| may_see(Some(acl), entry));
        let entry = entry.ok_or_else(refused)?;
        Ok(Reply::data(UiMountOutput {
            path: entry.path.clone(),
            r#type: entry.kind.clone(),
            description: entry.description.clone(),
            accessor: entry.accessor.clone(),
            uuid: entry.uuid.clone(),
            local: entry.local,
            seal_wrap: entry.seal_wrap,
            external_entropy_access: entry.external_entropy_access,
            options: (!entry.options.is_empty()).then(|| entry.options.clone()),
            config: entry.config_output(),
        }))
    }
}

impl Serve<ResultantAcl> for Sys {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<ResultantAclOutput>, Refusal> {
        let token = cx.caller().and_then(Caller::as_token).ok_or_else(Refusal::denied)?;
        let mut output = ResultantAclOutput {
            root: token.acl.is_root(),
            exact_paths: BTreeMap::new(),
            glob_paths: BTreeMap::new(),
        };
        for rule in token.acl.rules() {
            let text = rule.pattern().text();
            let is_glob = text.ends_with('*') || text.split('/').any(|segment| segment == "+");
            let list = if is_glob { &mut output.glob_paths } else { &mut output.exact_paths };
            let capabilities = rule.capabilities().words().into_iter().map(str::to_owned).collect();
            list.insert(text.strip_suffix('*').unwrap_or(&text).to_owned(), AclPath { capabilities });
        }
        Ok(Reply::data(output))
    }
}

/// There are no namespaces, but who asks must hold a token, as with Vault.
impl Serve<UiNamespaces> for Sys {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<UiNamespacesOutput>, Refusal> {
        cx.caller().and_then(Caller::as_token).ok_or_else(Refusal::denied)?;
        Ok(Reply::data(UiNamespacesOutput { keys: Vec::new() }))
    }
}

impl Serve<FeatureFlags> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<FeatureFlagsOutput>, Refusal> {
        Ok(Reply::bare(FeatureFlagsOutput { feature_flags: Vec::new() }))
    }
}

/// Whether a caller with these policies (or nobody) is shown the mount.
pub(super) fn may_see(acl: Option<&Acl>, entry: &MountEntry) -> bool {
    let open = entry.config.listing_visibility.as_deref() == Some("unauth");
    open || acl.is_some_and(|acl| acl.reaches(&entry.path))
}
