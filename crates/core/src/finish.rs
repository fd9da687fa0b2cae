//! The last stage before the answer is recorded: login tokens, wrapping, the envelope.
//!
//! The engine's data was serialized once, as JSON text; here it is spliced, never parsed into a tree. What audit sees
//! ([`AuditView`]) and what leaves ([`Wire`]) are views of the same texts.

use std::net::IpAddr;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::{AuthBlock, Envelope, RawJson, Refusal, WrapInfo};
use coffre_audit::{AuditView, Releasable, Wire};
use coffre_engine::{AnyLease, AnyReply, Auth, LeaseBlock, LeaseGrant, Mount, MountFacts, Shape, TokenGrant};
use coffre_secret::SecretText;

use crate::active::Active;
use crate::identity::{Bound, LoginName};
use crate::leases::{Made, Owner};
use crate::tokens::{Bounds, Created, LiveToken, NewToken, TokenStore, admits, lifetime, networks};
use crate::wrap;

/// Turns an engine's reply into an answer: makes the token of a login, wraps, and puts the envelope around it.
pub(crate) struct Finisher<'a> {
    pub(crate) active: &'a Active,
    /// The engine that answered, while the request is inside it.
    pub(crate) engine: &'a Mount,
    pub(crate) mount: &'a MountFacts,
    /// Whom a lease would belong to.
    pub(crate) owner: Option<Owner>,
    pub(crate) path: &'a coffre_api::VaultPath,
    pub(crate) request_id: &'a str,
    pub(crate) wrap_ttl: Option<Duration>,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) top_level: bool,
    pub(crate) now: Wall,
}

/// An answer, ready for audit and for the wire.
pub(crate) struct Finished {
    status: Option<u16>,
    body: Option<SecretText>,
    /// JSON if there is none.
    media: Option<&'static str>,
    data: Option<RawJson>,
    auth: Option<AuthBlock>,
    wrap_info: Option<WrapInfo>,
}

