//! Which policies a token may give to another one.
//!
//! Without a role that decides: the maker's own, or a part of them; all are open to a maker with sudo on the path. With a
//! role that names allowed or disallowed policies: what the role lets through, whatever the maker has (Vault
//! documentation, "Token auth method: create/update token role"). `root` comes from root alone in every case, and
//! `response-wrapping` from nobody.

use coffre_api::Refusal;
use coffre_policy::PolicyName;

use super::super::role::Role;

/// What decides.
pub(super) struct Asked<'a> {
    /// What was asked for; empty if nothing was.
    pub(super) policies: &'a [String],
    /// Leave `default` out.
    pub(super) no_default: bool,
    /// The maker's policies.
    pub(super) own: &'a [String],
    /// Whether the maker may do more than its policies say.
    pub(super) sudo: bool,
    /// The role, if one was named.
    pub(super) role: Option<&'a Role>,
}

/// The policies of the token to be made, sorted, each once.
pub(super) fn decide(asked: &Asked<'_>) -> Result<Vec<String>, Refusal> {
    let is_root = asked.own.iter().any(|policy| policy == "root");
    let named: Vec<String> =
        asked.policies.iter().map(|name| assignable(name, is_root)).collect::<Result<_, _>>()?;
    let mut policies = match asked.role {
        Some(role) if role.decides_policies() => by_role(asked, role, named)?,
        role => by_parent(asked, role, named, is_root)?,
    };
    policies.sort_unstable();
    policies.dedup();
    if policies.iter().any(|name| name == "root") {
        if !is_root {
            return Err(Refusal::invalid("root tokens may not be created without parent token being root"));
        }
        return Ok(vec!["root".into()]);
    }
    if policies.iter().any(|name| name == "response-wrapping") {
        return Err(Refusal::invalid("policy response-wrapping cannot be given to a token"));
    }
    Ok(policies)
}

fn by_parent(
    asked: &Asked<'_>,
    role: Option<&Role>,
    named: Vec<String>,
    is_root: bool,
) -> Result<Vec<String>, Refusal> {
    let no_default = asked.no_default || role.is_some_and(|role| role.token_no_default_policy);
    let is_given = !named.is_empty();
    let mut policies = if is_given { named } else { asked.own.to_vec() };
    if no_default {
        policies.retain(|name| name != "default");
    } else if is_given && !policies.iter().any(|name| name == "root") {
        policies.push("default".into());
    }
    // `default` is every token's; anything else must be the maker's own, unless the maker may do all.
    let is_own = |name: &String| name == "default" || asked.own.contains(name);
    if !asked.sudo && !is_root && !policies.iter().all(is_own) {
        return Err(Refusal::invalid("child policies must be subset of parent"));
    }
    Ok(policies)
}

fn by_role(asked: &Asked<'_>, role: &Role, named: Vec<String>) -> Result<Vec<String>, Refusal> {
    let adds_default = !(asked.no_default || role.token_no_default_policy || role.disallows("default"));
    let is_given = !named.is_empty();
    let mut policies = match (is_given, role.allows_by_name()) {
        (true, _) => named,
        (false, true) => role.allowed_policies.clone(),
        (false, false) => asked.own.to_vec(),
    };
    if asked.no_default || role.token_no_default_policy {
        policies.retain(|name| name != "default");
    }
    let is_allowed = |name: &String| (name == "default" && adds_default) || role.allows(name);
    if is_given && role.allows_by_name() && !policies.iter().all(is_allowed) {
        return Err(Refusal::invalid("token policies must be subset of the role's allowed policies"));
    }
    if adds_default && !policies.iter().any(|name| name == "root") {
        policies.push("default".into());
    }
    if policies.iter().any(|name| role.disallows(name)) {
        return Err(Refusal::invalid("a token policy is disallowed by this role"));
    }
    Ok(policies)
}

fn assignable(name: &str, is_root: bool) -> Result<String, Refusal> {
    let name = PolicyName::parse(name.trim()).map_err(|e| Refusal::invalid(e.to_string()))?;
    if name.is_assignable() || (name.is_root() && is_root) {
        return Ok(name.as_str().to_owned());
    }
    Err(Refusal::invalid(format!("policy {name} cannot be given to a token by this caller")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Asked for, held by the maker, by sudo, by a role.
    fn decided(asked: &[&str], own: &[&str], sudo: bool, role: Option<&Role>) -> Option<String> {
        let (policies, own) = (texts(asked), texts(own));
        let asked = Asked { policies: &policies, no_default: false, own: &own, sudo, role };
        decide(&asked).ok().map(|policies| policies.join(","))
    }

    #[test]
    fn without_a_role_a_part_of_ones_own() {
        for (asked, own, sudo, policies) in [
            (&[][..], &["a", "b"][..], false, Some("a,b")),
            (&["B", "a", "a"], &["a", "b"], false, Some("a,b,default")),
            (&["c"], &["a", "default"], false, None),
            (&["c"], &["a"], true, Some("c,default")),
            (&["root"], &["a"], true, None),
            (&["response-wrapping"], &["root"], true, None),
            (&["root", "a"], &["root"], false, Some("root")),
            (&["a"], &["root"], false, Some("a,default")),
        ] {
            assert_eq!(decided(asked, own, sudo, None).as_deref(), policies, "{asked:?} {own:?}");
        }
    }

    #[test]
    fn a_role_decides_whatever_its_caller_has() {
        let lists = |allowed: &[&str], globs: &[&str], no: &[&str], no_globs: &[&str]| Role {
            allowed_policies: texts(allowed),
            allowed_policies_glob: texts(globs),
            disallowed_policies: texts(no),
            disallowed_policies_glob: texts(no_globs),
            ..Role::default()
        };
        for (role, asked, policies) in [
            (lists(&["x", "y"], &[], &[], &[]), &[][..], Some("default,x,y")),
            (lists(&["x", "y"], &[], &[], &[]), &["x"], Some("default,x")),
            (lists(&["x", "y"], &[], &[], &[]), &["x", "own"], None),
            (lists(&[], &["dev-*"], &[], &[]), &["dev-a"], Some("default,dev-a")),
            (lists(&[], &["dev-*"], &[], &[]), &["prod-a"], None),
            (lists(&[], &["*"], &[], &[]), &["root"], None),
            (lists(&["root"], &[], &[], &[]), &[], None),
            (lists(&["x"], &[], &["x"], &[]), &["x"], None),
            (lists(&[], &[], &["admin"], &[]), &["other"], Some("default,other")),
            (lists(&[], &[], &["admin"], &[]), &["Admin"], None),
            (lists(&[], &[], &[], &["adm*"]), &["admin"], None),
            (lists(&["x"], &[], &["default"], &[]), &["x"], Some("x")),
            (lists(&[], &[], &["admin"], &[]), &[], Some("default,own")),
            (lists(&[], &["*"], &[], &[]), &["response-wrapping"], None),
        ] {
            let found = decided(asked, &["own"], false, Some(&role));
            assert_eq!(found.as_deref(), policies, "{asked:?} with {role:?}");
        }
    }
}
