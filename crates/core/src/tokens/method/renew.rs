//! `auth/token/renew*`.

use std::sync::Arc;
use std::time::Duration;

use coffre_api::coerce::Ttl;
use coffre_api::token::renew::{
    Renew, RenewAccessor, RenewAccessorInput, RenewInput, RenewSelf, RenewSelfInput,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Mount, MountCx, Reply, Serve};
use coffre_secret::SecretText;

use super::super::{LiveToken, TokenRecord};
use super::{TokenMethod, living, living_of_accessor, named, own};
use crate::active::Active;
use crate::finish::auth_block;

/// Renews, within the lifetimes of the mount that made the token and on the terms that its method gives now.
async fn renew(
    active: &Active,
    cx: Cx<'_>,
    live: &LiveToken,
    shown: SecretText,
    increment: Option<Ttl>,
) -> Result<Reply<Nothing>, Refusal> {
    let record = &live.record;
    if record.batch {
        return Err(Refusal::invalid("batch tokens cannot be renewed"));
    }
    let maker = maker(active, record)?;
    let (terms, lifetimes) = match maker {
        Some(mount) => {
            let login = record.login_facts();
            let asked = MountCx::new(&mount, cx.clock(), cx.entropy());
            let terms = mount.engine().renew_login(asked, &login).await?;
            (terms, (mount.facts().default_ttl, mount.facts().max_ttl))
        }
        None => (record.login_facts().terms, (cx.mount().default_ttl, cx.mount().max_ttl)),
    };
    let wanted = increment.map_or(Duration::ZERO, Ttl::duration);
    let (live, warnings) = active.tokens.renew(live.key, wanted, lifetimes, terms).await?;
    let ttl = live.record.left(cx.now());
    let block = auth_block(&active.tokens, shown, &live, round_up(ttl)).await?;
    Ok(Reply::auth(block).warn_all(warnings))
}

/// The mount that made the token; `None` for tokens that the kernel itself made. One whose method is being disabled is
/// as good as revoked.
fn maker(active: &Active, record: &TokenRecord) -> Result<Option<Arc<Mount>>, Refusal> {
    if record.mount.is_empty() {
        return Ok(None);
    }
    let router = active.mounts.router();
    let entry = router.entries().find(|entry| entry.accessor == record.mount);
    let mount = entry.and_then(|entry| router.mount(&entry.path));
    mount.map(|mount| Some(Arc::clone(mount))).ok_or_else(Refusal::denied)
}

/// What is shown is in whole seconds; the fraction that passed since is not lost for the reader.
const fn round_up(ttl: Duration) -> Duration {
    Duration::from_secs(ttl.as_secs() + if ttl.subsec_nanos() > 0 { 1 } else { 0 })
}

impl Serve<Renew> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: RenewInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let live = living(&active, named(input.token.as_ref())?).await?;
        let token = input.token.map(coffre_api::SecretField::into_secret).unwrap_or_default();
        renew(&active, cx, &live, token, input.increment).await
    }
}

impl Serve<RenewSelf> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: RenewSelfInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let token = cx.presented_token().ok_or_else(Refusal::denied)?.duplicate();
        renew(&active, cx, &*own(&active, cx).await?, token, input.increment).await
    }
}

impl Serve<RenewAccessor> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: RenewAccessorInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let live = living_of_accessor(&active, &input.accessor).await?;
        renew(&active, cx, &live, SecretText::default(), input.increment).await
    }
}
