//! The login method at `auth/token/`: tokens managing tokens, a file for each family of endpoints.

mod create;
mod lookup;
mod renew;
mod revoke;

use std::sync::{Arc, Weak};

use coffre_api::{Refusal, SecretField, token as api};
use coffre_engine::{Cx, Engine, Row};

use super::{LiveToken, TokenKey};
use crate::active::Active;
use crate::kernel::Kernel;

/// `auth/token/`.
pub(crate) struct TokenMethod {
    kernel: Weak<Kernel>,
}

impl TokenMethod {
    /// Of this kernel.
    pub(crate) const fn new(kernel: Weak<Kernel>) -> Self {
        Self { kernel }
    }

    fn active(&self) -> Result<Arc<Active>, Refusal> {
        let kernel = self.kernel.upgrade().ok_or_else(|| Refusal::bug("the kernel is being shut down"))?;
        kernel.active().ok_or_else(Refusal::sealed)
    }
}

impl Engine for TokenMethod {
    const KIND: &'static str = "token";
    const ROWS: &'static [Row<Self>] = &[
        Row::of::<api::create::Create>(),
        Row::of::<api::create::CreateOrphan>(),
        Row::of::<api::lookup::Lookup>(),
        Row::of::<api::lookup::LookupByQuery>(),
        Row::of::<api::lookup::LookupSelf>(),
        Row::of::<api::lookup::LookupSelfByWrite>(),
        Row::of::<api::lookup::LookupAccessor>(),
        Row::of::<api::lookup::ListAccessors>(),
        Row::of::<api::renew::Renew>(),
        Row::of::<api::renew::RenewSelf>(),
        Row::of::<api::renew::RenewAccessor>(),
        Row::of::<api::revoke::Revoke>(),
        Row::of::<api::revoke::RevokeSelf>(),
        Row::of::<api::revoke::RevokeAccessor>(),
        Row::of::<api::revoke::RevokeOrphan>(),
    ];
}

/// The caller's own token. It is looked up by its key, so a token whose last use this is still counts.
fn own(active: &Active, cx: Cx<'_>) -> Result<TokenKey, Refusal> {
    let token = cx.presented_token().ok_or_else(Refusal::denied)?;
    // EXPOSE: hashed into the token's name.
    Ok(active.tokens.key_of(token.expose()))
}

/// The token that a field names.
fn named(active: &Active, token: Option<&SecretField>) -> Result<TokenKey, Refusal> {
    let token = token.filter(|token| !token.is_empty()).ok_or_else(|| Refusal::invalid("missing token"))?;
    // EXPOSE: hashed into the token's name.
    Ok(active.tokens.key_of(token.expose()))
}

/// A living token, or the one text for all that is not.
async fn living(active: &Active, key: TokenKey) -> Result<Arc<LiveToken>, Refusal> {
    let found = active.tokens.find(key).await?;
    found.ok_or_else(|| Refusal::new(coffre_api::Kind::Denied, "bad token"))
}

/// The token of an accessor.
async fn of_accessor(active: &Active, accessor: &str) -> Result<TokenKey, Refusal> {
    if accessor.is_empty() {
        return Err(Refusal::invalid("missing accessor"));
    }
    let found = active.tokens.by_accessor(accessor).await?;
    found.ok_or_else(|| Refusal::new(coffre_api::Kind::Denied, "invalid accessor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let flaws = coffre_engine::check_table::check::<TokenMethod>();
        assert!(flaws.is_empty(), "{flaws:#?}");
    }
}
