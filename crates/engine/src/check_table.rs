//! What must be true of every engine's table. Each engine runs [`check`] in a test.

use std::collections::BTreeSet;
use std::fmt;

use coffre_api::{Op, Segment, Template};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;

use crate::row::{Meta, Row};
use crate::serve::Engine;

/// A mistake in a table.
#[derive(Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The row, as `Op path`.
    pub row: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.row, self.what)
    }
}

/// All mistakes of an engine's table: captures that are no input field, rows that overlap, rows without a summary.
#[must_use]
pub fn check<G: Engine>() -> Vec<Flaw> {
    let metas: Vec<&Meta> = G::ROWS.iter().map(Row::meta).collect();
    let mut flaws = Vec::new();
    for (at, meta) in metas.iter().enumerate() {
        check_row(meta, &mut flaws);
        for other in metas.iter().skip(at + 1) {
            for (a, b) in pairs(meta, other) {
                if meta.op == other.op && shape(a) == shape(b) {
                    flaws.push(flaw(meta, format!("overlaps with {}", b.text())));
                }
            }
        }
    }
    for (at, row) in G::LEASES.iter().enumerate() {
        if G::LEASES.iter().take(at).any(|other| other.kind() == row.kind()) {
            let what = "two kinds of leases have this name".into();
            flaws.push(Flaw { row: format!("lease {}", row.kind()), what });
        }
    }
    flaws
}

fn check_row(meta: &Meta, flaws: &mut Vec<Flaw>) {
    if !meta.summary.ends_with('.') || meta.summary.len() < 10 {
        flaws.push(flaw(meta, "its summary is not a sentence".into()));
    }
    let fields = input_fields(meta);
    for path in std::iter::once(&meta.path).chain(meta.also) {
        for capture in path.captures() {
            if !fields.contains(capture) {
                flaws.push(flaw(meta, format!("the capture `{capture}` is no field of its input")));
            }
        }
    }
    if let Some(field) = meta.whole_body
        && !fields.contains(field)
    {
        flaws.push(flaw(meta, format!("the whole body's field `{field}` is no field of its input")));
    }
}

/// The names of the input's fields, from its schema (references resolved).
#[must_use]
pub fn input_fields(meta: &Meta) -> BTreeSet<String> {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let schema = (meta.input)(&mut generator);
    let value = schema.to_value();
    let definitions = generator.take_definitions(true);
    let target = value
        .get("$ref")
        .and_then(|reference| reference.as_str())
        .and_then(|reference| reference.rsplit('/').next())
        .and_then(|name| definitions.get(name))
        .unwrap_or(&value);
    let properties = target.get("properties").and_then(|properties| properties.as_object());
    properties.map(|all| all.keys().cloned().collect()).unwrap_or_default()
}

fn pairs<'a>(a: &'a Meta, b: &'a Meta) -> impl Iterator<Item = (&'a Template, &'a Template)> {
    let all = |meta: &'a Meta| std::iter::once(&meta.path).chain(meta.also);
    all(a).flat_map(move |x| all(b).map(move |y| (x, y)))
}

fn shape(template: &Template) -> Vec<&'static str> {
    let part = |segment: &Segment| match segment {
        Segment::Literal(text) => *text,
        Segment::Capture(_) => "{}",
        Segment::Rest(_) => "{*}",
    };
    template.segments().iter().map(part).collect()
}

fn flaw(meta: &Meta, what: String) -> Flaw {
    Flaw { row: format!("{:?} {}", meta.op, meta.path.text()), what }
}

/// The rows that answer without a token, one line each, for the reviewed list of public routes.
#[must_use]
pub fn public_rows<G: Engine>(prefix: &str) -> Vec<String> {
    let public = G::ROWS.iter().map(Row::meta).filter(|meta| meta.access.is_public());
    public
        .map(|meta| format!("{:<6} {prefix}{}  {:?}", word(meta.op), meta.path.text(), meta.access))
        .collect()
}

const fn word(op: Op) -> &'static str {
    match op {
        Op::Read => "read",
        Op::List => "list",
        Op::Write => "write",
        Op::Patch => "patch",
        Op::Delete => "delete",
    }
}
