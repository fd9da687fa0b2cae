//! Renewing the tokens of logins: on the role's present terms, and only while it is the role that let them in.

use std::collections::BTreeMap;

use coffre_api::Refusal;
use coffre_engine::{LoginFacts, MountCx, RenewTerms};

use super::model::Role;
use super::records;

const ROLE: &str = "role";
const GENERATION: &str = "generation";

/// What the kernel keeps with the token of a login.
pub(super) fn facts(role: &Role) -> BTreeMap<String, String> {
    [(ROLE.into(), role.name.clone()), (GENERATION.into(), role.generation.clone())].into()
}

/// The role's present terms. A role that was deleted ends the renewals of its tokens, also if one of the same name was
/// made since.
pub(super) async fn terms(cx: MountCx<'_>, login: &LoginFacts) -> Result<RenewTerms, Refusal> {
    // Tokens from before facts were kept name their role in what the login told.
    let name = login.facts.get(ROLE).or_else(|| login.metadata.get("role_name"));
    let role = match name {
        Some(name) => records::role(cx.view()?, name).await?,
        None => None,
    };
    let generation = login.facts.get(GENERATION);
    let role = role.filter(|role| generation.is_none_or(|generation| *generation == role.generation));
    let role = role.ok_or_else(|| {
        Refusal::invalid("the role of this token does not exist any more: log in again with another role")
    })?;
    Ok(role.token.terms())
}
