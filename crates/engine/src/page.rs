use std::collections::BTreeMap;

use coffre_api::{Op, RawInput, RawJson, Refusal};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::reply::{AnyReply, Shape};

/// The part of a list that was asked for, by the query parameters `after` and `limit` of every LIST (OpenBao
/// documentation, "Paginated lists").
///
/// Handlers that list from storage hand it on to [`coffre_barrier::View::list`], which then reads no more than the page.
/// Whatever a handler answers is cut to the page once more by dispatch, so a handler may ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// Names up to and with this one are left out. It need not exist.
    pub after: Option<&'a str>,
    /// The most names; `usize::MAX` is all. A `limit` of 0 or less asks for all, as in OpenBao.
    pub limit: usize,
}

impl Page<'_> {
    /// Everything.
    pub const ALL: Page<'static> = Page { after: None, limit: usize::MAX };

    /// Whether nothing is left out.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Page::ALL
    }
}

impl<'a> Page<'a> {
    /// Reads the query of a LIST; other operations have no pages.
    pub fn of(op: Op, raw: &'a RawInput) -> Result<Self, Refusal> {
        if op != Op::List {
            return Ok(Page::ALL);
        }
        let limit = match only(raw, "limit")? {
            None => usize::MAX,
            Some(text) => parse_limit(text)
                .ok_or_else(|| Refusal::invalid("the query parameter limit must be a whole number"))?,
        };
        let after = only(raw, "after")?.filter(|after| !after.is_empty());
        Ok(Self { after, limit })
    }

    /// Cuts what a handler answered to the page: `keys`, the same names under `policies`, and what `key_info` says of
    /// them. Sorted by bytes, so that the last name of a page is the `after` of the next.
    pub(crate) fn cut(&self, mut reply: AnyReply) -> Result<AnyReply, Refusal> {
        if self.is_all() || reply.shape != Shape::Data {
            return Ok(reply);
        }
        let Some(data) = reply.data.take() else { return Ok(reply) };
        match self.cut_data(&data)? {
            None => reply.data = Some(data),
            Some((_, true)) => reply.shape = Shape::Missing,
            Some((cut, false)) => reply.data = Some(cut),
        }
        Ok(reply)
    }

    /// The data of the page, and whether no name is left in it; `None` if this is no list.
    fn cut_data(&self, data: &RawJson) -> Result<Option<(RawJson, bool)>, Refusal> {
        // EXPOSE: names of a list, copied into another value that wipes itself.
        let Ok(mut members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(data.expose()) else {
            return Ok(None);
        };
        let Some(mut keys) = members.get("keys").and_then(|raw| texts(raw)) else { return Ok(None) };
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| self.after.is_none_or(|after| key.as_str() > after));
        keys.truncate(self.limit);
        let names = serde_json::value::to_raw_value(&keys).map_err(Refusal::bug)?;
        for list in ["keys", "policies"] {
            if members.contains_key(list) {
                members.insert(list.to_owned(), &names);
            }
        }
        let info = members.get("key_info").and_then(|raw| facts(raw)).map(|mut facts| {
            facts.retain(|name, _| keys.binary_search(name).is_ok());
            serde_json::value::to_raw_value(&facts)
        });
        let info = info.transpose().map_err(Refusal::bug)?;
        if let Some(info) = &info {
            members.insert("key_info".to_owned(), info);
        }
        Ok(Some((RawJson::of(&members).map_err(Refusal::bug)?, keys.is_empty())))
    }
}

fn only<'a>(raw: &'a RawInput, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut found = raw.query().filter(|(known, _)| *known == name).map(|(_, value)| value);
    let first = found.next();
    match found.next() {
        None => Ok(first),
        Some(_) => Err(Refusal::invalid(format!("the query parameter {name} stands more than once"))),
    }
}

/// A decimal whole number of any size; not more than none is all.
fn parse_limit(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let is_none = text.starts_with('-') || digits.bytes().all(|byte| byte == b'0');
    // More than fits is more than there is.
    Some(if is_none { usize::MAX } else { digits.parse().unwrap_or(usize::MAX) })
}

fn texts(raw: &RawValue) -> Option<Vec<String>> {
    serde_json::from_str(raw.get()).ok()
}

fn facts(raw: &RawValue) -> Option<BTreeMap<String, Value>> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn query(pairs: &[(&str, &str)]) -> RawInput {
        RawInput::empty().with_query(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
    }

    fn cut(data: Value, pairs: &[(&str, &str)]) -> (Shape, Value) {
        let raw = query(pairs);
        let reply = AnyReply {
            shape: Shape::Data,
            data: Some(RawJson::of(&data).unwrap()),
            auth: None,
            warnings: Vec::new(),
            lease_duration: 0,
            lease: None,
            wrapped_accessor: None,
        };
        let reply = Page::of(Op::List, &raw).unwrap().cut(reply).unwrap();
        (reply.shape, reply.data.map_or(Value::Null, |data| serde_json::from_str(data.expose()).unwrap()))
    }

    #[test]
    fn limits_are_whole_numbers_and_none_is_all() {
        let limit = |text: &str| Page::of(Op::List, &query(&[("limit", text)])).map(|page| page.limit);
        assert_eq!(limit("3").unwrap(), 3);
        for all in ["0", "-1", "-0", "-9223372036854775809", "00", "99999999999999999999999"] {
            assert_eq!(limit(all).unwrap(), usize::MAX, "{all}");
        }
        for bad in ["", "x", "1.5", "1e3", " 1", "0x10", "--1", "true"] {
            assert_eq!(limit(bad).unwrap_err().kind(), coffre_api::Kind::Invalid, "{bad}");
        }
        let twice = query(&[("limit", "1"), ("limit", "9")]);
        assert!(Page::of(Op::List, &twice).is_err());
        assert!(Page::of(Op::Read, &twice).unwrap().is_all(), "only lists have pages");
    }

    #[test]
    fn pages_hold_what_comes_after_in_order() {
        let data = json!({
            "keys": ["d", "b", "a", "c/"],
            "policies": ["d", "b", "a", "c/"],
            "key_info": {"a": 1, "b": {"x": 2}, "c/": null},
            "other": 7,
        });
        assert_eq!(cut(data.clone(), &[]).1, data, "nothing asked, nothing changed");
        let wanted = json!({ "keys": ["b", "c/"], "policies": ["b", "c/"], "key_info": {"b": {"x": 2}, "c/": null}, "other": 7 });
        assert_eq!(cut(data.clone(), &[("after", "a"), ("limit", "2")]).1, wanted);
        assert_eq!(cut(data.clone(), &[("after", "aa"), ("limit", "1")]).1["keys"], json!(["b"]));
        assert_eq!(cut(data, &[("after", "z")]).0, Shape::Missing);
        assert_eq!(cut(json!({"list": [1]}), &[("limit", "1")]).1, json!({"list": [1]}));
    }

    #[test]
    fn all_pages_together_are_the_whole_list() {
        let names: Vec<String> = (0..57).map(|n| format!("n{n}")).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        for limit in 1..60 {
            let (mut seen, limit) = (Vec::<String>::new(), limit.to_string());
            loop {
                let after = seen.last().cloned().unwrap_or_default();
                let (shape, page) = cut(json!({ "keys": names }), &[("after", &after), ("limit", &limit)]);
                if shape == Shape::Missing {
                    break;
                }
                seen.extend(page["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().into()));
            }
            assert_eq!(seen, sorted, "{limit}");
        }
    }
}
