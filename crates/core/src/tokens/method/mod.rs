//! The login method at `auth/token/`: tokens managing tokens, a file for each family of endpoints.

mod create;
mod lookup;
mod policies;
mod renew;
mod revoke;
mod roles;
mod tidy;

use std::sync::{Arc, Weak};
use std::time::Duration;

use coffre_api::{Refusal, SecretField, token as api};
use coffre_engine::{Cx, Engine, LoginFacts, MountCx, RenewTerms, Row};

use super::{LiveToken, TokenKey, role};
use crate::active::Active;
use crate::kernel::Kernel;

/// What is kept with the token of a role: the role's name.
const ROLE_FACT: &str = "role";
/// The period that the request itself asked for, in seconds, if it did.
const PERIOD_FACT: &str = "period";

/// The smaller of two bounds, of which 0 is none.
fn smaller(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 { a.max(b) } else { a.min(b) }
}

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
        Row::of::<api::create::CreateWithRole>(),
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
        Row::of::<api::roles::ListRoles>(),
        Row::of::<api::roles::ReadRole>(),
        Row::creates::<api::roles::WriteRole>(),
        Row::of::<api::roles::DeleteRole>(),
        Row::of::<api::tidy::Tidy>(),
    ];

    /// A token of a role is renewed while there is such a role, with the role's present period.
    async fn renew_login(&self, cx: MountCx<'_>, login: &LoginFacts) -> Result<RenewTerms, Refusal> {
        let Some(name) = login.facts.get(ROLE_FACT) else { return Ok(login.terms) };
        let role = role::role(cx.view()?, name).await?.ok_or_else(|| {
            Refusal::invalid("the role of this token does not exist any more: it cannot be renewed")
        })?;
        let own = login.facts.get(PERIOD_FACT).and_then(|secs| secs.parse().ok()).unwrap_or(0);
        let period = smaller(own, role.token_period);
        Ok(RenewTerms { period: Duration::from_secs(period), ..login.terms })
    }
}

/// The caller's own token, also if this is its last use.
async fn own(active: &Active, cx: Cx<'_>) -> Result<Arc<LiveToken>, Refusal> {
    let token = cx.presented_token().ok_or_else(Refusal::denied)?;
    // EXPOSE: hashed into the token's name, or opened as a batch token.
    active.tokens.find_own(token.expose()).await?.ok_or_else(Refusal::denied)
}

/// The text of a token that a field names.
fn named(token: Option<&SecretField>) -> Result<&SecretField, Refusal> {
    token.filter(|token| !token.is_empty()).ok_or_else(|| Refusal::invalid("missing token"))
}

/// The living token of a text, or the one answer for all that is not.
async fn living(active: &Active, token: &SecretField) -> Result<Arc<LiveToken>, Refusal> {
    // EXPOSE: hashed into the token's name, or opened as a batch token.
    active.tokens.identify(token.expose()).await?.ok_or_else(bad_token)
}

/// The living token of an accessor.
async fn living_of_accessor(active: &Active, accessor: &str) -> Result<Arc<LiveToken>, Refusal> {
    active.tokens.find(of_accessor(active, accessor).await?).await?.ok_or_else(bad_token)
}

fn bad_token() -> Refusal {
    Refusal::new(coffre_api::Kind::Denied, "bad token")
}

/// The token of an accessor.
async fn of_accessor(active: &Active, accessor: &str) -> Result<TokenKey, Refusal> {
    if accessor.is_empty() {
        return Err(Refusal::invalid("missing accessor"));
    }
    let found = active.tokens.by_accessor(accessor).await?;
    found.ok_or_else(|| Refusal::invalid("invalid accessor"))
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
