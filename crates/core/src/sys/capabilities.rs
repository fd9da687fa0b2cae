//! `sys/capabilities*`: what a token may do, from the same rules that decide requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_api::Refusal;
use coffre_api::sys::capabilities::{
    Capabilities, CapabilitiesAccessor, CapabilitiesInput, CapabilitiesSelf,
};
use coffre_engine::{Cx, Reply, Serve};
use coffre_policy::{Acl, Caller};

use super::Sys;
use crate::tokens::{LiveToken, TokenStore};

type Answer = Reply<BTreeMap<String, Vec<String>>>;

/// The most paths in one question.
const MAX_PATHS: usize = 1_000;

fn answer(acl: &Acl, input: &CapabilitiesInput) -> Result<Answer, Refusal> {
    let paths: Vec<&String> = input.paths.items().iter().chain(input.path.items()).collect();
    if paths.is_empty() {
        return Err(Refusal::invalid("paths must be supplied"));
    }
    if paths.len() > MAX_PATHS {
        return Err(Refusal::invalid(format!("at most {MAX_PATHS} paths in one request")));
    }
    let words = |path: &str| acl.capabilities(path).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mut all: BTreeMap<String, Vec<String>> =
        paths.iter().map(|path| ((*path).clone(), words(path))).collect();
    if let [only] = paths.as_slice() {
        let capabilities = words(only);
        all.insert("capabilities".into(), capabilities);
    }
    Ok(Reply::data(all))
}

impl Serve<CapabilitiesSelf> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: CapabilitiesInput) -> Result<Answer, Refusal> {
        let token = cx.caller().and_then(Caller::as_token).ok_or_else(Refusal::denied)?;
        answer(&token.acl, &input)
    }
}

impl Serve<Capabilities> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: CapabilitiesInput) -> Result<Answer, Refusal> {
        let Some(token) = &input.token else {
            let own = cx.caller().and_then(Caller::as_token).ok_or_else(Refusal::denied)?;
            return answer(&own.acl, &input);
        };
        let tokens = Arc::clone(&self.active()?.tokens);
        // EXPOSE: hashed into the token's name, or opened as a batch token.
        let live = tokens.identify(token.expose()).await?;
        let live = live.ok_or_else(|| Refusal::invalid("invalid token"))?;
        let acl = acl_of(&tokens, &live).await?;
        answer(&acl, &input)
    }
}

/// What a token may do now; nothing, if its entity is disabled or gone.
async fn acl_of(tokens: &TokenStore, live: &LiveToken) -> Result<Arc<Acl>, Refusal> {
    Ok(tokens.caller_of(live).await?.map(|caller| Arc::clone(&caller.acl)).unwrap_or_default())
}

impl Serve<CapabilitiesAccessor> for Sys {
    async fn serve(&self, _: Cx<'_>, input: CapabilitiesInput) -> Result<Answer, Refusal> {
        let accessor = input.accessor.as_deref().unwrap_or_default();
        let tokens = Arc::clone(&self.active()?.tokens);
        let live = match tokens.by_accessor(accessor).await? {
            Some(key) => tokens.find(key).await?,
            None => None,
        };
        let live = live.ok_or_else(|| Refusal::invalid("invalid accessor"))?;
        let acl = acl_of(&tokens, &live).await?;
        answer(&acl, &input)
    }
}