impl Finisher<'_> {
    pub(crate) async fn finish(&self, mut reply: AnyReply) -> Result<Finished, Refusal> {
        let auth = match reply.auth.take() {
            None => None,
            Some(Auth::Block(block)) => Some(*block),
            Some(Auth::Grant(grant)) => Some(self.login(*grant, &mut reply).await?),
        };
        let lease = match reply.lease.take() {
            None => None,
            Some(AnyLease::Block(block)) => Some(block),
            Some(AnyLease::Grant(grant)) => Some(self.lease(*grant, &mut reply).await?),
        };
        if let Shape::Text(media) = reply.shape {
            return Self::text(reply, media);
        }
        if let Shape::Bare(_) = reply.shape {
            return Self::bare(reply);
        }
        let body = self.envelope(&reply, auth.as_ref(), lease.as_ref())?;
        let Some(ttl) = self.wrap_ttl.filter(|_| body.is_some() && reply.shape == Shape::Data) else {
            let status = status_of(&reply);
            return Ok(Finished { status, body, media: None, data: reply.data, auth, wrap_info: None });
        };
        self.wrapped(reply, auth, body, ttl).await
    }

    /// The answer of a row that is answered even while sealed: always bare.
    pub(crate) fn finish_bare(reply: AnyReply, _request_id: &str) -> Result<Finished, Refusal> {
        if !matches!(reply.shape, Shape::Bare(_)) {
            return Err(Refusal::bug("a sealed row must answer without an envelope"));
        }
        Self::bare(reply)
    }

    fn bare(reply: AnyReply) -> Result<Finished, Refusal> {
        let status = status_of(&reply);
        // EXPOSE: this is the body that the caller asked for.
        let text = reply.data.as_ref().map(|data| data.expose()).filter(|text| *text != "null");
        let body = text.map(SecretText::from);
        let status = if body.is_none() && status == Some(200) { None } else { status };
        Ok(Finished { status, body, media: None, data: reply.data, auth: None, wrap_info: None })
    }

    fn text(reply: AnyReply, media: &'static str) -> Result<Finished, Refusal> {
        // EXPOSE: this is the body that the caller asked for.
        let quoted = reply.data.as_ref().map_or("\"\"", |data| data.expose());
        let body = serde_json::from_str(quoted).map(SecretText::new);
        let body = body.map_err(|_| Refusal::bug("the reply is not a text"))?;
        let (media, body) = (Some(media), Some(body));
        Ok(Finished { status: None, body, media, data: reply.data, auth: None, wrap_info: None })
    }

    /// The lease of what the engine made, kept before the answer leaves.
    async fn lease(&self, grant: LeaseGrant, reply: &mut AnyReply) -> Result<LeaseBlock, Refusal> {
        let nobody = Owner { token: None, cap: None };
        let owner = self.owner.unwrap_or(nobody);
        let made = Made { grant, mount: self.engine, path: self.path, owner };
        let (block, warning) = self.active.leases.register(made, &self.active.tokens).await?;
        reply.warnings.extend(warning);
        Ok(block)
    }

    fn envelope(
        &self,
        reply: &AnyReply,
        auth: Option<&AuthBlock>,
        lease: Option<&LeaseBlock>,
    ) -> Result<Option<SecretText>, Refusal> {
        let silent = reply.data.is_none() && auth.is_none() && lease.is_none() && reply.warnings.is_empty();
        if matches!(reply.shape, Shape::Missing) || silent {
            return Ok(None);
        }
        let envelope = Envelope {
            request_id: self.request_id,
            lease_id: lease.map_or("", |lease| &lease.id),
            renewable: lease.is_some_and(|lease| lease.renewable),
            lease_duration: lease.map_or(reply.lease_duration, |lease| lease.duration),
            data: reply.data.as_ref(),
            wrap_info: None,
            warnings: (!reply.warnings.is_empty()).then_some(reply.warnings.as_slice()),
            auth,
            mount_type: &self.mount.kind,
        };
        let text = SecretText::new(serde_json::to_string(&envelope).map_err(Refusal::bug)?);
        Ok(Some(if self.top_level { repeat_at_top(&text, reply.data.as_ref()) } else { text }))
    }

    async fn wrapped(
        &self,
        reply: AnyReply,
        auth: Option<AuthBlock>,
        body: Option<SecretText>,
        ttl: Duration,
    ) -> Result<Finished, Refusal> {
        let body = body.unwrap_or_default();
        let accessor = auth.as_ref().map(|auth| auth.accessor.clone()).or(reply.wrapped_accessor);
        // Batch tokens have none.
        let accessor = accessor.filter(|accessor| !accessor.is_empty());
        let wrap_info =
            wrap::wrap(&self.active.tokens, body, self.path.as_str(), ttl, accessor, self.now).await?;
        let envelope = Envelope {
            request_id: self.request_id,
            lease_id: "",
            renewable: false,
            lease_duration: 0,
            data: None,
            wrap_info: Some(&wrap_info),
            warnings: (!reply.warnings.is_empty()).then_some(reply.warnings.as_slice()),
            auth: None,
            mount_type: "",
        };
        let text = SecretText::new(serde_json::to_string(&envelope).map_err(Refusal::bug)?);
        Ok(Finished {
            status: Some(200),
            body: Some(text),
            media: None,
            data: None,
            auth: None,
            wrap_info: Some(wrap_info),
        })
    }

    /// Makes the token that a login asked for.
    async fn login(&self, grant: TokenGrant, reply: &mut AnyReply) -> Result<AuthBlock, Refusal> {
        let batch = self.mount.tokens.gives_batch(grant.kind);
        if batch && (grant.num_uses > 0 || !grant.period.is_zero() || !grant.explicit_max_ttl.is_zero()) {
            return Err(Refusal::invalid(
                "this login gives a batch token, which has no period, number of uses or explicit maximum: change the role, or the mount's token_type",
            ));
        }
        let bounds = Bounds {
            default_ttl: self.mount.default_ttl,
            mount_max: self.mount.max_ttl,
            role_max: grant.max_ttl,
            explicit_max: grant.explicit_max_ttl,
            period: grant.period,
        };
        let life = lifetime(bounds, grant.ttl, self.now, self.now)
            .map_err(|_| Refusal::invalid("the role's lifetimes leave no time"))?;
        reply.warnings.extend(life.warnings);
        // A token that its owner could not use from here is not made.
        if !admits(&networks(&grant.bound_cidrs)?, self.peer) {
            return Err(Refusal::denied());
        }
        let policies = self.login_policies(&grant, reply)?;
        let mount = self.mount.path.strip_prefix("auth/").unwrap_or(&self.mount.path).trim_end_matches('/');
        let display_name = match grant.display_name.as_str() {
            "" => mount.to_owned(),
            name => format!("{mount}-{name}"),
        };
        let bound = self.bind(&grant).await?;
        let (entity, joining, _held) = bound.map_or_else(Default::default, Bound::into_parts);
        let created = self.active.tokens.create(NewToken {
            entity,
            joining,
            policies,
            path: self.path.as_str().to_owned(),
            mount: self.mount.accessor.clone(),
            alias: grant.alias,
            facts: grant.facts,
            display_name,
            meta: grant.metadata,
            ttl: life.ttl,
            max_ttl: grant.max_ttl,
            explicit_max_ttl: grant.explicit_max_ttl,
            period: grant.period,
            num_uses: grant.num_uses,
            renewable: true,
            bound_cidrs: grant.bound_cidrs,
            batch,
            ..NewToken::default()
        });
        let created = created.await?;
        self.still_mounted(&created).await?;
        auth_block(&self.active.tokens, created.token, &created.live, life.ttl).await
    }

    /// The entity behind a login; it is made, if it is new, together with the token.
    async fn bind(&self, grant: &TokenGrant) -> Result<Option<Bound>, Refusal> {
        if grant.alias.is_empty() {
            return Ok(None);
        }
        let login = LoginName {
            mount: &self.mount.accessor,
            name: &grant.alias,
            metadata: grant.alias_metadata.as_ref().or(Some(&grant.metadata)),
            groups: &grant.group_aliases,
        };
        self.active.identity.bind(&login).await.map(Some)
    }

    /// A method that is being disabled revokes its tokens after it left the router. One that was made since is revoked
    /// here.
    async fn still_mounted(&self, created: &Created) -> Result<(), Refusal> {
        let router = self.active.mounts.router();
        if router.entry(&self.mount.path).is_some_and(|entry| entry.accessor == self.mount.accessor) {
            return Ok(());
        }
        if !created.live.record.batch {
            self.active.tokens.revoke(created.live.key).await?;
        }
        Err(Refusal::denied())
    }

    fn login_policies(&self, grant: &TokenGrant, reply: &mut AnyReply) -> Result<Vec<String>, Refusal> {
        let mut policies = Vec::with_capacity(grant.policies.len() + 1);
        for name in &grant.policies {
            let name = coffre_policy::PolicyName::parse(name).map_err(|e| Refusal::invalid(e.to_string()))?;
            if !name.is_assignable() {
                return Err(Refusal::invalid("a login never gives the root policy"));
            }
            policies.push(name.as_str().to_owned());
        }
        if !grant.no_default_policy {
            policies.push("default".into());
        }
        policies.sort_unstable();
        policies.dedup();
        reply.warnings.extend(missing_policies(self.active, &policies));
        Ok(policies)
    }
}

