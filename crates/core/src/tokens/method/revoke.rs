//! `auth/token/revoke*`: unknown tokens are fine, as in Vault.

use coffre_api::token::lookup::{AccessorInput, TokenInput};
use coffre_api::token::revoke::{Revoke, RevokeAccessor, RevokeOrphan, RevokeSelf};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::{TokenMethod, named, own};

impl Serve<Revoke> for TokenMethod {
    async fn serve(&self, _: Cx<'_>, input: TokenInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        active.tokens.revoke(named(&active, input.token.as_ref())?).await?;
        Ok(Reply::empty())
    }
}

impl Serve<RevokeSelf> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, _: TokenInput) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        active.tokens.revoke(own(&active, cx)?).await?;
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
        let key = named(&active, input.token.as_ref())?;
        super::living(&active, key).await?;
        active.tokens.revoke_and_orphan(key).await?;
        Ok(Reply::empty())
    }
}
