use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coffre_api::coerce::LooseBool;
use coffre_api::{Op, RawInput};
use coffre_hcl::Node;
use coffre_secret::SecretText;
use serde_json::value::RawValue;

use crate::decide::Why;

/// Parameter names in lower case, each with the values named for it; no values means any value.
pub(crate) type Values = BTreeMap<String, Vec<Node>>;

/// What a rule says about the arguments and the wrapping of a request, beyond its capabilities.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ParameterRules {
    pub(crate) allowed: Values,
    pub(crate) denied: Values,
    pub(crate) required: BTreeSet<String>,
    pub(crate) min_wrapping_ttl: Option<Duration>,
    pub(crate) max_wrapping_ttl: Option<Duration>,
}

impl ParameterRules {
    /// Whether the rule says nothing about arguments.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Joins the rules of one pattern from two policies. The order of joining makes no difference.
    pub(crate) fn merge(&mut self, other: &Self) {
        merge_values(&mut self.allowed, &other.allowed);
        merge_values(&mut self.denied, &other.denied);
        self.required.extend(other.required.iter().cloned());
        self.min_wrapping_ttl = smaller(self.min_wrapping_ttl, other.min_wrapping_ttl);
        self.max_wrapping_ttl = smaller(self.max_wrapping_ttl, other.max_wrapping_ttl);
    }

    /// `None` if the request passes.
    pub(crate) fn refuse(&self, op: Op, raw: &RawInput, wrap_ttl: Option<Duration>) -> Option<Why<'_>> {
        if !self.wrapping_fits(wrap_ttl) {
            return Some(Why::Wrapping);
        }
        if matches!(op, Op::List | Op::Delete) {
            return None;
        }
        if let Some(name) = self.required.iter().find(|name| !is_given(name, op, raw)) {
            return Some(Why::MissingParameter(name));
        }
        if self.denied.is_empty() && (self.allowed.is_empty() || self.allows_everything()) {
            return None;
        }
        sent(raw).find_map(|(name, value)| self.refuse_one(name, value))
    }

    fn wrapping_fits(&self, asked: Option<Duration>) -> bool {
        let long_enough = self.min_wrapping_ttl.is_none_or(|min| asked.is_some_and(|asked| asked >= min));
        let short_enough = self.max_wrapping_ttl.is_none_or(|max| asked.is_some_and(|asked| asked <= max));
        long_enough && short_enough
    }

    fn allows_everything(&self) -> bool {
        self.allowed.len() == 1 && self.allowed.contains_key(ANY)
    }

    fn refuse_one(&self, name: &str, value: Sent<'_>) -> Option<Why<'_>> {
        let name = name.to_lowercase();
        if self.denied.contains_key(ANY) {
            return Some(Why::DeniedParameter(ANY));
        }
        if let Some((name, values)) = self.denied.get_key_value(&name)
            && (values.is_empty() || values.iter().any(|denied| value.resembles(denied)))
        {
            return Some(Why::DeniedParameter(name));
        }
        if self.allowed.is_empty() || self.allows_everything() {
            return None;
        }
        match self.allowed.get(&name) {
            Some(values) if values.is_empty() || values.iter().any(|allowed| value.equals(allowed)) => None,
            Some(_) => Some(Why::NotAllowedParameter),
            None => (!self.allowed.contains_key(ANY)).then_some(Why::NotAllowedParameter),
        }
    }
}

const ANY: &str = "*";

fn merge_values(into: &mut Values, from: &Values) {
    for (name, values) in from {
        match into.get_mut(name) {
            None => {
                into.insert(name.clone(), values.clone());
            }
            Some(have) if have.is_empty() || values.is_empty() => have.clear(),
            Some(have) => have.extend(values.iter().cloned()),
        }
    }
}

