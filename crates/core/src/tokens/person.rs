//! Who stands behind a token, and so what it may do besides its own policies.
//!
//! Evaluated at each request: from memory while nothing changed, anew after any change of an entity, alias or group. The
//! token's own record is not read again for that.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use coffre_api::Refusal;
use coffre_policy::TokenCaller;

use super::store::{LiveToken, TokenStore};
use crate::identity::Standing;

/// The caller that was made of a token and its entity, and in which epoch; part of what is known of the token.
#[derive(Default)]
pub(super) struct Person(ArcSwapOption<(u64, Option<Arc<TokenCaller>>)>);

impl TokenStore {
    /// The caller behind a token: its own policies, its entity's and those of the entity's groups. `None` if the entity
    /// is disabled or gone: such a token opens nothing.
    pub(crate) async fn caller_of(&self, live: &LiveToken) -> Result<Option<Arc<TokenCaller>>, Refusal> {
        if live.record.entity.is_empty() {
            return Ok(Some(Arc::clone(&live.caller)));
        }
        // Asked first: if anything changes while it is evaluated, the result is stale from the start.
        let epoch = self.identity.epoch();
        let known = live.person.0.load();
        if let Some(known) = known.as_ref().filter(|known| known.0 == epoch) {
            return Ok(known.1.clone());
        }
        let standing = self.identity.standing(&live.record.entity).await?;
        let caller = standing.filter(|standing| !standing.disabled).map(|it| self.person(live, &it));
        live.person.0.store(Some(Arc::new((epoch, caller.clone()))));
        Ok(caller)
    }

    fn person(&self, live: &LiveToken, standing: &Standing) -> Arc<TokenCaller> {
        let own = &live.record;
        let mut policies = own.policies.clone();
        policies.extend(standing.policies.iter().cloned());
        policies.sort_unstable();
        policies.dedup();
        Arc::new(TokenCaller {
            acl: self.policies.acl_for(&policies, &standing.values),
            accessor: live.caller.accessor.clone(),
            display_name: live.caller.display_name.clone(),
            policies,
            token_policies: own.policies.clone(),
            identity_policies: standing.policies.clone(),
            entity_id: standing.entity.clone(),
            metadata: live.caller.metadata.clone(),
            token_type: live.caller.token_type,
            ttl: live.caller.ttl,
            issued: live.caller.issued,
            ..TokenCaller::default()
        })
    }
}
