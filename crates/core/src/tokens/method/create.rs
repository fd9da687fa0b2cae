//! `auth/token/create` and `create-orphan`: what a token may give to its child.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_api::token::create::{Create, CreateInput, CreateOrphan};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};
use coffre_policy::{Caller, PolicyName};
use coffre_secret::SecretText;

use super::super::{Bounds, LiveToken, NewToken, SERVICE_PREFIX, lifetime};
use super::{TokenMethod, own};
use crate::finish::{auth_block, missing_policies};

impl Serve<Create> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: CreateInput) -> Result<Reply<Nothing>, Refusal> {
        self.create(cx, input, false).await
    }
}

impl Serve<CreateOrphan> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: CreateInput) -> Result<Reply<Nothing>, Refusal> {
        self.create(cx, input, true).await
    }
}

impl TokenMethod {
    async fn create(&self, cx: Cx<'_>, input: CreateInput, orphan: bool) -> Result<Reply<Nothing>, Refusal> {
        let active = self.active()?;
        let parent = active.tokens.find_own(own(&active, cx)?).await?.ok_or_else(Refusal::denied)?;
        let maker = Maker { parent: &parent, sudo: may_sudo(cx), orphan };
        refuse_what_is_not_offered(&input)?;
        let policies = maker.policies(&input)?;
        let bounds = Bounds {
            default_ttl: cx.mount().default_ttl,
            mount_max: cx.mount().max_ttl,
            explicit_max: input.explicit_max_ttl.duration(),
            period: input.period.duration(),
            ..Bounds::default()
        };
        let wanted = input.ttl.filter(|ttl| !ttl.is_zero()).or(input.lease).unwrap_or_default().duration();
        let is_root = policies == ["root"];
        let now = cx.now();
        let life = if is_root && wanted.is_zero() && bounds.period.is_zero() && bounds.explicit_max.is_zero()
        {
            None
        } else {
            Some(
                lifetime(bounds, wanted, now, now)
                    .map_err(|_| Refusal::invalid("the lifetimes leave no time"))?,
            )
        };
        if life.is_none() && parent.record.expires != 0 {
            return Err(Refusal::invalid(
                "expiring root tokens cannot create non-expiring root tokens: give the new one a ttl",
            ));
        }
        let ttl = life.as_ref().map(|life| life.ttl).unwrap_or_default();
        let mut warnings: Vec<String> = life.into_iter().filter_map(|life| life.warning).collect();
        warnings.extend(missing_policies(&active, &policies));
        let networks = maker.networks(&input);
        let orphan = maker.is_orphan(&input)?;
        let new = NewToken {
            id: maker.chosen_id(&input, &mut warnings)?,
            parent: (!orphan).then_some(parent.key),
            // An orphan is nobody's.
            entity: if orphan { String::new() } else { parent.record.entity.clone() },
            policies,
            path: cx.path().as_str().to_owned(),
            mount: cx.mount().accessor.clone(),
            display_name: display_name(input.display_name.as_deref()),
            meta: input.meta.map_or_else(BTreeMap::new, |meta| meta.0),
            ttl,
            explicit_max_ttl: bounds.explicit_max,
            period: bounds.period,
            num_uses: uses(input.num_uses.0)?,
            renewable: input.renewable.is_none_or(|renewable| renewable.0),
            bound_cidrs: networks,
            ..NewToken::default()
        };
        let created = active.tokens.create(new).await?;
        let block = auth_block(&active.tokens, created.token, &created.live, ttl).await?;
        Ok(Reply::auth(block).warn_all(warnings))
    }
}

/// Who makes the token, and with what right.
struct Maker<'a> {
    parent: &'a Arc<LiveToken>,
    sudo: bool,
    orphan: bool,
}

