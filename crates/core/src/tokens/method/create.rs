//! `auth/token/create`, `create/:role` and `create-orphan`: what a token may give to another one.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_api::token::create::{Create, CreateInput, CreateOrphan, CreateWithRole};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};
use coffre_policy::Caller;
use coffre_secret::SecretText;

use super::super::role::{self, Role, TokenType, check_name};
use super::super::{Bounds, Lifetime, LiveToken, NewToken, lifetime, whole_secs};
use super::policies::{Asked, decide};
use super::{PERIOD_FACT, ROLE_FACT, TokenMethod, own, smaller};
use crate::active::Active;
use crate::finish::{auth_block, missing_policies};
use crate::identity::{Bound, LoginName};

impl Serve<Create> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: CreateInput) -> Result<Reply<Nothing>, Refusal> {
        self.create(cx, input, None, false).await
    }
}

impl Serve<CreateWithRole> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: CreateInput) -> Result<Reply<Nothing>, Refusal> {
        check_name(&input.role_name)?;
        let role = role::role(cx.view()?, &input.role_name).await?;
        let role = role.ok_or_else(|| Refusal::invalid(format!("unknown role {}", input.role_name)))?;
        self.create(cx, input, Some(role), false).await
    }
}

impl Serve<CreateOrphan> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: CreateInput) -> Result<Reply<Nothing>, Refusal> {
        self.create(cx, input, None, true).await
    }
}

impl TokenMethod {
    async fn create(
        &self,
        cx: Cx<'_>,
        input: CreateInput,
        role: Option<Role>,
        orphan: bool,
    ) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let parent = own(&active, cx).await?;
        let maker = Maker { parent: &parent, role: role.as_ref(), input: &input, sudo: may_sudo(cx), orphan };
        let mut warnings = Vec::new();
        let (mut new, ttl) = maker.token(&active, cx, &mut warnings)?;
        let bound = maker.bind(&active, cx, &new).await?;
        // Kept until the token is made.
        let mut _held = None;
        if let Some(bound) = bound {
            (new.entity, new.joining, _held) = bound.into_parts();
        }
        let created = active.tokens.create(new).await?;
        let block = auth_block(&active.tokens, created.token, &created.live, ttl).await?;
        Ok(Reply::auth(block).warn_all(warnings))
    }
}

/// Who makes the token, with what right, and what was asked for.
struct Maker<'a> {
    parent: &'a LiveToken,
    role: Option<&'a Role>,
    input: &'a CreateInput,
    sudo: bool,
    orphan: bool,
}

