//! From JSON text to the same JSON with each scalar hashed, in one pass over the text and without a tree: numbers keep
//! no second spelling, nesting needs no recursion, and nothing is copied that must be wiped.

use std::collections::BTreeMap;

use coffre_api::RawJson;
use coffre_secret::SecretText;
use serde_json::value::RawValue;

use crate::hasher::Hasher;
use crate::json::{self, Line, plain};

/// Keys longer than this are hashed like values: no one names a field so, but a secret in the wrong place may be that
/// long.
pub(crate) const LONGEST_KEY: usize = 128;

/// Text longer than this is hashed as one value, so that an entry and the work for it stay bounded.
const LONGEST_TEXT: usize = 64 * 1024;
/// The same, for what comes out.
const LONGEST_RESULT: usize = 256 * 1024;

/// Hashes any text: JSON scalar by scalar, everything else (and very long JSON) as one value.
///
/// `readable` are keys of the outermost object whose values stay as they are.
#[must_use]
pub fn hash_json(text: &str, readable: &[&str], hasher: &Hasher) -> String {
    let mut line = Line::new();
    write_hashed(&mut line, text, readable, hasher);
    // Everything written is text already; the fallback is never used.
    String::from_utf8(line).unwrap_or_default()
}

/// As [`hash_json`], for text of unknown origin.
pub(crate) fn write_hashed(line: &mut Line, text: &str, readable: &[&str], hasher: &Hasher) {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) => write_hashed_json(line, json, readable, hasher),
        Err(_) => hasher.write(line, text.as_bytes()),
    }
}

/// As [`hash_json`], for text that was found to be JSON.
pub(crate) fn write_hashed_json(line: &mut Line, json: &RawValue, readable: &[&str], hasher: &Hasher) {
    write_valid(line, json.get(), readable, hasher);
}

/// As [`hash_json`], for the text of an answer, which is JSON by its type.
pub(crate) fn write_hashed_raw(line: &mut Line, json: &RawJson, readable: &[&str], hasher: &Hasher) {
    // EXPOSE: hashed scalar by scalar.
    write_valid(line, json.expose(), readable, hasher);
}

fn write_valid(line: &mut Line, text: &str, readable: &[&str], hasher: &Hasher) {
    let start = line.len();
    let fits = text.len() <= LONGEST_TEXT && {
        let scan =
            Scan { rest: text, depth: 0, readable, hasher: Some(hasher), limit: start + LONGEST_RESULT };
        scan.run(line)
    };
    if !fits {
        line.truncate(start);
        hasher.write(line, text.as_bytes());
    }
}

/// As [`write_hashed`], for the answer to a list: `keys` and `key_info` are told by their length alone. Whether it could.
pub(crate) fn write_elided(line: &mut Line, text: &str, hasher: &Hasher) -> bool {
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else { return false };
    let start = line.len();
    line.push(b'{');
    for (name, value) in members {
        if line.len() > start + 1 {
            line.push(b',');
        }
        json::text(line, &name);
        line.push(b':');
        match length(value.get()).filter(|_| matches!(name.as_str(), "keys" | "key_info")) {
            Some(count) => line.extend_from_slice(count.to_string().as_bytes()),
            None => write_hashed_json(line, value, &[], hasher),
        }
        if line.len() - start > LONGEST_RESULT {
            line.truncate(start);
            return false;
        }
    }
    line.push(b'}');
    true
}

/// The number of elements of a list or an object.
fn length(json: &str) -> Option<usize> {
    let list = serde_json::from_str::<Vec<&RawValue>>(json).map(|list| list.len());
    list.or_else(|_| serde_json::from_str::<BTreeMap<String, &RawValue>>(json).map(|map| map.len())).ok()
}

/// Writes JSON as it is, on one line; too much of it is replaced by its hash.
pub(crate) fn write_readable(line: &mut Line, json: &RawValue, hasher: &Hasher) {
    let (start, text) = (line.len(), json.get());
    let scan = Scan { rest: text, depth: 0, readable: &[], hasher: None, limit: start + LONGEST_RESULT };
    if !scan.run(line) {
        line.truncate(start);
        hasher.write(line, text.as_bytes());
    }
}

/// One walk over valid JSON.
struct Scan<'t> {
    rest: &'t str,
    depth: usize,
    readable: &'t [&'t str],
    /// None leaves everything readable.
    hasher: Option<&'t Hasher>,
    limit: usize,
}

