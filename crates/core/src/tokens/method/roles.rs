//! `auth/token/roles`: written, read, deleted, listed.

use coffre_api::coerce::{CommaList, Ttl};
use coffre_api::token::roles::{
    DeleteRole, ListRoles, ReadRole, RoleKeys, RoleName, RoleOutput, WriteRole, WriteRoleInput,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Exists, ReadCx, Reply, Serve, storage};
use coffre_policy::{Existence, PolicyName};

use super::super::role::{ROLES, Role, TokenType, check_name, role, role_exists, role_key};
use super::super::store::parse_networks;
use super::TokenMethod;
use crate::stored;

/// The longest pattern or suffix, in bytes.
const MAX_TEXT: usize = 256;

impl Serve<WriteRole> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: WriteRoleInput) -> Result<Reply<Nothing>, Refusal> {
        check_name(&input.role_name)?;
        let view = cx.view()?;
        let key = role_key(&input.role_name);
        let _exclusive = cx.lock(&key).await;
        let known = role(view, &input.role_name).await?;
        let mut role = known.unwrap_or_else(|| Role { name: input.role_name.clone(), ..Role::default() });
        apply(&mut role, input)?;
        check(&role)?;
        // EXPOSE: a role holds no secret; the barrier encrypts it all the same.
        view.put(&key, stored::bytes(&role)?.expose()).await.map_err(storage)?;
        Ok(Reply::empty())
    }
}

impl Exists<WriteRole> for TokenMethod {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteRoleInput) -> Result<Existence, Refusal> {
        if check_name(&input.role_name).is_err() {
            return Ok(Existence::Unknown);
        }
        let exists = role_exists(cx.view(), &input.role_name).await?;
        Ok(if exists { Existence::Exists } else { Existence::Missing })
    }
}

impl Serve<ReadRole> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: RoleName) -> Result<Reply<RoleOutput>, Refusal> {
        check_name(&input.role_name)?;
        let role = role(cx.view()?, &input.role_name).await?;
        Ok(role.map_or_else(Reply::missing, |role| Reply::data(shown(role))))
    }
}

impl Serve<DeleteRole> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, input: RoleName) -> Result<Reply<Nothing>, Refusal> {
        check_name(&input.role_name)?;
        let key = role_key(&input.role_name);
        let _exclusive = cx.lock(&key).await;
        cx.view()?.delete(&key).await.map_err(storage)?;
        Ok(Reply::empty())
    }
}

impl Serve<ListRoles> for TokenMethod {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<RoleKeys>, Refusal> {
        let keys = stored::all_below(cx.view()?, ROLES).await?;
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(RoleKeys { keys }) })
    }
}

/// Puts the given fields into a role. Where a field is given under two names, the present one wins.
fn apply(role: &mut Role, input: WriteRoleInput) -> Result<(), Refusal> {
    apply_policies(role, &input)?;
    if let Some(flag) = input.orphan {
        role.orphan = flag.0;
    }
    if let Some(flag) = input.renewable {
        role.renewable = flag.0;
    }
    if let Some(suffix) = input.path_suffix {
        role.path_suffix = suffix;
    }
    if let Some(list) = input.allowed_entity_aliases {
        let names = list.0.iter().map(|name| text(name).map(str::to_lowercase));
        role.allowed_entity_aliases = names.collect::<Result<_, _>>()?;
    }
    either(&mut role.token_period, &mut role.wrote_period, input.token_period, input.period);
    either(
        &mut role.token_explicit_max_ttl,
        &mut role.wrote_explicit_max_ttl,
        input.token_explicit_max_ttl,
        input.explicit_max_ttl,
    );
    if let Some(list) = input.token_bound_cidrs.as_ref().or(input.bound_cidrs.as_ref()) {
        role.token_bound_cidrs = parse_networks(list.items())?;
        role.wrote_bound_cidrs = input.bound_cidrs.is_some();
    }
    if let Some(number) = input.token_num_uses {
        role.token_num_uses = u64::try_from(number.0)
            .map_err(|_| Refusal::invalid("token_num_uses cannot be negative; 0 is unlimited"))?;
    }
    if let Some(flag) = input.token_no_default_policy {
        role.token_no_default_policy = flag.0;
    }
    if let Some(word) = input.token_type {
        role.token_type = TokenType::parse(&word).ok_or_else(|| {
            Refusal::invalid(
                "invalid 'token_type' value: it must be default-service, default-batch, service or batch",
            )
        })?;
    }
    Ok(())
}

