//! `sys/wrapping/*`: the wrapping token is the credential, and it works once.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::sys::wrapping::{
    Rewrap, Unwrap, Wrap, WrapInput, WrappingLookup, WrappingLookupOutput, WrappingLookupSelf,
    WrappingTokenInput,
};
use coffre_api::{Envelope, Nothing, RawJson, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::tokens::{TokenKey, TokenStore};
use crate::wrap::{self, WrapRecord};

impl Serve<Wrap> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: WrapInput) -> Result<Reply<RawJson>, Refusal> {
        if cx.wrap_ttl().is_none() {
            return Err(Refusal::invalid("endpoint requires response wrapping to be used"));
        }
        Ok(Reply::data(input.data))
    }
}

impl Serve<Unwrap> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: WrappingTokenInput) -> Result<Reply<RawJson>, Refusal> {
        let active = self.active()?;
        let record = active.tokens.take_wrapped(wrapping_key(&active.tokens, cx, &input)?).await?;
        Ok(Reply::bare(record.body))
    }
}

impl Serve<WrappingLookup> for Sys {
    async fn serve(
        &self,
        cx: Cx<'_>,
        input: WrappingTokenInput,
    ) -> Result<Reply<WrappingLookupOutput>, Refusal> {
        let active = self.active()?;
        let record = active.tokens.peek_wrapped(wrapping_key(&active.tokens, cx, &input)?).await?;
        Ok(Reply::data(shown(&record)))
    }
}

impl Serve<WrappingLookupSelf> for Sys {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<WrappingLookupOutput>, Refusal> {
        let active = self.active()?;
        let own = WrappingTokenInput { token: None };
        let record = active.tokens.peek_wrapped(wrapping_key(&active.tokens, cx, &own)?).await?;
        Ok(Reply::data(shown(&record)))
    }
}

impl Serve<Rewrap> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: WrappingTokenInput) -> Result<Reply<RawJson>, Refusal> {
        let active = self.active()?;
        let old = active.tokens.take_wrapped(wrapping_key(&active.tokens, cx, &input)?).await?;
        let ttl = Duration::from_secs(old.ttl);
        // EXPOSE: moved from the old record into the new one.
        let body = old.body.expose().into();
        let wrap_info = wrap::wrap(&active.tokens, body, &old.path, ttl, old.accessor, cx.now()).await?;
        let envelope = Envelope {
            request_id: cx.request_id(),
            lease_id: "",
            renewable: false,
            lease_duration: 0,
            data: None,
            wrap_info: Some(&wrap_info),
            warnings: None,
            auth: None,
            mount_type: "",
        };
        Ok(Reply::bare(RawJson::of(&envelope).map_err(Refusal::bug)?))
    }
}

/// The token named in the body, or the one that came with the request.
fn wrapping_key(tokens: &TokenStore, cx: Cx<'_>, input: &WrappingTokenInput) -> Result<TokenKey, Refusal> {
    // EXPOSE: hashed into the token's name.
    match (&input.token, cx.presented_token()) {
        (Some(token), _) if !token.is_empty() => Ok(tokens.key_of(token.expose())),
        (_, Some(token)) => Ok(tokens.key_of(token.expose())),
        _ => Err(Refusal::invalid("missing \"token\" value in input")),
    }
}

fn shown(record: &WrapRecord) -> WrappingLookupOutput {
    WrappingLookupOutput {
        creation_ttl: record.ttl,
        creation_time: Wall::from_nanos(record.created).rfc3339(),
        creation_path: record.path.clone(),
    }
}
