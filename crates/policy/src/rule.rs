//! From the tree of a policy to its rules: which keys there are, and what each may hold.

use std::collections::HashSet;

use coffre_api::Capability;
use coffre_api::coerce::Ttl;
use coffre_hcl::{Entry, Node};

use crate::acl::CapabilitySet;
use crate::parameters::{ParameterRules, Values};
use crate::pattern::{Pattern, PatternError};
use crate::policy::PolicyError;
use crate::template::Template;

/// Rules in one policy.
const MAX_RULES: usize = 4096;
/// Parameters named by one rule, and values named for one parameter.
const MAX_PARAMETERS: usize = 1024;

/// One `path` block.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) path: RulePath,
    pub(crate) capabilities: CapabilitySet,
    pub(crate) parameters: ParameterRules,
}

#[derive(Clone, Debug)]
pub(crate) enum RulePath {
    Fixed(Pattern),
    Templated(Template),
}

/// Reads all rules of a policy.
pub(crate) fn read_rules(entries: Vec<Entry>) -> Result<Vec<Rule>, PolicyError> {
    let mut rules = Vec::new();
    let mut named = false;
    for Entry { key, value, .. } in entries {
        match key.as_str() {
            "path" => {
                let blocks = value.into_entries().ok_or(PolicyError::NotObject)?;
                if rules.len() + blocks.len() > MAX_RULES {
                    return Err(PolicyError::TooManyRules);
                }
                for block in blocks {
                    rules.push(read_rule(&block.key, block.value)?);
                }
            }
            "name" if !named && matches!(value, Node::Text(_)) => named = true,
            _ => return Err(PolicyError::UnknownTopLevel { key: quoted(&key) }),
        }
    }
    Ok(rules)
}

fn read_rule(path: &str, body: Node) -> Result<Rule, PolicyError> {
    let at = quoted(path);
    let wrong = |key: &'static str, expected| PolicyError::WrongType { path: at.clone(), key, expected };
    let entries = body.into_entries().ok_or_else(|| wrong("path", "a block"))?;
    let mut rule = Rule {
        path: read_path(path, &at)?,
        capabilities: CapabilitySet::EMPTY,
        parameters: ParameterRules::default(),
    };
    let mut seen = HashSet::new();
    for Entry { key, value, .. } in entries {
        if !seen.insert(key.clone()) {
            return Err(PolicyError::Duplicate { path: at, key: quoted(&key) });
        }
        match key.as_str() {
            "capabilities" => {
                for word in texts(value).ok_or_else(|| wrong("capabilities", "a list of texts"))? {
                    let capability = Capability::parse(&word).ok_or_else(|| {
                        PolicyError::UnknownCapability { path: at.clone(), word: quoted(&word) }
                    })?;
                    rule.capabilities.insert(capability);
                }
            }
            "policy" => {
                let Node::Text(word) = value else { return Err(wrong("policy", "a text")) };
                let legacy = legacy_capabilities(&word).ok_or_else(|| PolicyError::UnknownCapability {
                    path: at.clone(),
                    word: quoted(&word),
                })?;
                rule.capabilities = rule.capabilities.union(legacy);
            }
            "allowed_parameters" => {
                rule.parameters.allowed =
                    read_values(value).ok_or_else(|| wrong("allowed_parameters", "a map of lists"))?;
            }
            "denied_parameters" => {
                rule.parameters.denied =
                    read_values(value).ok_or_else(|| wrong("denied_parameters", "a map of lists"))?;
            }
            "required_parameters" => {
                let names = texts(value).ok_or_else(|| wrong("required_parameters", "a list of texts"))?;
                rule.parameters.required = names.iter().map(|name| name.to_lowercase()).collect();
            }
            "min_wrapping_ttl" => {
                rule.parameters.min_wrapping_ttl =
                    read_ttl(&value).ok_or_else(|| wrong("min_wrapping_ttl", "a duration"))?;
            }
            "max_wrapping_ttl" => {
                rule.parameters.max_wrapping_ttl =
                    read_ttl(&value).ok_or_else(|| wrong("max_wrapping_ttl", "a duration"))?;
            }
            "comment" if matches!(value, Node::Text(_)) => {}
            other => {
                let key = quoted(other);
                return Err(match not_enforced(other) {
                    Some(why) => PolicyError::Unsupported { path: at, key, why },
                    None => PolicyError::UnknownKey { path: at, key },
                });
            }
        }
    }
    finish(rule, at)
}