fn smaller(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Only arguments that the engine will look at count: the body's for writes, the query's otherwise.
fn is_given(required: &str, op: Op, raw: &RawInput) -> bool {
    if op.has_body() {
        raw.pairs().any(|(name, _)| name.to_lowercase() == required)
    } else {
        raw.query().any(|(name, _)| name.to_lowercase() == required)
    }
}

/// Everything that was sent, wherever.
fn sent(raw: &RawInput) -> impl Iterator<Item = (&str, Sent<'_>)> {
    let body = raw.pairs().map(|(name, value)| (name, Sent::Json(value)));
    body.chain(raw.query().map(|(name, value)| (name, Sent::Text(value))))
}

/// A value that a request brought.
#[derive(Clone, Copy)]
enum Sent<'r> {
    Json(&'r RawValue),
    Text(&'r str),
}

impl Sent<'_> {
    /// The comparison for allowed values: same type, same value; texts may be globbed by the policy.
    fn equals(self, allowed: &Node) -> bool {
        let raw = match self {
            Self::Json(raw) => raw.get().trim(),
            Self::Text(text) => {
                return matches!(allowed, Node::Text(pattern) if glob(pattern, text));
            }
        };
        match allowed {
            Node::Null => raw == "null",
            Node::Bool(value) => raw == if *value { "true" } else { "false" },
            Node::Number(number) => raw == number || same_integer(raw, number),
            Node::Text(pattern) => unquote(raw).is_some_and(|text| {
                // EXPOSE: compared with the policy's text and wiped.
                glob(pattern, text.expose())
            }),
            Node::List(_) | Node::Object(_) => {
                serde_json::from_str(raw).is_ok_and(|value| same_tree(&value, allowed))
            }
        }
    }

    /// The comparison for denied values: whatever an engine might take for the denied value. Without regard to case,
    /// to spaces at the ends, to the spelling of numbers and truth values; inside lists and texts with commas.
    fn resembles(self, denied: &Node) -> bool {
        match self {
            Self::Text(text) => text_resembles(text, denied),
            Self::Json(raw) => json_resembles(raw, denied),
        }
    }
}

fn json_resembles(raw: &RawValue, denied: &Node) -> bool {
    let text = raw.get().trim();
    if text.starts_with('[') {
        let inside = raw_items(raw).is_none_or(|items| items.iter().any(|item| json_resembles(item, denied)));
        return inside || Sent::Json(raw).equals(denied);
    }
    if text.starts_with('"') {
        return unquote(text).is_none_or(|text| {
            // EXPOSE: compared with the policy's text and wiped.
            text_resembles(text.expose(), denied)
        });
    }
    if text.starts_with('{') { Sent::Json(raw).equals(denied) } else { text_resembles(text, denied) }
}

/// The items of a JSON array, as text; `None` if it is no array.
fn raw_items(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

fn text_resembles(text: &str, denied: &Node) -> bool {
    one_resembles(text, denied)
        || (text.contains(',') && text.split(',').any(|part| one_resembles(part, denied)))
}

fn one_resembles(text: &str, denied: &Node) -> bool {
    let text = text.trim();
    match denied {
        Node::Null => text == "null",
        Node::Bool(value) => {
            LooseBool::parse(text) == Some(*value)
                || text.eq_ignore_ascii_case(if *value { "true" } else { "false" })
        }
        Node::Number(number) => {
            text == number || matches!((text.parse::<f64>(), number.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
        }
        Node::Text(pattern) => pattern == ANY || glob(&pattern.to_lowercase(), &text.to_lowercase()),
        Node::List(items) => items.iter().any(|item| one_resembles(text, item)),
        Node::Object(_) => false,
    }
}

/// A text with a `*` at one end or both. A lone `*` is plain.
fn glob(pattern: &str, text: &str) -> bool {
    if pattern.len() < 2 {
        return pattern == text;
    }
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(tail), Some(_)) => text.contains(tail.strip_suffix('*').unwrap_or(tail)),
        (Some(tail), None) => text.ends_with(tail),
        (None, Some(head)) => text.starts_with(head),
        (None, None) => pattern == text,
    }
}

fn unquote(raw: &str) -> Option<SecretText> {
    serde_json::from_str::<String>(raw).ok().map(SecretText::new)
}

fn same_integer(a: &str, b: &str) -> bool {
    matches!((a.parse::<i128>(), b.parse::<i128>()), (Ok(a), Ok(b)) if a == b)
}

fn same_tree(sent: &serde_json::Value, node: &Node) -> bool {
    use serde_json::Value;
    match (sent, node) {
        (Value::Null, Node::Null) => true,
        (Value::Bool(a), Node::Bool(b)) => a == b,
        (Value::Number(a), Node::Number(b)) => a.to_string() == *b || same_integer(&a.to_string(), b),
        (Value::String(a), Node::Text(b)) => a == b,
        (Value::Array(a), Node::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_tree(a, b))
        }
        (Value::Object(a), Node::Object(b)) => {
            a.len() == b.len()
                && b.iter().all(|entry| a.get(&entry.key).is_some_and(|value| same_tree(value, &entry.value)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_at_the_ends_only() {
        for (pattern, text, fits) in [
            ("a*", "ab", true),
            ("a*", "a", true),
            ("*b", "ab", true),
            ("*b*", "abc", true),
            ("a*c", "abc", false),
            ("*", "x", false),
            ("*", "*", true),
            ("**", "x", true),
            ("", "", true),
            ("a", "A", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