impl Maker<'_> {
    fn policies(&self, input: &CreateInput) -> Result<Vec<String>, Refusal> {
        if self.parent.record.num_uses != 0 {
            return Err(Refusal::invalid("restricted use token cannot generate child tokens"));
        }
        let own = &self.parent.record.policies;
        let asked: Vec<String> = match input.policies.as_ref().filter(|list| !list.items().is_empty()) {
            Some(list) => list.items().iter().map(|name| assignable(name, own)).collect::<Result<_, _>>()?,
            None => own.clone(),
        };
        let given = input.policies.as_ref().is_some_and(|list| !list.items().is_empty());
        let mut policies = asked;
        if input.no_default_policy.0 {
            policies.retain(|name| name != "default");
        } else if given && !policies.iter().any(|name| name == "root") {
            policies.push("default".into());
        }
        policies.sort_unstable();
        policies.dedup();
        if policies.iter().any(|name| name == "root") {
            policies = vec!["root".into()];
        }
        // `default` is every token's; anything else must be the parent's own, unless the maker may do all.
        let is_own = |name: &String| name == "default" || own.contains(name);
        if !self.sudo && !self.parent.record.is_root() && !policies.iter().all(is_own) {
            return Err(Refusal::invalid("child policies must be subset of parent"));
        }
        Ok(policies)
    }

    fn is_orphan(&self, input: &CreateInput) -> Result<bool, Refusal> {
        if input.no_parent.0 && !self.sudo {
            return Err(Refusal::invalid("root or sudo privileges required to create orphan token"));
        }
        Ok(self.orphan || input.no_parent.0)
    }

    fn chosen_id(
        &self,
        input: &CreateInput,
        warnings: &mut Vec<String>,
    ) -> Result<Option<SecretText>, Refusal> {
        if !input.period.is_zero() && !self.sudo {
            return Err(Refusal::invalid("root or sudo privileges required to create periodic token"));
        }
        let Some(id) = input.id.as_ref().filter(|id| !id.is_empty()) else { return Ok(None) };
        if !self.sudo {
            return Err(Refusal::invalid("root or sudo privileges required to specify token id"));
        }
        // EXPOSE: checked for its form.
        let text = id.expose();
        let odd = text.contains('.') || text.starts_with(SERVICE_PREFIX) || text.len() > 256;
        if odd || text.len() < MIN_CHOSEN_ID || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refusal::invalid(format!(
                "a chosen token id has {MIN_CHOSEN_ID} to 256 printable characters without a dot"
            )));
        }
        warnings.push("A chosen token id is as strong as whoever chose it: let the server draw one".into());
        Ok(Some(text.into()))
    }

    /// A child is bound to its parent's networks; an orphan is not.
    fn networks(&self, input: &CreateInput) -> Vec<String> {
        let orphan = self.orphan || input.no_parent.0;
        if orphan { Vec::new() } else { self.parent.record.bound_cidrs.clone() }
    }
}

/// Shorter ids can be guessed; `myroot`-like ones stay possible for development servers.
const MIN_CHOSEN_ID: usize = 4;

fn may_sudo(cx: Cx<'_>) -> bool {
    let Some(token) = cx.caller().and_then(Caller::as_token) else { return false };
    token.acl.is_root() || token.acl.capabilities(cx.path().as_str()).contains(&"sudo")
}

fn assignable(name: &str, own: &[String]) -> Result<String, Refusal> {
    let name = PolicyName::parse(name.trim()).map_err(|e| Refusal::invalid(e.to_string()))?;
    let own_root = name.is_root() && own.iter().any(|policy| policy == "root");
    if !name.is_assignable() && !own_root {
        return Err(Refusal::invalid(format!("policy {name} cannot be given to a token by this caller")));
    }
    Ok(name.as_str().to_owned())
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

fn uses(number: i64) -> Result<u64, Refusal> {
    u64::try_from(number).map_err(|_| Refusal::invalid("number of uses cannot be negative"))
}

fn refuse_what_is_not_offered(input: &CreateInput) -> Result<(), Refusal> {
    match input.r#type.as_deref() {
        None | Some("" | "service" | "default" | "default-service") => {}
        Some("batch") => return Err(Refusal::invalid("batch tokens are not offered: ask for type service")),
        Some(_) => return Err(Refusal::invalid("invalid 'token_type' value: it must be service")),
    }
    if input.entity_alias.as_deref().is_some_and(|alias| !alias.is_empty()) {
        return Err(Refusal::invalid("'entity_alias' is only allowed in combination with token role"));
    }
    Ok(())
}