fn finish(mut rule: Rule, at: String) -> Result<Rule, PolicyError> {
    let ttl = (rule.parameters.min_wrapping_ttl, rule.parameters.max_wrapping_ttl);
    if let (Some(min), Some(max)) = ttl
        && max < min
    {
        return Err(PolicyError::WrapOrder { path: at });
    }
    if rule.capabilities.contains(Capability::Deny) {
        rule.capabilities = CapabilitySet::DENY;
        rule.parameters = ParameterRules::default();
    }
    Ok(rule)
}

fn read_path(path: &str, at: &str) -> Result<RulePath, PolicyError> {
    let refused = |source| PolicyError::Path { path: at.to_owned(), source };
    if !path.contains("{{") && !path.contains("}}") {
        return Pattern::parse(path).map(RulePath::Fixed).map_err(refused);
    }
    if path.len() > Pattern::MAX {
        return Err(refused(PatternError::TooLong));
    }
    if path.contains("+*") {
        return Err(refused(PatternError::PlusStar));
    }
    let template = Template::parse(path).ok_or_else(|| PolicyError::Braces { path: at.to_owned() })?;
    Ok(RulePath::Templated(template))
}

/// Keys that Vault or OpenBao enforce and this server does not: what ignoring each would mean.
fn not_enforced(key: &str) -> Option<&'static str> {
    Some(match key {
        "mfa_methods" => {
            "no second factor can be asked for here, and without it the rule would grant too much"
        }
        "control_group" => {
            "nobody else's consent can be asked for here, and without it the rule would grant too much"
        }
        "expiration" => {
            "rules do not end by themselves here: give the token a ttl, or delete the policy in time"
        }
        "pagination_limit" => {
            "the length of a list is the caller's choice here: take it out, or grant no list"
        }
        "list_scan_response_keys_filter_path" => {
            "lists are not filtered here: without the filter the rule would show too much"
        }
        "subscribe_event_types" => "there are no events to subscribe to here",
        _ => return None,
    })
}

/// Vault's forms before 0.5.
fn legacy_capabilities(word: &str) -> Option<CapabilitySet> {
    use Capability::{Create, Delete, Deny, List, Read, Sudo, Update};
    Some(match word {
        "deny" => CapabilitySet::of(&[Deny]),
        "read" => CapabilitySet::of(&[Read, List]),
        "write" => CapabilitySet::of(&[Create, Read, Update, Delete, List]),
        "sudo" => CapabilitySet::of(&[Create, Read, Update, Delete, List, Sudo]),
        _ => return None,
    })
}

fn texts(value: Node) -> Option<Vec<String>> {
    let items = value.into_items();
    if items.len() > MAX_PARAMETERS {
        return None;
    }
    let text = |item| if let Node::Text(text) = item { Some(text) } else { None };
    items.into_iter().map(text).collect()
}

fn read_values(value: Node) -> Option<Values> {
    let entries = value.into_entries()?;
    if entries.len() > MAX_PARAMETERS {
        return None;
    }
    let mut values = Values::new();
    for Entry { key, value, .. } in entries {
        let items = value.into_items();
        // The same key twice, or in two spellings, is as ambiguous as an attribute given twice.
        if items.len() > MAX_PARAMETERS || values.insert(key.to_lowercase(), items).is_some() {
            return None;
        }
    }
    Some(values)
}

/// Zero is "not set", as in Vault.
#[expect(clippy::option_option, reason = "outer: well-formed; inner: set")]
fn read_ttl(value: &Node) -> Option<Option<std::time::Duration>> {
    let (Node::Text(text) | Node::Number(text)) = value else { return None };
    let ttl = Ttl::parse(text).ok()?;
    Some((!ttl.is_zero()).then(|| ttl.duration()))
}

/// A piece of a policy for an error message: short, and without characters that could forge a log line.
fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(80).collect();
    format!("{shown:?}")
}
