//! `auth/token/revoke*`: unknown tokens are fine, as in Vault.

use coffre_api::token::lookup::{AccessorInput, TokenInput};
use coffre_api::token::revoke::{Revoke, RevokeAccessor, RevokeOrphan, RevokeSelf};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::super::{BATCH_PREFIX, TokenKey};
use super::{TokenMethod, named};
use crate::active::Active;

impl Serve<Revoke> for TokenMethod {
    async fn serve(&self, _: Cx<'_>, input: TokenInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        // EXPOSE: hashed into the token's name.
        active.tokens.revoke(revocable(&active, named(input.token.as_ref())?.expose()).await?).await?;
        Ok(Reply::empty())
    }
}

impl Serve<RevokeSelf> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, _: TokenInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let token = cx.presented_token().ok_or_else(Refusal::denied)?;
        // EXPOSE: hashed into the token's name.
        active.tokens.revoke(revocable(&active, token.expose()).await?).await?;
        Ok(Reply::empty())
    }
}

impl Serve<RevokeAccessor> for TokenMethod {
    async fn serve(&self, _: Cx<'_>, input: AccessorInput) -> Result<Reply<Nothing>, Refusal> {
        if input.accessor.is_empty() {
            return Err(Refusal::invalid("missing accessor"));
        }
        let active = self.active()?;
        match active.tokens.by_accessor(&input.accessor).await? {
            Some(key) => active.tokens.revoke(key).await.map(|()| Reply::empty()),
            None => Ok(Reply::empty().warn("No token found with this accessor")),
        }
    }
}

impl Serve<RevokeOrphan> for TokenMethod {
    async fn serve(&self, _: Cx<'_>, input: TokenInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let live = super::living(&active, named(input.token.as_ref())?).await?;
        if live.record.batch {
            return Err(not_revocable());
        }
        active.tokens.revoke_and_orphan(live.key).await?;
        Ok(Reply::empty())
    }
}

/// The name of a token that can be revoked, known or not. Batch tokens are in no storage; they end by themselves, or
/// with their parent.
async fn revocable(active: &Active, token: &str) -> Result<TokenKey, Refusal> {
    if token.starts_with(BATCH_PREFIX) && active.tokens.identify(token).await?.is_some() {
        return Err(not_revocable());
    }
    Ok(active.tokens.key_of(token))
}

fn not_revocable() -> Refusal {
    Refusal::invalid("batch tokens cannot be revoked")
}
