//! How a role's fields are read from a request and what must be true of them together.

use coffre_api::Refusal;
use coffre_api::approle::WriteRoleInput;

use super::model::Role;
use super::names::check_id;
use crate::network::parse_all;
use crate::token_settings::count;

/// Puts the given fields into a role. Where a field is given under two names, the present one wins.
pub(super) fn apply(role: &mut Role, mut input: WriteRoleInput, is_new: bool) -> Result<(), Refusal> {
    apply_login(role, &input, is_new)?;
    role.token.apply(input.take_token_settings())
}

/// The fields that concern the login; [`TokenSettings`](crate::token_settings::TokenSettings) has those of the
/// token.
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

/// What must be true of a role as a whole before it is stored.
pub(super) fn check(role: &Role) -> Result<(), Refusal> {
    if !role.bind_secret_id && role.secret_id_bound_cidrs.is_empty() && role.token.bound_cidrs.is_empty() {
        return Err(Refusal::invalid(
            "at least one constraint should be enabled on the role: bind_secret_id, secret_id_bound_cidrs or token_bound_cidrs",
        ));
    }
    role.token.check()
}
