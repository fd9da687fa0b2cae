use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::PolicyError;
use crate::tree::{Depth, Entry, Node};

/// Reads a policy in JSON. A key given twice in one object is refused.
pub(crate) fn parse_json(text: &str) -> Result<Node, PolicyError> {
    let mut de = serde_json::Deserializer::from_str(text);
    let node = Reader(Depth::TOP).deserialize(&mut de).map_err(|e| refused(&e))?;
    de.end().map_err(|e| refused(&e))?;
    Ok(node)
}

const TWICE: &str = "a key stands twice in one object";
const DEEP: &str = "nested too deeply";

fn refused(error: &serde_json::Error) -> PolicyError {
    let said = error.to_string();
    if said.starts_with(DEEP) {
        return PolicyError::TooDeep;
    }
    let what = if said.starts_with(TWICE) { TWICE } else { "this is not valid JSON" };
    PolicyError::Syntax { line: error.line(), what }
}

/// Numbers are taken as text, so that none loses digits.
struct Reader(Depth);

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let depth = self.0.deeper().map_err(|_| A::Error::custom(DEEP))?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self(depth))? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let depth = self.0.deeper().map_err(|_| A::Error::custom(DEEP))?;
        let mut entries = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(TWICE));
            }
            entries.push(Entry { key, value: map.next_value_seed(Self(depth))? });
        }
        Ok(Node::Object(entries))
    }
}

/// The items of a JSON array that a request sent, as text; `None` if it is no array. For the parameter check.
pub(crate) fn raw_items(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}
