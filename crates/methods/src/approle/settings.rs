//! How a role's fields are read from a request and what must be true of them together.

use coffre_api::Refusal;
use coffre_api::approle::WriteRoleInput;
use coffre_api::coerce::{LooseInt, go_duration};
use coffre_engine::MountFacts;
use coffre_policy::PolicyName;

use super::model::{Role, TokenType};
use super::names::check_id;
use super::network::parse_all;

/// Puts the given fields into a role. Where a field is given under two names, the present one wins.
pub(super) fn apply(role: &mut Role, input: WriteRoleInput, is_new: bool) -> Result<(), Refusal> {
    apply_login(role, &input, is_new)?;
    if let Some(list) = &input.policies {
        role.token_policies = policies(list.items())?;
        role.wrote_policies = true;
    }
    if let Some(list) = &input.token_policies {
        role.token_policies = policies(list.items())?;
        role.wrote_policies = false;
    }
    if let Some(period) = input.period {
        role.token_period = period.as_secs();
        role.wrote_period = true;
    }
    if let Some(period) = input.token_period {
        role.token_period = period.as_secs();
        role.wrote_period = false;
    }
    if let Some(ttl) = input.token_ttl {
        role.token_ttl = ttl.as_secs();
    }
    if let Some(ttl) = input.token_max_ttl {
        role.token_max_ttl = ttl.as_secs();
    }
    if let Some(ttl) = input.token_explicit_max_ttl {
        role.token_explicit_max_ttl = ttl.as_secs();
    }
    if let Some(number) = input.token_num_uses {
        role.token_num_uses = count("token_num_uses", number)?;
    }
    if let Some(list) = &input.token_bound_cidrs {
        role.token_bound_cidrs = parse_all(list.items())?;
    }
    if let Some(flag) = input.token_no_default_policy {
        role.token_no_default_policy = flag.0;
    }
    if let Some(word) = &input.token_type {
        role.token_type = TokenType::parse(word).ok_or_else(|| {
            Refusal::invalid("token_type must be default, default-service, default-batch, service or batch")
        })?;
    }
    Ok(())
}

/// The fields that concern the login; [`apply`] does those of the token.
fn apply_login(role: &mut Role, input: &WriteRoleInput, is_new: bool) -> Result<(), Refusal> {
    if let Some(id) = &input.role_id {
        let id = id.trim();
        check_id("role_id", id)?;
        id.clone_into(&mut role.role_id);
    }
    if let Some(flag) = input.bind_secret_id {
        role.bind_secret_id = flag.0;
    }
    if let Some(list) = input.secret_id_bound_cidrs.as_ref().or(input.bound_cidr_list.as_ref()) {
        role.secret_id_bound_cidrs = parse_all(list.items())?;
    }
    if let Some(number) = input.secret_id_num_uses {
        role.secret_id_num_uses = count("secret_id_num_uses", number)?;
    }
    if let Some(ttl) = input.secret_id_ttl {
        role.secret_id_ttl = ttl.as_secs();
    }
    if let Some(flag) = input.local_secret_ids {
        if !is_new && role.local_secret_ids != flag.0 {
            return Err(Refusal::invalid("local_secret_ids can only be modified during role creation"));
        }
        role.local_secret_ids = flag.0;
    }
    Ok(())
}

/// Policies in their one spelling, sorted, each once. `root` and other fixed policies cannot be given by a role.
pub(super) fn policies(raw: &[String]) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    for text in raw {
        let name = PolicyName::parse(text).map_err(|e| Refusal::invalid(e.to_string()))?;
        if !name.is_assignable() {
            return Err(Refusal::invalid(
                "the policies root and response-wrapping cannot be given to a role: name a policy that you wrote",
            ));
        }
        names.push(name.as_str().to_owned());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// A count that is not negative; `what` is the field's name.
pub(super) fn count(what: &str, number: LooseInt) -> Result<u64, Refusal> {
    u64::try_from(number.0)
        .map_err(|_| Refusal::invalid(format!("{what} cannot be negative; 0 is unlimited")))
}

/// What must be true of a role as a whole before it is stored.
pub(super) fn check(role: &Role) -> Result<(), Refusal> {
    if !role.bind_secret_id && role.secret_id_bound_cidrs.is_empty() && role.token_bound_cidrs.is_empty() {
        return Err(Refusal::invalid(
            "at least one constraint should be enabled on the role: bind_secret_id, secret_id_bound_cidrs or token_bound_cidrs",
        ));
    }
    if role.token_max_ttl > 0 && role.token_ttl > role.token_max_ttl {
        return Err(Refusal::invalid("token_ttl should not be greater than token_max_ttl"));
    }
    if role.token_type.is_batch() && (role.token_period > 0 || role.token_num_uses > 0) {
        return Err(Refusal::invalid(
            "batch tokens have neither token_period nor token_num_uses: leave them out, or choose token_type service",
        ));
    }
    Ok(())
}

/// What a person should know about a role that is allowed all the same.
pub(super) fn warnings(role: &Role, mount: &MountFacts) -> Vec<String> {
    let bound = mount.max_ttl;
    let too_long = [("token_ttl", role.token_ttl), ("token_max_ttl", role.token_max_ttl)]
        .into_iter()
        .filter(|(_, secs)| !bound.is_zero() && *secs > bound.as_secs());
    too_long
        .map(|(name, _)| {
            format!("{name} is longer than the mount allows; tokens will live {} at most", go_duration(bound))
        })
        .collect()
}
