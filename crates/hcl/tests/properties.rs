//! No text makes a reader panic; a tree that is written in either notation is read back; strict JSON is what another
//! reader takes for JSON.

use std::collections::HashSet;

use coffre_hcl::{Bounds, Entry, Node, Notation, parse};
use proptest::prelude::*;

const ALL: [Notation; 3] = [Notation::Hcl, Notation::Json, Notation::Either];

/// Texts that look like the notations.
const NEAR: &str = r#"(?s)(a|é|path|null|true|-1\.5e9|0|"|"a"|"k":|\\u00|\\ud83d|\\|[{}\[\]=:,# \n\r\t]|//|/\*|\*/|<<|\x00|\x{feff}){0,60}"#;

/// Texts that are nearly JSON.
const NEAR_JSON: &str = r#"\{("[a-d]": ?("x"|"\\u00e9\\n"|"\\ud83d\\ude00"|"\\udc00"|null|true|-?0|1\.50|2e3|1e999|01|2\.|18446744073709551615|\[\]|\[1, ?\{\}\]|\[1,\]|\{"a":\[\]\})[,,,,: ]?){0,2}("z":0|"z":"\\x")?\} ?"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_panics(text in prop_oneof![NEAR, any::<String>()], bytes in 0_usize..200, depth: u8, values in 0_usize..20) {
        for notation in ALL {
            for bounds in [Bounds::STANDARD, Bounds { bytes, depth, values }] {
                if let Err(error) = parse(&text, notation, bounds) {
                    prop_assert!((1..=text.matches('\n').count() + 1).contains(&error.line), "{}", error);
                }
            }
        }
    }

    #[test]
    fn either_takes_what_hcl_takes(text in NEAR) {
        if let Ok(tree) = parse(&text, Notation::Hcl, Bounds::STANDARD) {
            prop_assert_eq!(parse(&text, Notation::Either, Bounds::STANDARD), Ok(tree));
        }
    }

    #[test]
    fn what_is_written_is_read_back(tree in entries(node().boxed())) {
        let bounds = Bounds { depth: 64, ..Bounds::STANDARD };
        let (hcl, json) = (in_hcl(&tree), object(&tree, ":", ","));
        for (text, notations) in [(&hcl, [Notation::Hcl, Notation::Either]), (&json, [Notation::Json, Notation::Either])] {
            for notation in notations {
                let read = parse(text, notation, bounds);
                prop_assert_eq!(read.as_ref(), Ok(&tree), "{:?}: {}", notation, text);
            }
        }
        // A text that was cut is refused.
        let cut: String = json.chars().take(json.chars().count() - 1).collect();
        for notation in ALL {
            prop_assert!(parse(&cut, notation, bounds).is_err(), "{}", cut);
        }
    }

    #[test]
    fn strict_json_is_json(text in NEAR_JSON) {
        let ours = parse(&text, Notation::Json, Bounds::STANDARD);
        match (ours, serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(tree), Ok(value)) => prop_assert_eq!(value_of(&Node::Object(tree)), value, "{}", text),
            (Err(error), Ok(_)) => {
                let what = error.to_string();
                prop_assert!(what.contains("twice") || what.contains("deeply"), "{}: {}", what, text);
            }
            (Ok(_), Err(error)) => prop_assert!(false, "{}: {}", error, text),
            (Err(_), Err(_)) => {}
        }
    }
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Node::Bool),
        any::<i64>().prop_map(|number| Node::Number(number.to_string())),
        any::<f32>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| Node::Number(f64::from(number).to_string())),
        any::<String>().prop_map(Node::Text),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Node::List),
            entries(inner.boxed()).prop_map(Node::Object),
        ]
    })
}

/// Entries with a key each, for JSON refuses any that stands twice.
fn entries(value: BoxedStrategy<Node>) -> impl Strategy<Value = Vec<Entry>> {
    let key = prop_oneof!["[a-z_][a-z0-9_.-]{0,6}", any::<String>()];
    let entry = (key, value, 0_usize..9).prop_map(|(key, value, line)| Entry { key, value, line });
    proptest::collection::vec(entry, 0..5).prop_map(|mut all| {
        let mut seen = HashSet::new();
        all.retain(|entry| seen.insert(entry.key.clone()));
        all
    })
}

/// Attributes, with blocks as blocks and words without quotes, where HCL has that.
fn in_hcl(entries: &[Entry]) -> String {
    let attribute = |entry: &Entry| {
        let is_word = entry.key.starts_with(|c: char| c.is_ascii_lowercase())
            && entry.key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let key = if is_word { entry.key.clone() } else { text(&entry.key) };
        match &entry.value {
            Node::Object(inner) => format!("{key} {{ # block\n{}}}\n", in_hcl(inner)),
            value => format!("{key} = {} // value\n", written(value, " = ", "\n")),
        }
    };
    entries.iter().map(attribute).collect()
}

fn object(entries: &[Entry], between: &str, after: &str) -> String {
    let attribute =
        |entry: &Entry| format!("{}{between}{}", text(&entry.key), written(&entry.value, between, after));
    format!("{{{}}}", entries.iter().map(attribute).collect::<Vec<_>>().join(after))
}

fn written(node: &Node, between: &str, after: &str) -> String {
    match node {
        Node::Null => "null".to_owned(),
        Node::Bool(value) => value.to_string(),
        Node::Number(number) => number.clone(),
        Node::Text(value) => text(value),
        Node::List(items) => {
            let items: Vec<_> = items.iter().map(|item| written(item, between, after)).collect();
            format!("[{}]", items.join(", "))
        }
        Node::Object(entries) => object(entries, between, after),
    }
}

/// In quotes, with escapes that both notations have.
fn text(value: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c < ' ' => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", value.chars().map(escaped).collect::<String>())
}

fn value_of(node: &Node) -> serde_json::Value {
    use serde_json::Value;
    match node {
        Node::Null => Value::Null,
        Node::Bool(value) => Value::Bool(*value),
        Node::Number(number) => number_of(number),
        Node::Text(text) => Value::String(text.clone()),
        Node::List(items) => items.iter().map(value_of).collect(),
        Node::Object(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), value_of(&entry.value))).collect()
        }
    }
}

/// The number as the other reader keeps it: `1.50` and `2e3` are doubles there, whatever they are worth.
fn number_of(number: &str) -> serde_json::Value {
    let doubles = ["1.5", "-1.5", "2000", "-2000", "-0"];
    if doubles.contains(&number) {
        return number.parse::<f64>().map_or(serde_json::Value::Null, serde_json::Value::from);
    }
    number.parse::<serde_json::Number>().map_or(serde_json::Value::Null, serde_json::Value::Number)
}
