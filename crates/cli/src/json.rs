//! JSON as it came: numbers keep their digits, members their order.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Deeper nesting is refused: it serves only to exhaust the stack.
const DEEPEST: usize = 128;

/// A JSON value whose numbers are text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads JSON text (RFC 8259); `None` if it is none, or nested deeper than 128.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Checked as a whole first, so that the parts below cannot fail but for their depth.
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        from_raw(raw.get(), DEEPEST)
    }

    /// One line.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// Indented by two spaces.
    pub(crate) fn to_pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The members, sorted by name; none if this is no object.
    pub(crate) fn members(&self) -> BTreeMap<&str, &Self> {
        match self {
            Self::Map(members) => members.iter().map(|(name, value)| (name.as_str(), value)).collect(),
            _ => BTreeMap::new(),
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Members sorted by name, all the way down: how results are shown.
    pub(crate) fn sorted(mut self) -> Self {
        match &mut self {
            Self::Map(members) => {
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                for (_, value) in members {
                    let taken = std::mem::replace(value, Self::Null);
                    *value = taken.sorted();
                }
            }
            Self::List(items) => {
                for item in items {
                    let taken = std::mem::replace(item, Self::Null);
                    *item = taken.sorted();
                }
            }
            _ => {}
        }
        self
    }

    /// As people read it in a table: text bare, null as `<nil>`, lists and maps as Go prints them.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Null => "<nil>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(text) | Self::Text(text) => text.clone(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::shown).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Map(_) => {
                let members: Vec<_> = self
                    .members()
                    .into_iter()
                    .map(|(name, value)| format!("{name}:{}", value.shown()))
                    .collect();
                format!("map[{}]", members.join(" "))
            }
        }
    }

    fn write(&self, out: &mut String, indent: Option<usize>) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => push_quoted(out, text),
            Self::List(items) if items.is_empty() => out.push_str("[]"),
            Self::Map(members) if members.is_empty() => out.push_str("{}"),
            Self::List(items) => {
                let parts = items.iter().map(|item| (None, item));
                write_parts(out, indent, ('[', ']'), parts);
            }
            Self::Map(members) => {
                let parts = members.iter().map(|(name, value)| (Some(name.as_str()), value));
                write_parts(out, indent, ('{', '}'), parts);
            }
        }
    }
}

fn write_parts<'a>(
    out: &mut String,
    indent: Option<usize>,
    (open, close): (char, char),
    parts: impl Iterator<Item = (Option<&'a str>, &'a Node)>,
) {
    let inner = indent.map(|indent| indent + 2);
    let new_line = |out: &mut String, indent: Option<usize>| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
        }
    };
    out.push(open);
    for (at, (name, value)) in parts.enumerate() {
        if at > 0 {
            out.push(',');
        }
        new_line(out, inner);
        if let Some(name) = name {
            push_quoted(out, name);
            out.push_str(if indent.is_some() { ": " } else { ":" });
        }
        value.write(out, inner);
    }
    new_line(out, indent);
    out.push(close);
}

fn push_quoted(out: &mut String, text: &str) {
    // Serializing a string cannot fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn from_raw(text: &str, left: usize) -> Option<Node> {
    let left = left.checked_sub(1)?;
    match text.as_bytes().first()? {
        b'n' => Some(Node::Null),
        b't' => Some(Node::Bool(true)),
        b'f' => Some(Node::Bool(false)),
        b'"' => serde_json::from_str(text).ok().map(Node::Text),
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            items.into_iter().map(|item| from_raw(item.get(), left)).collect::<Option<_>>().map(Node::List)
        }
        b'{' => {
            let Members(members) = serde_json::from_str(text).ok()?;
            let read = |(name, value): (String, &RawValue)| Some((name, from_raw(value.get(), left)?));
            members.into_iter().map(read).collect::<Option<_>>().map(Node::Map)
        }
        _ => Some(Node::Number(text.to_owned())),
    }
}

/// The members of an object in their order; a name given again replaces the earlier one.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &'de RawValue)> = Vec::new();
                let mut places: BTreeMap<String, usize> = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    match places.get(&name).and_then(|place| members.get_mut(*place)) {
                        Some(known) => known.1 = value,
                        None => {
                            places.insert(name.clone(), members.len());
                            members.push((name, value));
                        }
                    }
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Collect)
    }
}

/// Values may be secret, so they are not shown.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[json]")
    }
}

/// For YAML. Numbers too large for the formats' own types become text rather than lose digits.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(value) => to.serialize_bool(*value),
            Self::Text(text) => to.serialize_str(text),
            Self::Number(text) => match (text.parse::<i64>(), text.parse::<u64>(), text.parse::<f64>()) {
                (Ok(number), ..) => to.serialize_i64(number),
                (_, Ok(number), _) => to.serialize_u64(number),
                (.., Ok(number)) if number.to_string() == *text || format!("{number:?}") == *text => {
                    to.serialize_f64(number)
                }
                _ => to.serialize_str(text),
            },
            Self::List(items) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(members) => {
                let mut map = to.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Node {
    fn from(number: u64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// An object from pairs.
pub(crate) fn map<'a>(members: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
    Node::Map(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_order_and_duplicates() {
        let text = r#"{"b":1.500,"a":12345678901234567890123,"b":-0.0e+1}"#;
        assert_eq!(Node::parse(text).unwrap().to_json(), r#"{"b":-0.0e+1,"a":12345678901234567890123}"#);
    }

    #[test]
    fn yaml_keeps_kinds_and_digits() {
        let node = Node::parse(r#"{"a":1.0,"b":-2.5,"c":12345678901234567890,"d":1.500,"e":"1"}"#).unwrap();
        let text = serde_norway::to_string(&node).unwrap();
        assert_eq!(text, "a: 1.0\nb: -2.5\nc: 12345678901234567890\nd: '1.500'\ne: '1'\n");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Node::parse(&nested(100)).is_some());
        assert!(Node::parse(&nested(200)).is_none());
        assert!(Node::parse(&nested(100_000)).is_none());
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                proptest::collection::btree_map(".*", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_says_what_serde_says(value in any_json()) {
            let node = Node::parse(&value.to_string()).unwrap();
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&node.to_json()).unwrap(), &value);
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&node.to_pretty()).unwrap(), &value);
        }
    }
}