/// A sentence for each policy that does not exist (yet).
pub(crate) fn missing_policies(active: &Active, policies: &[String]) -> Vec<String> {
    let missing = policies.iter().filter(|name| !active.policies.exists(name));
    missing.map(|name| format!("Policy \"{name}\" does not exist")).collect()
}

/// The `auth` block of a token, with what its entity adds at this moment.
pub(crate) async fn auth_block(
    tokens: &TokenStore,
    token: SecretText,
    live: &LiveToken,
    ttl: Duration,
) -> Result<AuthBlock, Refusal> {
    let record = &live.record;
    let caller = tokens.caller_of(live).await?;
    let policies = caller.as_ref().map_or(&record.policies, |caller| &caller.policies);
    let added = caller.as_ref().map(|caller| caller.identity_policies.clone());
    Ok(AuthBlock {
        client_token: token,
        accessor: record.accessor.clone(),
        policies: policies.clone(),
        token_policies: record.policies.clone(),
        identity_policies: added.filter(|added| !added.is_empty()),
        metadata: (!record.meta.is_empty()).then(|| record.meta.clone()),
        lease_duration: ttl.as_secs(),
        renewable: record.renewable,
        entity_id: caller.map_or_else(|| record.entity.clone(), |caller| caller.entity_id.clone()),
        token_type: record.kind().into(),
        orphan: record.parent.is_none(),
        mfa_requirement: None,
        num_uses: u64::try_from(record.num_uses).unwrap_or(0),
    })
}

const fn status_of(reply: &AnyReply) -> Option<u16> {
    match reply.shape {
        Shape::Data | Shape::Empty | Shape::Text(_) => None,
        Shape::Missing | Shape::MissingWith => Some(404),
        Shape::Accepted => Some(202),
        Shape::Bare(status) => Some(status),
    }
}

/// Puts each key of `data` beside `data` as well: `{"a":1}` and `{"request_id":…}` become `{"a":1,"request_id":…}`.
fn repeat_at_top(envelope: &SecretText, data: Option<&RawJson>) -> SecretText {
    // EXPOSE: both texts go to the same caller in the same answer.
    let inner =
        data.map(|data| data.expose().trim()).and_then(|text| text.strip_prefix('{')?.strip_suffix('}'));
    let rest = envelope.expose().strip_prefix('{').unwrap_or_default();
    match inner.map(str::trim).filter(|inner| !inner.is_empty()) {
        None => envelope.duplicate(),
        Some(inner) => {
            let mut text = String::with_capacity(inner.len() + rest.len() + 2);
            text.push('{');
            text.push_str(inner);
            text.push(',');
            text.push_str(rest);
            SecretText::new(text)
        }
    }
}

impl Releasable for Finished {
    fn wire(&self) -> Wire<'_> {
        // EXPOSE: this is where the answer leaves, after audit.
        match (&self.body, self.media) {
            (None, _) => Wire::Empty,
            (Some(body), None) => Wire::Json(body.expose().as_bytes()),
            (Some(body), Some(media)) => Wire::Other(media, body.expose().as_bytes()),
        }
    }

    fn status(&self) -> Option<u16> {
        self.status
    }

    fn audit(&self) -> AuditView<'_> {
        AuditView {
            data: self.data.as_ref(),
            auth: self.auth.as_ref(),
            wrap_info: self.wrap_info.as_ref(),
            other: None,
        }
    }
}