fn apply_policies(role: &mut Role, input: &WriteRoleInput) -> Result<(), Refusal> {
    if let Some(list) = &input.allowed_policies {
        role.allowed_policies = assignable(policies(list)?)?;
    }
    if let Some(list) = &input.disallowed_policies {
        role.disallowed_policies = policies(list)?;
    }
    if let Some(list) = &input.allowed_policies_glob {
        role.allowed_policies_glob = patterns(list)?;
    }
    if let Some(list) = &input.disallowed_policies_glob {
        role.disallowed_policies_glob = patterns(list)?;
    }
    Ok(())
}

/// A duration that has an older name.
fn either(secs: &mut u64, wrote_old: &mut bool, new: Option<Ttl>, old: Option<Ttl>) {
    if let Some(ttl) = new.or(old) {
        *secs = super::super::whole_secs(ttl.duration());
        *wrote_old = old.is_some();
    }
}

/// What a role gives can be given: a role is no way to `root`.
fn assignable(names: Vec<String>) -> Result<Vec<String>, Refusal> {
    match names.iter().find(|name| !PolicyName::parse(name).is_ok_and(|name| name.is_assignable())) {
        Some(name) => Err(Refusal::invalid(format!("policy {name} cannot be given by a token role"))),
        None => Ok(names),
    }
}

/// Policies in their one spelling, sorted, each once.
fn policies(list: &CommaList) -> Result<Vec<String>, Refusal> {
    let names = list.items().iter().map(|name| PolicyName::parse(name));
    let mut names: Vec<String> = names
        .map(|name| name.map(|name| name.as_str().to_owned()).map_err(|e| Refusal::invalid(e.to_string())))
        .collect::<Result<_, _>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn patterns(list: &CommaList) -> Result<Vec<String>, Refusal> {
    let all = list.items().iter().map(|pattern| text(pattern).map(str::to_ascii_lowercase));
    let mut all: Vec<String> = all.collect::<Result<_, _>>()?;
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn text(text: &str) -> Result<&str, Refusal> {
    if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(Refusal::invalid(format!("a pattern has at most {MAX_TEXT} printable characters")));
    }
    Ok(text)
}

/// What must be true of a role as a whole before it is stored.
fn check(role: &Role) -> Result<(), Refusal> {
    let suffix = role.path_suffix.as_str();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let has_edges = suffix.is_empty() || (suffix.starts_with(is_word) && suffix.ends_with(is_word));
    let is_plain = suffix.chars().all(|c| is_word(c) || c == '-' || c == '.');
    if !has_edges || !is_plain || suffix.len() > MAX_TEXT {
        return Err(Refusal::invalid(
            "path_suffix is made of letters, digits, _ - and ., and begins and ends with a letter, digit or _",
        ));
    }
    let is_counted = role.token_period > 0 || role.token_num_uses > 0 || role.token_explicit_max_ttl > 0;
    if role.token_type == TokenType::Batch && is_counted {
        return Err(Refusal::invalid(
            "batch tokens have no token_period, token_num_uses or token_explicit_max_ttl: leave them out, or choose token_type service",
        ));
    }
    Ok(())
}

/// A role as it is read.
fn shown(role: Role) -> RoleOutput {
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    RoleOutput {
        name: role.name,
        allowed_policies: role.allowed_policies,
        allowed_policies_glob: role.allowed_policies_glob,
        disallowed_policies: role.disallowed_policies,
        disallowed_policies_glob: role.disallowed_policies_glob,
        orphan: role.orphan,
        renewable: role.renewable,
        path_suffix: role.path_suffix,
        allowed_entity_aliases: some(role.allowed_entity_aliases),
        period: if role.wrote_period { role.token_period } else { 0 },
        explicit_max_ttl: if role.wrote_explicit_max_ttl { role.token_explicit_max_ttl } else { 0 },
        token_period: role.token_period,
        token_explicit_max_ttl: role.token_explicit_max_ttl,
        bound_cidrs: role.wrote_bound_cidrs.then(|| role.token_bound_cidrs.clone()),
        token_bound_cidrs: some(role.token_bound_cidrs),
        token_num_uses: role.token_num_uses,
        token_no_default_policy: role.token_no_default_policy,
        token_type: role.token_type.word().to_owned(),
    }
}