impl<'t> Scan<'t> {
    /// Whether the result stayed within the limit.
    fn run(mut self, line: &mut Line) -> bool {
        // Whether we are inside the value of a readable key.
        let mut clear = false;
        while let Some(byte) = self.next_byte() {
            if line.len() > self.limit {
                return false;
            }
            match byte {
                b'"' => {
                    let inside = self.string();
                    if self.at_colon() {
                        clear |= self.depth == 1 && self.is_readable(inside);
                        self.write_key(line, inside, clear);
                    } else {
                        match self.hasher.filter(|_| !clear) {
                            Some(hasher) => hash_string(line, inside, hasher),
                            None => copy_string(line, inside),
                        }
                    }
                }
                b'{' | b'[' => {
                    self.depth += 1;
                    line.push(byte);
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    line.push(byte);
                }
                b',' => {
                    line.push(byte);
                    clear &= self.depth != 1;
                }
                b':' => line.push(byte),
                _ => {
                    let literal = self.literal();
                    match self.hasher.filter(|_| !clear) {
                        Some(hasher) => hasher.write(line, literal.as_bytes()),
                        None => line.extend_from_slice(literal.as_bytes()),
                    }
                }
            }
        }
        line.len() <= self.limit
    }

    fn is_readable(&self, key: &str) -> bool {
        !self.readable.is_empty() && {
            let name = unescape(key);
            name.is_some_and(|name| {
                // EXPOSE: a key's name, compared with names that the operator chose.
                self.readable.contains(&name.expose().as_str())
            })
        }
    }

    fn write_key(&self, line: &mut Line, inside: &str, clear: bool) {
        match self.hasher {
            Some(hasher) if !clear && inside.len() > LONGEST_KEY => hash_string(line, inside, hasher),
            _ => copy_string(line, inside),
        }
    }

    /// The next byte that is not blank, left in place if it begins a literal.
    fn next_byte(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        let byte = *self.rest.as_bytes().first()?;
        if b"\"{}[],:".contains(&byte) {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        Some(byte)
    }

    /// The inside of a string whose opening quote was taken; takes the closing one.
    fn string(&mut self) -> &'t str {
        let mut escaped = false;
        let end = self.rest.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let end = end.unwrap_or(self.rest.len());
        let inside = self.rest.get(..end).unwrap_or_default();
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        inside
    }

    fn at_colon(&self) -> bool {
        self.rest.trim_ascii_start().starts_with(':')
    }

    /// A number, `true`, `false` or `null`.
    fn literal(&mut self) -> &'t str {
        let blank = |c: char| c.is_ascii_whitespace() || ",]}".contains(c);
        // Never empty, so that the walk always ends.
        let first = self.rest.chars().next().map_or(0, char::len_utf8);
        let end = self.rest.find(blank).unwrap_or(self.rest.len()).max(first);
        let (literal, rest) = self.rest.split_at(end);
        self.rest = rest;
        literal
    }
}

/// Copies the inside of a JSON string, escapes and all; what is odd and not escaped becomes escaped.
fn copy_string(line: &mut Line, inside: &str) {
    line.push(b'"');
    if inside.bytes().all(|b| matches!(b, b' '..=b'~')) {
        line.extend_from_slice(inside.as_bytes());
    } else {
        inside.chars().for_each(|c| plain(line, c));
    }
    line.push(b'"');
}

fn hash_string(line: &mut Line, inside: &str, hasher: &Hasher) {
    if !inside.contains('\\') {
        hasher.write(line, inside.as_bytes());
        return;
    }
    match unescape(inside) {
        // EXPOSE: hashed, then wiped.
        Some(text) => hasher.write(line, text.expose().as_bytes()),
        None => hasher.write(line, inside.as_bytes()),
    }
}

fn unescape(inside: &str) -> Option<SecretText> {
    if !inside.contains('\\') {
        return Some(SecretText::from(inside));
    }
    let quoted = SecretText::new(format!("\"{inside}\""));
    // EXPOSE: read once; both copies are wiped.
    serde_json::from_str::<String>(quoted.expose()).ok().map(SecretText::new)
}

#[cfg(test)]
mod tests {
    use coffre_crypto::Key;

    use super::*;

    fn hasher() -> Hasher {
        Hasher::new(&Key::copy_of(&[7; 32]).unwrap())
    }

