//! Results as people and scripts read them: tables, JSON, YAML, single fields.

use coffre_client::Envelope;

use crate::args::global::Format;
use crate::call::{Call, whole};
use crate::json::{Node, map};
use crate::outcome::{Exit, Failure, Outcome};

/// Columns, four spaces apart; an empty cell is `n/a`; no blanks at line ends.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let cell = |text: &str| if text.is_empty() { "n/a".to_owned() } else { text.to_owned() };
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (at, text) in row.iter().enumerate() {
            let width = cell(text).chars().count();
            match widths.get_mut(at) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(text, width)| format!("{:width$}", cell(text)));
        cells.collect::<Vec<_>>().join("    ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A table with a heading row and dashes under it.
pub(crate) fn table(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut all = vec![
        heading.iter().map(|text| (*text).to_owned()).collect(),
        heading.iter().map(|text| "-".repeat(text.chars().count())).collect(),
    ];
    all.extend(rows);
    columns(&all)
}

/// `Key` and `Value` columns.
pub(crate) fn pairs(rows: &[(String, String)]) -> String {
    let rows = rows.iter().map(|(key, value)| vec![key.clone(), value.clone()]).collect();
    table(&["Key", "Value"], rows)
}

/// The members of an object as pairs, sorted, with durations readable.
pub(crate) fn members(node: &Node) -> Vec<(String, String)> {
    node.members().into_iter().map(|(name, value)| (name.to_owned(), cell(name, value))).collect()
}

/// `===== Title =====` over a table of pairs with these keys.
pub(crate) fn heading_over<'a>(title: &str, keys: impl Iterator<Item = &'a str>) -> String {
    let longest = keys.map(str::len).max().unwrap_or(0);
    // Four blanks between the columns and the five letters of "Value".
    heading(title, longest + 4 + 5)
}

/// `===== Title =====`, about as wide as `width`.
pub(crate) fn heading(title: &str, width: usize) -> String {
    let signs = width.saturating_sub(title.len() + 2);
    let signs = if signs == 0 { 4 } else { signs + signs % 2 };
    let side = "=".repeat(signs / 2);
    format!("{side} {title} {side}")
}

/// Seconds as Go prints a duration, without the zero parts at its end: `768h`, `1h30m`, `10s`.
pub(crate) fn human_seconds(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, rest) => format!("{rest}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, rest) => format!("{minutes}m{rest}s"),
        (hours, 0, 0) => format!("{hours}h"),
        (hours, minutes, 0) => format!("{hours}h{minutes}m"),
        (hours, minutes, rest) => format!("{hours}h{minutes}m{rest}s"),
    }
}

impl Call {
    /// Prints an answer in the chosen format, or one field of it. Warnings go to standard error.
    pub(crate) fn show(&mut self, envelope: &Envelope) -> Outcome {
        let node = whole(Some(envelope));
        if let Some(field) = self.parsed.one("field").map(str::to_owned) {
            return self.show_field(secret_field(&node, &field), &field);
        }
        self.show_warnings(&node);
        match self.format {
            // EXPOSE: the result that was asked for.
            Format::Raw => self.world.say(envelope.expose_raw()),
            Format::Table => {
                let rows = secret_rows(&node);
                if !rows.is_empty() {
                    self.world.say(&pairs(&rows));
                }
            }
            _ => self.show_node(&canonical(&node)),
        }
        Ok(Exit::DONE)
    }

    /// Prints a value that is no envelope; as a table, the pairs of its members.
    pub(crate) fn show_data(&mut self, node: &Node) -> Outcome {
        if let Some(field) = self.parsed.one("field").map(str::to_owned) {
            return self.show_field(node.member(&field).cloned(), &field);
        }
        match self.format {
            Format::Table => self.world.say(&pairs(&members(node))),
            _ => self.show_node(&node.clone().sorted()),
        }
        Ok(Exit::DONE)
    }

    /// Prints a list: lines under `Keys`, or a bare array.
    pub(crate) fn show_list(&mut self, heading: Option<&str>, items: &[Node]) -> Outcome {
        match self.format {
            Format::Table => {
                if let Some(heading) = heading {
                    self.world.say(&format!("{heading}\n{}", "-".repeat(heading.len())));
                }
                for item in items {
                    let item = item.shown();
                    // To a person one name is one line; to a program a name is its own bytes.
                    let item = if self.world.out_is_terminal { item.replace('\n', "\\n") } else { item };
                    self.world.say(&item);
                }
            }
            _ => self.show_node(&Node::List(items.to_vec())),
        }
        Ok(Exit::DONE)
    }

