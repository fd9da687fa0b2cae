//! `xtask abuse`: writes `docs/security/abuse-cases.md` from the list of rows and the tests that are named after them.
//!
//! A row without a test and without a reason is an error, and so is a page that is not current: `xtask ci` checks both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::{measure, workspace};

const ROWS: &str = "docs/security/abuse-rows.toml";
const PAGE: &str = "docs/security/abuse-cases.md";

/// The list of rows, as it stands in its file.
#[derive(Deserialize)]
struct List {
    #[serde(default)]
    reasons: BTreeMap<String, String>,
    #[serde(flatten)]
    chapters: BTreeMap<String, Chapter>,
}

#[derive(Deserialize)]
struct Chapter {
    title: String,
    rows: Vec<(String, String)>,
}

/// A test that is named after a row.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Proof {
    file: String,
    name: String,
}

/// The command: writes the page.
pub(crate) fn run() -> Result<()> {
    let page = page()?;
    let path = workspace::root().join(PAGE);
    fs::write(&path, page).with_context(|| format!("writing {PAGE}"))
}

/// Fails if the page is not what the tests say.
pub(crate) fn check() -> Result<()> {
    let found = fs::read_to_string(workspace::root().join(PAGE)).unwrap_or_default();
    ensure!(found == page()?, "{PAGE} is not current: run `cargo xtask abuse`");
    Ok(())
}

fn page() -> Result<String> {
    let root = workspace::root();
    let text = fs::read_to_string(root.join(ROWS)).with_context(|| format!("reading {ROWS}"))?;
    let list: List = toml::from_str(&text).with_context(|| format!("reading {ROWS}"))?;
    render(&list, &proofs(&root)?)
}

/// Every test of the repository that is named after a row, by row.
fn proofs(root: &Path) -> Result<BTreeMap<String, Vec<Proof>>> {
    let mut found: BTreeMap<String, Vec<Proof>> = BTreeMap::new();
    let mut paths = Vec::new();
    measure::walk(root, &mut |path| paths.push(path.to_path_buf()))?;
    paths.sort();
    for path in paths {
        let names: fn(&str) -> Vec<&str> = match path.extension().and_then(|end| end.to_str()) {
            Some("py") => python_tests,
            Some("rs") => rust_tests,
            _ => continue,
        };
        let file = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
        for name in names(&text) {
            for row in rows_of(name) {
                found.entry(row).or_default().push(Proof { file: file.clone(), name: name.to_owned() });
            }
        }
    }
    Ok(found)
}

/// Functions, and methods of test classes.
fn python_tests<'a>(text: &'a str) -> Vec<&'a str> {
    let plain = |line: &'a str| line.strip_prefix("def test_");
    let method = |line: &'a str| line.strip_prefix("    def test_").filter(|rest| rest.contains("(self"));
    text.lines().filter_map(|line| before_parenthesis(plain(line).or_else(|| method(line))?)).collect()
}

/// Functions that stand right below an attribute which makes them tests.
fn rust_tests(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
            continue;
        }
        let name = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "));
        found.extend(name.filter(|_| is_test).and_then(before_parenthesis));
        is_test = false;
    }
    found
}

fn before_parenthesis(text: &str) -> Option<&str> {
    text.split_once('(').map(|(name, _)| name)
}

/// `b5_list_does_not…` is a proof of row B5, and `i1_i4_nothing_in…` one of I1 and of I4.
fn rows_of(name: &str) -> Vec<String> {
    let Some((words, _)) = name.rsplit_once('_') else { return Vec::new() };
    words.split('_').take_while(|word| is_row(word)).map(str::to_ascii_uppercase).collect()
}

fn is_row(word: &str) -> bool {
    word.split_at_checked(1).is_some_and(|(letter, number)| {
        letter.chars().all(|c| c.is_ascii_lowercase())
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit())
    })
}

