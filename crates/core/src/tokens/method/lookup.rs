//! `auth/token/lookup*` and `accessors`: an accessor shows a token's facts, never the token.

use coffre_ambient::Wall;
use coffre_api::token::lookup::{
    AccessorInput, AccessorsOutput, ListAccessors, Lookup, LookupAccessor, LookupByQuery, LookupOutput,
    LookupSelf, LookupSelfByWrite, TokenInput,
};
use coffre_api::{Nothing, Refusal, SecretField};
use coffre_engine::{Cx, Reply, Serve};

use super::super::{LiveToken, MOST_LISTED, whole_secs};
use super::{TokenMethod, living, living_of_accessor, named, own};
use crate::active::Active;

impl TokenMethod {
    async fn lookup(&self, cx: Cx<'_>, input: TokenInput) -> Result<Reply<LookupOutput>, Refusal> {
        let active = self.active()?;
        let Some(token) = input.token.filter(|token| !token.is_empty()) else {
            return self.lookup_self(cx).await;
        };
        let live = living(&active, named(Some(&token))?).await?;
        output(&active, &live, token, cx.now()).await
    }

    async fn lookup_self(&self, cx: Cx<'_>) -> Result<Reply<LookupOutput>, Refusal> {
        let active = self.active()?;
        let live = own(&active, cx).await?;
        let token = cx.presented_token().ok_or_else(Refusal::denied)?;
        output(&active, &live, SecretField::new(token.duplicate()), cx.now()).await
    }
}

impl Serve<Lookup> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: TokenInput) -> Result<Reply<LookupOutput>, Refusal> {
        self.lookup(cx, input).await
    }
}

impl Serve<LookupByQuery> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: TokenInput) -> Result<Reply<LookupOutput>, Refusal> {
        self.lookup(cx, input).await
    }
}

impl Serve<LookupSelf> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<LookupOutput>, Refusal> {
        self.lookup_self(cx).await
    }
}

impl Serve<LookupSelfByWrite> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, _: TokenInput) -> Result<Reply<LookupOutput>, Refusal> {
        self.lookup_self(cx).await
    }
}

impl Serve<LookupAccessor> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: AccessorInput) -> Result<Reply<LookupOutput>, Refusal> {
        let active = self.active()?;
        let live = living_of_accessor(&active, &input.accessor).await?;
        output(&active, &live, SecretField::new("".into()), cx.now()).await
    }
}

impl Serve<ListAccessors> for TokenMethod {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<AccessorsOutput>, Refusal> {
        let (keys, is_all) = self.active()?.tokens.accessors().await?;
        let cut = format!("only {MOST_LISTED} accessors are listed; there are more");
        if keys.is_empty() {
            return Ok(Reply::missing());
        }
        Ok(Reply::data(AccessorsOutput { keys }).warn_all((!is_all).then_some(cut)))
    }
}

async fn output(
    active: &Active,
    live: &LiveToken,
    id: SecretField,
    now: Wall,
) -> Result<Reply<LookupOutput>, Refusal> {
    let record = &live.record;
    let caller = active.tokens.caller_of(live).await?;
    let added = caller.as_ref().map(|caller| caller.identity_policies.clone());
    let renewed = (record.renewed != 0).then(|| Wall::from_nanos(record.renewed));
    Ok(Reply::data(LookupOutput {
        id,
        accessor: record.accessor.clone(),
        policies: record.policies.clone(),
        path: record.path.clone(),
        meta: (!record.meta.is_empty()).then(|| record.meta.clone()),
        display_name: record.display_name.clone(),
        num_uses: u64::try_from(record.num_uses).unwrap_or(0),
        orphan: record.parent.is_none(),
        creation_time: record.made().secs(),
        creation_ttl: record.ttl,
        expire_time: record.end().map(Wall::rfc3339),
        issue_time: record.made().rfc3339(),
        // Rounded up: 0 is for ever.
        ttl: whole_secs(record.left(now)),
        explicit_max_ttl: record.explicit_max_ttl,
        entity_id: caller.map_or_else(|| record.entity.clone(), |caller| caller.entity_id.clone()),
        identity_policies: added.filter(|added| !added.is_empty()),
        r#type: record.kind().into(),
        renewable: record.renewable,
        role: (!record.role.is_empty()).then(|| record.role.clone()),
        period: (record.period != 0).then_some(record.period),
        bound_cidrs: (!record.bound_cidrs.is_empty()).then(|| record.bound_cidrs.clone()),
        last_renewal: renewed.map(Wall::rfc3339),
        last_renewal_time: renewed.map(Wall::secs),
    }))
}