    /// Prints JSON or YAML, whichever was chosen (JSON for the table format's sake of nothing better).
    pub(crate) fn show_node(&mut self, node: &Node) {
        match self.format {
            Format::Yaml => {
                let text = serde_norway::to_string(node).unwrap_or_default();
                self.world.say_bare(&text);
            }
            _ => self.world.say(&node.to_pretty()),
        }
    }

    /// Prints one field without a new line, unless a person looks on.
    pub(crate) fn show_field(&mut self, value: Option<Node>, field: &str) -> Outcome {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Err(Failure::local(format!("Field {field:?} not present in secret")));
        };
        match self.format {
            Format::Table | Format::Raw => {
                let text = value.shown();
                self.world.say_bare(&text);
                if self.world.out_is_terminal {
                    self.world.say_bare("\n");
                }
            }
            _ => self.show_node(&value),
        }
        Ok(Exit::DONE)
    }

    /// A success in words; silent for scripts that asked for another format.
    pub(crate) fn succeed(&mut self, text: &str) -> Outcome {
        self.world.say(&format!("Success! {text}"));
        Ok(Exit::DONE)
    }

    pub(crate) fn show_warnings(&mut self, node: &Node) {
        let warnings: Vec<String> =
            node.member("warnings").map(Node::items).unwrap_or_default().iter().map(Node::shown).collect();
        if warnings.is_empty() || self.format != Format::Table {
            return;
        }
        self.world.warn("WARNING! The following warnings were returned from the server:\n");
        for warning in warnings {
            self.world.warn(&format!("  * {warning}"));
        }
        self.world.warn("");
    }
}

/// The rows of an answer: lease, wrapping and token first, then the data.
pub(crate) fn secret_rows(node: &Node) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let number = |name: &str| node.member(name).map(Node::shown).and_then(|text| text.parse::<u64>().ok());
    let duration = number("lease_duration").unwrap_or(0);
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    if duration > 0 {
        match node.member("lease_id").and_then(Node::text).filter(|id| !id.is_empty()) {
            Some(id) => {
                row("lease_id", id.to_owned());
                row("lease_duration", human_seconds(duration));
                row("lease_renewable", node.member("renewable").map(Node::shown).unwrap_or_default());
            }
            // Without a lease it is only a hint how often to read again.
            None => row("refresh_interval", human_seconds(duration)),
        }
    }
    for (field, source, name) in WRAP {
        if let Some(value) = node.member("wrap_info").and_then(|wrap| wrap.member(source)).filter(not_empty) {
            row(&format!("{field}:"), if *source == "ttl" { cell(name, value) } else { value.shown() });
        }
    }
    if let Some(auth) = node.member("auth").filter(|auth| !auth.is_null()) {
        for (field, source, _) in AUTH {
            let value = match auth.member(source) {
                Some(value) => value,
                // Servers leave empty lists out; they are shown all the same.
                None if source.ends_with("policies") => &Node::Null,
                None => continue,
            };
            let text = match value.shown().parse::<u64>() {
                Ok(0) if *source == "lease_duration" => "\u{221e}".to_owned(),
                Ok(seconds) if *source == "lease_duration" => human_seconds(seconds),
                _ => go_quoted(value),
            };
            row(field, text);
        }
        for (name, value) in auth.member("metadata").map(Node::members).unwrap_or_default() {
            row(&format!("token_meta_{name}"), value.shown());
        }
    }
    rows.extend(node.member("data").map(members).unwrap_or_default());
    rows
}

/// One field of an answer: the special names first, then the data, then a KV v2 document inside it.
pub(crate) fn secret_field(node: &Node, field: &str) -> Option<Node> {
    let special = |part: &str, names: &[(&str, &str, &str)]| {
        let (_, source, _) = names.iter().find(|(name, ..)| *name == field)?;
        node.member(part)?.member(source).cloned()
    };
    let lease = match field {
        "lease_id" => node.member("lease_id").cloned(),
        "lease_duration" | "refresh_interval" => node.member("lease_duration").cloned(),
        "lease_renewable" => node.member("renewable").cloned(),
        _ => None,
    };
    let data = node.member("data");
    special("wrap_info", WRAP)
        .or_else(|| special("auth", AUTH))
        .or_else(|| data?.member(field).cloned())
        .or_else(|| data?.member("data")?.member(field).cloned())
        .or(lease)
}