    #[test]
    fn each_scalar_is_hashed_and_names_stay() {
        let h = hasher();
        let out = hash_json(
            "{ \"a\" : \"x\",\n \"b\":[1.50, true ,null, {\"c\\u0041\":\"y\\n\"}], \"d\":{} ,\"e\":\"\" }",
            &[],
            &h,
        );
        let expected = format!(
            r#"{{"a":"{}","b":["{}","{}","{}",{{"c\u0041":"{}"}}],"d":{{}},"e":"{}"}}"#,
            h.hash(b"x"),
            h.hash(b"1.50"),
            h.hash(b"true"),
            h.hash(b"null"),
            h.hash(b"y\n"),
            h.hash(b"")
        );
        assert_eq!(out, expected);
    }

    #[test]
    fn escapes_do_not_change_the_hash() {
        let h = hasher();
        let plain = hash_json("\"a/b\u{e9}\"", &[], &h);
        assert_eq!(hash_json(r#""\u0061\/b\u00e9""#, &[], &h), plain);
        assert_eq!(plain, format!("\"{}\"", h.hash("a/bé".as_bytes())));
    }

    #[test]
    fn what_is_not_json_is_one_leaf() {
        let h = hasher();
        for text in ["{password:hunter2}", "hunter2", "", "{\"a\":", "[1,]", "{} {}", "\"\n\""] {
            assert_eq!(hash_json(text, &[], &h), format!("\"{}\"", h.hash(text.as_bytes())), "{text}");
        }
    }

    #[test]
    fn readable_keys_count_at_the_top_only() {
        let h = hasher();
        let text = r#"{"ttl":"1h","x":{"ttl":"CANARY"},"\u0074tl2":[1,{"ttl":"CANARY"}],"list":["1",{"a":2}],"z":"CANARY"}"#;
        let out = hash_json(text, &["ttl", "list"], &h);
        assert!(out.starts_with(r#"{"ttl":"1h","x":{"ttl":"hmac-"#), "{out}");
        assert!(out.contains(r#""list":["1",{"a":2}],"z":"hmac-"#), "{out}");
        assert!(!out.contains("CANARY"), "{out}");
        assert!(hash_json(r#"{"\u0074tl":"1h"}"#, &["ttl"], &h).contains("1h"));
        assert!(!hash_json(r#"["ttl","1h"]"#, &["ttl"], &h).contains("1h"));
    }

    #[test]
    fn long_input_is_one_leaf_and_depth_does_not_matter() {
        let h = hasher();
        let long = format!("[{}1]", "1,".repeat(100_000));
        assert_eq!(hash_json(&long, &[], &h), format!("\"{}\"", h.hash(long.as_bytes())));
        let many = format!("[{}1]", "1,".repeat(30_000));
        assert!(hash_json(&many, &[], &h).len() < 100);
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(hash_json(&deep, &[], &h), deep);
        let long_key = format!("{{\"{}\":1}}", "k".repeat(200));
        assert!(!hash_json(&long_key, &[], &h).contains("kkk"));
    }

    #[test]
    fn lists_can_be_told_by_their_length() {
        let h = hasher();
        let mut line = Line::new();
        let text = r#"{"keys":["a","b"],"key_info":{"a":{"x":1}},"other":"v"}"#;
        assert!(write_elided(&mut line, text, &h));
        let expected = format!(r#"{{"key_info":1,"keys":2,"other":"{}"}}"#, h.hash(b"v"));
        assert_eq!(String::from_utf8(line.clone()).unwrap(), expected);
        line.clear();
        assert!(!write_elided(&mut line, "[1]", &h) && line.is_empty());
    }

    #[test]
    fn keys_cannot_break_the_line() {
        let out = hash_json("{\"a\u{2028}b\u{7f}\\n\":1,\n\r\"c\":2}", &[], &hasher());
        assert!(out.starts_with(r#"{"a\u2028b\u007f\n":"#), "{out}");
        assert!(!out.contains(char::is_control), "{out}");
    }

    #[test]
    fn anything_is_survived() {
        let h = hasher();
        let entropy = coffre_ambient::SeededEntropy::new(11);
        let alphabet =
            ["{", "}", "[", "]", ",", ":", "\"", "\\", "a", "1", " ", "\n", "é", "\\u", "true", "\"a\""];
        for _ in 0..20_000 {
            let text: String = (0..entropy.below(12))
                .map(|_| alphabet[usize::try_from(entropy.below(alphabet.len() as u64)).unwrap()])
                .collect();
            let out = hash_json(&text, &["a"], &h);
            assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{text:?} {out}");
            assert!(!out.contains('\n'));
            // The walk itself must end on anything, even unchecked.
            let scan = Scan { rest: &text, depth: 0, readable: &["a"], hasher: Some(&h), limit: 1 << 20 };
            scan.run(&mut Line::new());
        }
    }
}
