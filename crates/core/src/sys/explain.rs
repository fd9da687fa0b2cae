//! `sys/policies/explain`: the same decision as the pipeline's, told instead of enforced.

use std::sync::Arc;

use coffre_api::sys::explain::{ExplainInput, ExplainOutput, ExplainPolicy};
use coffre_api::{Access, RawInput, Refusal, VaultPath};
use coffre_engine::{Cx, Reply, Serve};
use coffre_policy::{Asked, Caller, Question, TokenCaller, parameters};

use super::Sys;
use crate::active::Active;

impl Serve<ExplainPolicy> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: ExplainInput) -> Result<Reply<ExplainOutput>, Refusal> {
        let active = self.active()?;
        let own = cx.caller().and_then(Caller::as_token).ok_or_else(Refusal::denied)?;
        let caller = match other(&active, own, cx, &input).await? {
            Some(other) => other,
            None => Arc::clone(own),
        };
        let Some(asked) = Asked::parse(&input.operation) else {
            return Err(Refusal::invalid("operation is one of create, read, update, patch, delete, list"));
        };
        let path = VaultPath::parse(input.path.trim_start_matches('/'));
        let path = path.map_err(|e| Refusal::invalid(e.to_string()))?;
        let wrap_ttl = input.wrap_ttl.filter(|ttl| !ttl.is_zero()).map(coffre_api::coerce::Ttl::duration);
        let router = active.mounts.router();
        let row = router.find(&path).and_then(|mount| mount.resolve(asked.op, path.clone(), wrap_ttl).ok());
        let (path, access) = row.map_or((path, Access::Token), |row| (row.path().clone(), row.meta().access));
        let raw = match &input.parameters {
            // EXPOSE: compared with the policies' texts.
            Some(given) => parameters(asked.op, given.expose()).ok_or_else(no_object)?,
            None => RawInput::empty(),
        };
        let question = Question {
            path: &path,
            op: asked.op,
            existence: asked.existence,
            needs_sudo: access == Access::Sudo,
            raw: &raw,
            wrap_ttl,
        };
        let mut told = caller.acl.explain(&question).output(&question, &input.operation);
        if let Access::Public(why) | Access::Sealed(why) = access {
            (told.allowed, told.reason) = (true, format!("the endpoint needs no token: {why}"));
        }
        told.policies.clone_from(&caller.policies);
        told.dropped = active.dropped_rules(&caller).await?;
        Ok(Reply::data(told))
    }
}

fn no_object() -> Refusal {
    Refusal::invalid("parameters is an object with names of arguments and their values")
}

/// Somebody else, if the caller asks about somebody else and may.
async fn other(
    active: &Active,
    own: &TokenCaller,
    cx: Cx<'_>,
    input: &ExplainInput,
) -> Result<Option<Arc<TokenCaller>>, Refusal> {
    let accessor = input.accessor.as_deref().filter(|accessor| !accessor.is_empty());
    // EXPOSE: hashed into the token's name.
    let token = input.token.as_ref().map(|token| token.expose()).filter(|token| !token.is_empty());
    if accessor.is_none() && token.is_none() {
        return Ok(None);
    }
    if !own.acl.is_root() && !own.acl.capabilities(cx.path().as_str()).contains(&"sudo") {
        return Err(Refusal::denied());
    }
    let key = match (token, accessor) {
        (Some(token), _) => Some(active.tokens.key_of(token)),
        (None, Some(accessor)) => active.tokens.by_accessor(accessor).await?,
        (None, None) => None,
    };
    let live = match key {
        Some(key) => active.tokens.find(key).await?,
        None => None,
    };
    let live = live.ok_or_else(|| Refusal::invalid("no living token has this name or accessor"))?;
    let caller = active.tokens.caller_of(&live).await?;
    caller
        .map(Some)
        .ok_or_else(|| Refusal::invalid("the token's entity is disabled or gone: it opens nothing"))
}

impl Active {
    async fn dropped_rules(
        &self,
        caller: &TokenCaller,
    ) -> Result<Vec<coffre_api::sys::explain::DroppedRule>, Refusal> {
        let standing = match caller.entity_id.as_str() {
            "" => None,
            entity => self.identity.standing(entity).await?,
        };
        Ok(self.policies.dropped(&caller.policies, standing.as_ref().map(|standing| &standing.values)))
    }
}