/// The members of an envelope in the order in which Vault's command line prints them.
pub(crate) fn canonical(node: &Node) -> Node {
    const ALWAYS: &[&str] = &["request_id", "lease_id", "lease_duration", "renewable", "data", "warnings"];
    if node.member("request_id").is_none() && node.member("data").is_none() && node.member("auth").is_none() {
        return node.clone().sorted();
    }
    let sorted = |name: &&'static str| (*name, node.member(name).cloned().unwrap_or(Node::Null).sorted());
    let extra = ["wrap_info", "auth"];
    let present = extra.iter().filter(|name| node.member(name).is_some_and(|value| !value.is_null()));
    map(ALWAYS.iter().chain(present).map(sorted))
}

/// Field name, member of `wrap_info`, name for the duration rule.
const WRAP: &[(&str, &str, &str)] = &[
    ("wrapping_token", "token", ""),
    ("wrapping_accessor", "accessor", ""),
    ("wrapping_token_ttl", "ttl", "ttl"),
    ("wrapping_token_creation_time", "creation_time", ""),
    ("wrapping_token_creation_path", "creation_path", ""),
    ("wrapped_accessor", "wrapped_accessor", ""),
];

/// Field name, member of `auth`.
const AUTH: &[(&str, &str, &str)] = &[
    ("token", "client_token", ""),
    ("token_accessor", "accessor", ""),
    ("token_duration", "lease_duration", ""),
    ("token_renewable", "renewable", ""),
    ("token_policies", "token_policies", ""),
    ("identity_policies", "identity_policies", ""),
    ("policies", "policies", ""),
];

fn not_empty(node: &&Node) -> bool {
    !node.is_null() && node.text() != Some("")
}

/// Lists of names with quotes, as in `["default" "root"]`.
fn go_quoted(node: &Node) -> String {
    match node {
        Node::List(items) => {
            let items: Vec<_> = items.iter().map(Node::to_json).collect();
            format!("[{}]", items.join(" "))
        }
        Node::Null => "[]".to_owned(),
        other => other.shown(),
    }
}

fn cell(name: &str, value: &Node) -> String {
    let is_duration = ["period", "ttl", "duration"]
        .iter()
        .any(|word| name == *word || name.strip_suffix(word).is_some_and(|before| before.ends_with('_')))
        || name == "lease_max"
        || name == "ttl_max";
    match value {
        Node::Number(text) if is_duration => text.parse().map_or_else(|_| text.clone(), human_seconds),
        other => other.shown(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_empty_cells_say_so() {
        let rows = vec![("a".to_owned(), String::new()), ("longer".to_owned(), "x".to_owned())];
        assert_eq!(pairs(&rows), "Key       Value\n---       -----\na         n/a\nlonger    x");
    }

    #[test]
    fn headings_have_vaults_width() {
        assert_eq!(heading_over("Data", ["foo"].into_iter()), "=== Data ===");
        assert_eq!(heading_over("Metadata", ["custom_metadata"].into_iter()), "======= Metadata =======");
        assert_eq!(heading("Secret Path", "secret/data/hello".len()), "== Secret Path ==");
        assert_eq!(heading("Secret Path", 3), "== Secret Path ==");
    }

    #[test]
    fn durations_read_like_gos() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (61, "1m1s"),
            (3600, "1h"),
            (5400, "1h30m"),
            (2_764_800, "768h"),
        ] {
            assert_eq!(human_seconds(seconds), text);
        }
        assert_eq!(cell("token_ttl", &Node::Number("3600".into())), "1h");
        assert_eq!(cell("creation_time", &Node::Number("3600".into())), "3600");
    }

    #[test]
    fn a_token_is_shown_with_all_kinds_of_policies() {
        let node = r#"{"auth":{"client_token":"t","accessor":"a","lease_duration":3600,"renewable":true,
            "policies":["default","x"],"token_policies":["default","x"]}}"#;
        let rows = secret_rows(&Node::parse(node).unwrap());
        let shown: Vec<_> = rows.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            shown,
            [
                "token=t",
                "token_accessor=a",
                "token_duration=1h",
                "token_renewable=true",
                "token_policies=[\"default\" \"x\"]",
                "identity_policies=[]",
                "policies=[\"default\" \"x\"]"
            ]
        );
    }

    #[test]
    fn fields_are_found_where_people_expect_them() {
        let node = Node::parse(
            r#"{"lease_id":"l","data":{"data":{"value":"v"},"metadata":{}},
                "auth":{"client_token":"t","policies":["a"]},"wrap_info":null}"#,
        )
        .unwrap();
        assert_eq!(secret_field(&node, "value"), Some(Node::from("v")));
        assert_eq!(secret_field(&node, "token"), Some(Node::from("t")));
        assert_eq!(secret_field(&node, "lease_id"), Some(Node::from("l")));
        assert_eq!(secret_field(&node, "nope"), None);
    }
}