impl Maker<'_> {
    /// Everything decided, and the lifetime to show.
    fn token(
        &self,
        active: &Active,
        cx: Cx<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<(NewToken, Duration), Refusal> {
        self.check_maker()?;
        let batch = self.is_batch()?;
        let alias = self.alias()?;
        let asked = self.input.policies.as_ref().map(|list| list.items()).unwrap_or_default();
        let policies = decide(&Asked {
            policies: asked,
            no_default: self.input.no_default_policy.0,
            own: &self.parent.record.policies,
            sudo: self.sudo,
            role: self.role,
        })?;
        let is_root = policies == ["root"];
        if batch && is_root {
            return Err(Refusal::invalid("batch tokens cannot be root tokens: name other policies"));
        }
        let bounds = self.bounds(cx, warnings);
        let life = self.life(bounds, cx, is_root && !batch)?;
        let ttl = life.as_ref().map(|life| life.ttl).unwrap_or_default();
        warnings.extend(life.into_iter().flat_map(|life| life.warnings));
        warnings.extend(missing_policies(active, &policies));
        let orphan = self.is_orphan()?;
        let new = NewToken {
            id: self.chosen_id(warnings)?,
            parent: (!orphan).then_some(self.parent.key),
            // An orphan is nobody's.
            entity: if orphan { String::new() } else { self.parent.record.entity.clone() },
            policies,
            path: self.path(cx),
            mount: cx.mount().accessor.clone(),
            alias,
            facts: self.facts(),
            role: self.role.map(|role| role.name.clone()).unwrap_or_default(),
            display_name: display_name(self.input.display_name.as_deref()),
            meta: self.input.meta.as_ref().map_or_else(BTreeMap::new, |meta| meta.0.clone()),
            ttl,
            explicit_max_ttl: bounds.explicit_max,
            period: bounds.period,
            num_uses: self.uses()?,
            renewable: self.input.renewable.is_none_or(|renewable| renewable.0)
                && self.role.is_none_or(|role| role.renewable),
            bound_cidrs: self.networks(orphan),
            batch,
            ..NewToken::default()
        };
        Ok((new, ttl))
    }

    fn check_maker(&self) -> Result<(), Refusal> {
        if self.parent.record.batch {
            return Err(Refusal::invalid("batch tokens cannot create more tokens"));
        }
        if self.parent.record.num_uses != 0 {
            return Err(Refusal::invalid("restricted use token cannot generate child tokens"));
        }
        if !self.input.period.is_zero() && !self.sudo {
            return Err(Refusal::invalid("root or sudo privileges required to create periodic token"));
        }
        Ok(())
    }

    /// Whether a batch token is asked for, and everything else allows that.
    fn is_batch(&self) -> Result<bool, Refusal> {
        let asked = match self.input.r#type.as_deref() {
            None | Some("" | "default") => None,
            Some("service" | "default-service") => Some(false),
            Some("batch" | "default-batch") => Some(true),
            Some(_) => return Err(Refusal::invalid("invalid 'type' value: it must be service or batch")),
        };
        let batch = match self.role.map(|role| role.token_type) {
            None | Some(TokenType::DefaultService) => asked.unwrap_or(false),
            Some(TokenType::DefaultBatch) => asked.unwrap_or(true),
            Some(TokenType::Service) => false,
            Some(TokenType::Batch) => true,
        };
        let input = self.input;
        let role = self.role;
        let is_chosen = input.id.as_ref().is_some_and(|id| !id.is_empty());
        let is_periodic = !input.period.is_zero() || role.is_some_and(|role| role.token_period > 0);
        let is_counted = input.num_uses.0 != 0 || role.is_some_and(|role| role.token_num_uses > 0);
        let is_bounded =
            !input.explicit_max_ttl.is_zero() || role.is_some_and(|role| role.token_explicit_max_ttl > 0);
        if batch && (is_chosen || is_periodic || is_counted || is_bounded) {
            return Err(Refusal::invalid(
                "batch tokens cannot have id, period, num_uses or explicit_max_ttl: leave them out, or ask for type service",
            ));
        }
        Ok(batch)
    }

    /// The name of the entity for which the token is made.
    fn alias(&self) -> Result<String, Refusal> {
        let Some(alias) = self.input.entity_alias.as_deref().filter(|alias| !alias.is_empty()) else {
            return Ok(String::new());
        };
        let role = self.role.ok_or_else(|| {
            Refusal::invalid("'entity_alias' is only allowed in combination with token role")
        })?;
        if !role.allows_alias(alias) {
            return Err(Refusal::invalid("invalid 'entity_alias' value: the role does not allow it"));
        }
        Ok(alias.to_lowercase())
    }

    /// The entity of the named alias, which belongs to the token method's own mount.
    async fn bind(&self, active: &Active, cx: Cx<'_>, new: &NewToken) -> Result<Option<Bound>, Refusal> {
        if new.alias.is_empty() {
            return Ok(None);
        }
        let login = LoginName { mount: &cx.mount().accessor, name: &new.alias, ..LoginName::default() };
        active.identity.bind(&login).await.map(Some)
    }

    /// What bounds the life: of role and request the smaller, and the mount.
    fn bounds(&self, cx: Cx<'_>, warnings: &mut Vec<String>) -> Bounds {
        let mut both = |what: &str, asked: Duration, by_role: u64| {
            if asked.is_zero() || by_role == 0 {
                return asked.max(Duration::from_secs(by_role));
            }
            let lesser = asked.min(Duration::from_secs(by_role));
            warnings.push(format!(
                "{what} specified both during creation call and in role; using the lesser value of {} seconds",
                whole_secs(lesser)
            ));
            lesser
        };
        let of_role = |field: fn(&Role) -> u64| self.role.map_or(0, field);
        let explicit = self.input.explicit_max_ttl.duration();
        let explicit_max = both("explicit max TTL", explicit, of_role(|role| role.token_explicit_max_ttl));
        let period = both("period", self.input.period.duration(), of_role(|role| role.token_period));
        Bounds {
            default_ttl: cx.mount().default_ttl,
            mount_max: cx.mount().max_ttl,
            explicit_max,
            period,
            ..Bounds::default()
        }
    }

    /// How long it lives; `None` for ever, which is for root tokens alone.
    fn life(&self, bounds: Bounds, cx: Cx<'_>, may_be_endless: bool) -> Result<Option<Lifetime>, Refusal> {
        let input = self.input;
        let wanted = input.ttl.filter(|ttl| !ttl.is_zero()).or(input.lease).unwrap_or_default().duration();
        let is_bounded = !(wanted.is_zero() && bounds.period.is_zero() && bounds.explicit_max.is_zero());
        if may_be_endless && !is_bounded {
            if self.parent.record.expires != 0 {
                return Err(Refusal::invalid(
                    "expiring root tokens cannot create non-expiring root tokens: give the new one a ttl",
                ));
            }
            return Ok(None);
        }
        let now = cx.now();
        let life = lifetime(bounds, wanted, now, now);
        life.map(Some).map_err(|_| Refusal::invalid("the lifetimes leave no time"))
    }

    fn is_orphan(&self) -> Result<bool, Refusal> {
        if self.input.no_parent.0 && !self.sudo {
            return Err(Refusal::invalid("root or sudo privileges required to create orphan token"));
        }
        Ok(self.orphan || self.input.no_parent.0 || self.role.is_some_and(|role| role.orphan))
    }

    fn path(&self, cx: Cx<'_>) -> String {
        match self.role.map(|role| role.path_suffix.as_str()).filter(|suffix| !suffix.is_empty()) {
            Some(suffix) => format!("{}/{suffix}", cx.path()),
            None => cx.path().as_str().to_owned(),
        }
    }

    /// What [`TokenMethod`] wants to see again at a renewal.
    fn facts(&self) -> BTreeMap<String, String> {
        let Some(role) = self.role else { return BTreeMap::new() };
        let mut facts = BTreeMap::from([(ROLE_FACT.to_owned(), role.name.clone())]);
        if !self.input.period.is_zero() {
            facts.insert(PERIOD_FACT.to_owned(), whole_secs(self.input.period.duration()).to_string());
        }
        facts
    }

    fn uses(&self) -> Result<u64, Refusal> {
        let asked = u64::try_from(self.input.num_uses.0)
            .map_err(|_| Refusal::invalid("number of uses cannot be negative"))?;
        Ok(smaller(asked, self.role.map_or(0, |role| role.token_num_uses)))
    }

    fn chosen_id(&self, warnings: &mut Vec<String>) -> Result<Option<SecretText>, Refusal> {
        let Some(id) = self.input.id.as_ref().filter(|id| !id.is_empty()) else { return Ok(None) };
        if !self.sudo {
            return Err(Refusal::invalid("root or sudo privileges required to specify token id"));
        }
        // EXPOSE: checked for its form.
        let text = id.expose();
        let is_odd = text.contains('.') || !text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_odd || !(MIN_CHOSEN_ID..=MAX_CHOSEN_ID).contains(&text.len()) {
            return Err(Refusal::invalid(format!(
                "a chosen token id has {MIN_CHOSEN_ID} to {MAX_CHOSEN_ID} printable characters without a dot"
            )));
        }
        warnings.push(
            "Supplying a custom ID makes the token as strong as whoever chose it: let the server draw one"
                .into(),
        );
        Ok(Some(text.into()))
    }

    /// The role's networks, or those of the parent; an orphan has neither parent nor its networks.
    fn networks(&self, orphan: bool) -> Vec<String> {
        match self.role.map(|role| &role.token_bound_cidrs).filter(|networks| !networks.is_empty()) {
            Some(networks) => networks.clone(),
            None if orphan => Vec::new(),
            None => self.parent.record.bound_cidrs.clone(),
        }
    }
}

/// Shorter ids can be guessed; `myroot`-like ones stay possible for development servers.
const MIN_CHOSEN_ID: usize = 4;
const MAX_CHOSEN_ID: usize = 256;

fn may_sudo(cx: Cx<'_>) -> bool {
    let Some(token) = cx.caller().and_then(Caller::as_token) else { return false };
    token.acl.is_root() || token.acl.capabilities(cx.path().as_str()).contains(&"sudo")
}

fn display_name(given: Option<&str>) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    match given.filter(|name| !name.is_empty()) {
        Some(name) => {
            format!("token-{}", name.chars().take(128).map(clean).collect::<String>().trim_matches('-'))
        }
        None => "token".into(),
    }
}