fn render(list: &List, proofs: &BTreeMap<String, Vec<Proof>>) -> Result<String> {
    let known: Vec<&String> =
        list.chapters.values().flat_map(|chapter| &chapter.rows).map(|(row, _)| row).collect();
    // Names of other lists (invariants, scenarios) begin with letters that have no chapter here.
    let has_chapter = |row: &&String| list.chapters.keys().any(|letter| row.starts_with(letter.as_str()));
    let strangers: Vec<&String> = proofs
        .keys()
        .filter(has_chapter)
        .chain(list.reasons.keys())
        .filter(|row| !known.contains(row))
        .collect();
    ensure!(strangers.is_empty(), "these rows are not in {ROWS}: {strangers:?}");
    let bare: Vec<&&String> = known
        .iter()
        .filter(|row| !proofs.contains_key(row.as_str()) && !list.reasons.contains_key(row.as_str()))
        .collect();
    if !bare.is_empty() {
        bail!("these rows have neither a test nor a reason: {bare:?}");
    }
    let tested = known.iter().filter(|row| proofs.contains_key(row.as_str())).count();
    let mut page = format!(
        "# Abuse cases\n\nAttacks that worked on secret stores, and what shows that they do not work here. Written by \
         `cargo xtask abuse` from\n`abuse-rows.toml` and the tests that are named after a row; do not edit.\n\n{tested} of \
         {} rows have tests; the others have a reason.\n",
        known.len()
    );
    for (letter, chapter) in &list.chapters {
        write!(
            page,
            "\n## {letter}. {}\n\n| row | what must hold | shown by |\n|---|---|---|\n",
            chapter.title
        )?;
        for (row, about) in &chapter.rows {
            writeln!(page, "| {row} | {about} | {} |", shown_by(list, proofs, row))?;
        }
    }
    Ok(page)
}

fn shown_by(list: &List, proofs: &BTreeMap<String, Vec<Proof>>, row: &str) -> String {
    let mut cells: Vec<String> = proofs
        .get(row)
        .into_iter()
        .flatten()
        .map(|proof| format!("`{}` in [{}](../../{})", proof.name, short(&proof.file), proof.file))
        .collect();
    cells.extend(list.reasons.get(row).map(|reason| format!("*not shown:* {reason}")));
    cells.join("<br>")
}

fn short(file: &str) -> &str {
    file.rsplit_once('/').map_or(file, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_by_their_names() {
        let python = "def test_b5_x(server):\ndef help():\n    def test_no():\n    def test_b6_y(self, z):\n";
        assert_eq!(python_tests(python), ["b5_x", "b6_y"]);
        let rust = "#[test]\nfn h1_y() {}\nfn h2_no() {}\n#[tokio::test]\n#[expect(x)]\nasync fn d7_z() {}";
        assert_eq!(rust_tests(rust), ["h1_y", "d7_z"]);
        assert_eq!(rows_of("b15_x"), ["B15"]);
        assert_eq!(rows_of("i1_i14_p2_x_i3_y"), ["I1", "I14", "P2"]);
        for none in ["by_x", "b_x", "invariant_i5_x", "b15"] {
            assert!(rows_of(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn a_row_needs_a_test_or_a_reason_and_a_test_needs_a_row() {
        let list: List =
            toml::from_str("[A]\ntitle = 't'\nrows = [['A1', 'x'], ['A2', 'y']]\n[reasons]\nA2 = 'no'")
                .unwrap();
        let proof = |row: &str| (row.to_owned(), vec![Proof { file: "t/f.py".into(), name: "a1_x".into() }]);
        let page = render(&list, &BTreeMap::from([proof("A1")])).unwrap();
        assert!(page.contains("1 of 2 rows") && page.contains("*not shown:* no"), "{page}");
        assert!(render(&list, &BTreeMap::new()).unwrap_err().to_string().contains("A1"));
        assert!(
            render(&list, &BTreeMap::from([proof("A1"), proof("A9")]))
                .unwrap_err()
                .to_string()
                .contains("A9")
        );
    }
}
