//! Routing: what a row captured is what stands in the path, and the path is made of the row's template and nothing
//! else.
#![no_main]

use std::sync::LazyLock;

use coffre_api::{Op, Segment, Template, VaultPath};
use coffre_engine::{Engine, Found, Row, Trie};
use coffre_engines::cubbyhole::Cubbyhole;
use coffre_engines::kv::v1::KvV1;
use coffre_engines::kv::v2::KvV2;
use coffre_methods::approle::AppRole;
use libfuzzer_sys::fuzz_target;

const OPS: [Op; 5] = [Op::Read, Op::List, Op::Write, Op::Patch, Op::Delete];

static TRIES: LazyLock<[Trie; 4]> = LazyLock::new(|| {
    [
        Trie::from_rows::<KvV1>(),
        Trie::from_rows::<KvV2>(),
        Trie::from_rows::<Cubbyhole>(),
        Trie::from_rows::<AppRole>(),
    ]
});

fuzz_target!(|data: (u8, u8, &str)| {
    let (engine, op, path) = data;
    // What reaches a mount is canonical, or the empty rest of the mount's own path.
    let path = match VaultPath::parse(path) {
        Ok(path) => path.as_str().to_owned(),
        Err(_) => String::new(),
    };
    let op = OPS[usize::from(op) % OPS.len()];
    match engine % 4 {
        0 => check::<KvV1>(&TRIES[0], op, &path),
        1 => check::<KvV2>(&TRIES[1], op, &path),
        2 => check::<Cubbyhole>(&TRIES[2], op, &path),
        _ => check::<AppRole>(&TRIES[3], op, &path),
    }
});

fn check<G: Engine>(trie: &Trie, op: Op, path: &str) {
    match trie.find(op, path) {
        Found::Nothing => {
            let known = G::ROWS.iter().flat_map(templates).find(|template| fits(template, path));
            assert!(known.is_none(), "{path:?} fits {:?}, yet was not found", known.map(Template::text));
        }
        Found::WrongOp(ops) => assert!(!ops.contains(&op) && !ops.is_empty()),
        Found::Row { row, captures } => {
            let row = &G::ROWS[row];
            assert_eq!(row.meta().op, op);
            let texts: Vec<(&str, &str)> =
                captures.iter().map(|(name, span)| (*name, &path[span.clone()])).collect();
            let made = templates(row).any(|template| rebuild(template, &texts).as_deref() == Some(path));
            assert!(made, "{path:?} is not made of {:?} and {texts:?}", row.meta().path.text());
        }
    }
}

fn templates<G: Engine>(row: &Row<G>) -> impl Iterator<Item = &Template> {
    std::iter::once(&row.meta().path).chain(row.meta().also)
}

/// The template with its captures filled in; `None` if they are not the template's.
fn rebuild(template: &Template, captures: &[(&str, &str)]) -> Option<String> {
    let mut captures = captures.iter();
    let mut parts = Vec::new();
    for segment in template.segments() {
        parts.push(match segment {
            Segment::Literal(text) => *text,
            Segment::Capture(name) | Segment::Rest(name) => {
                captures.next().filter(|(captured, _)| captured == name).map(|(_, text)| *text)?
            }
        });
    }
    let whole = parts.join("/");
    captures.next().is_none().then(|| whole.strip_suffix('/').unwrap_or(&whole).to_owned())
}

/// Whether a path has the template's form, found without a trie.
fn fits(template: &Template, path: &str) -> bool {
    let mut rest: Vec<&str> = if path.is_empty() { Vec::new() } else { path.split('/').collect() };
    rest.reverse();
    for segment in template.segments() {
        match (segment, rest.pop()) {
            (Segment::Rest(_), _) => return true,
            (Segment::Literal(text), Some(part)) if *text == part => {}
            (Segment::Capture(_), Some(_)) => {}
            _ => return false,
        }
    }
    rest.is_empty()
}
