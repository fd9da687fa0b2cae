//! The size table of our own code, and the caps on it.
//!
//! What sets readable code apart is not the median function, which is short everywhere, but the tail. So the budget is
//! on the tail: the ninetieth percentile of function lengths, and hard caps on functions and files.

use anyhow::{Result, bail};

use crate::measure::{self, File, percentile};
use crate::{licences, rules, workspace};

/// Longest function, in lines.
const FUNCTION_CAP: usize = 80;
/// Nine functions of ten are at most so long.
const FUNCTION_P90_CAP: usize = 40;
/// Longest file without its tests, in lines.
const FILE_CAP: usize = 800;
/// Files above this are named, not refused.
const FILE_GOAL: usize = 600;
/// Least share of documentation lines in a library, in percent of its lines without tests.
const DOC_FLOOR: f64 = 10.0;

/// Prints the table, then fails with every finding.
pub(crate) fn run() -> Result<()> {
    let mut findings = Vec::new();
    let mut rows = Vec::new();
    let mut all = Vec::new();
    for member in workspace::members()? {
        let files = measure::files(&member.dir)?;
        let documented = documented(&files);
        if member.library && documented < DOC_FLOOR {
            findings.push(format!(
                "{}: {documented:.1} % of its lines are documentation; a library has at least {DOC_FLOOR} %",
                member.name
            ));
        }
        rows.push(Row::of(&member.name, &files));
        all.extend(files);
    }
    let whole = Row::of("all", &all);
    if whole.functions[1] > FUNCTION_P90_CAP {
        findings.push(format!(
            "the ninetieth percentile of function lengths is {}; the budget is {FUNCTION_P90_CAP}",
            whole.functions[1]
        ));
    }
    rows.push(whole);
    println!("{HEAD}");
    rows.iter().for_each(|row| println!("{}", row.line()));
    findings.extend(all.iter().flat_map(caps));
    findings.extend(rules::findings()?);
    findings.extend(licences::findings()?);
    if !findings.is_empty() {
        bail!("tidy:\n  {}", findings.join("\n  "));
    }
    println!("tidy: holds");
    Ok(())
}

const HEAD: &str = "crate              files   kLOC   file med/p90   fn med/p90/p99   doc%   largest file";

struct Row {
    name: String,
    files: usize,
    lines: usize,
    /// Median and ninetieth percentile of file lengths.
    file: [usize; 2],
    /// Median, ninetieth and ninety-ninth percentile of function lengths.
    functions: [usize; 3],
    doc_percent: f64,
    largest: String,
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "line counts are far below 2^52")]
    fn of(name: &str, files: &[File]) -> Self {
        let mut lengths: Vec<usize> = files.iter().map(|file| file.lines).collect();
        let mut functions: Vec<usize> =
            files.iter().flat_map(|file| file.functions.iter().map(|(_, lines)| *lines)).collect();
        let lines: usize = lengths.iter().sum();
        let docs: usize = files.iter().map(|file| file.doc_lines).sum();
        let largest = files.iter().max_by_key(|file| file.lines).map(|file| {
            let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned());
            format!("{} {}", name.unwrap_or_default(), file.lines)
        });
        Self {
            name: name.to_owned(),
            files: files.len(),
            lines,
            file: [50, 90].map(|percent| percentile(&mut lengths, percent)),
            functions: [50, 90, 99].map(|percent| percentile(&mut functions, percent)),
            doc_percent: docs as f64 * 100.0 / lines.max(1) as f64,
            largest: largest.unwrap_or_default(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "line counts are far below 2^52")]
    fn line(&self) -> String {
        let [file_median, file_p90] = self.file;
        let [median, p90, p99] = self.functions;
        format!(
            "{:<18} {:>5}  {:>5.1}   {:>12}   {:>14}   {:>4.1}   {}",
            self.name,
            self.files,
            self.lines as f64 / 1000.0,
            format!("{file_median} / {file_p90}"),
            format!("{median} / {p90} / {p99}"),
            self.doc_percent,
            self.largest
        )
    }
}

/// Documentation lines in percent of what is not a test.
#[expect(clippy::cast_precision_loss, reason = "line counts are far below 2^52")]
fn documented(files: &[File]) -> f64 {
    let product = || files.iter().filter(|file| file.product_lines > 0);
    let lines: usize = product().map(|file| file.product_lines).sum();
    let docs: usize = product().map(|file| file.doc_lines).sum();
    docs as f64 * 100.0 / lines.max(1) as f64
}

fn caps(file: &File) -> Vec<String> {
    let path = file.path.strip_prefix(workspace::root()).unwrap_or(&file.path).display();
    let mut found: Vec<String> = file
        .functions
        .iter()
        .filter(|(_, lines)| *lines > FUNCTION_CAP)
        .map(|(name, lines)| format!("{path}: fn {name} has {lines} lines; the cap is {FUNCTION_CAP}"))
        .collect();
    if file.product_lines > FILE_CAP {
        found.push(format!("{path}: {} lines without tests; the cap is {FILE_CAP}", file.product_lines));
    } else if file.product_lines > FILE_GOAL {
        println!("note: {path} has {} lines without tests; the goal is {FILE_GOAL}", file.product_lines);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(lines: usize, function: usize) -> File {
        File {
            path: PathBuf::from("a.rs"),
            lines,
            product_lines: lines,
            doc_lines: 10,
            functions: vec![("f".to_owned(), function)],
        }
    }

    #[test]
    fn caps_bite_one_line_above_the_limit() {
        assert!(caps(&file(FILE_CAP, FUNCTION_CAP)).is_empty());
        assert_eq!(caps(&file(FILE_CAP + 1, FUNCTION_CAP + 1)).len(), 2);
    }

    #[test]
    fn a_row_sums_its_files() {
        let row = Row::of("x", &[file(100, 5), file(300, 7)]);
        assert_eq!((row.files, row.lines), (2, 400));
        assert!((row.doc_percent - 5.0).abs() < 1e-9);
        assert!(row.line().contains("a.rs 300"));
        let test = File { product_lines: 0, ..file(900, 5) };
        assert!((documented(&[file(100, 5), test]) - 10.0).abs() < 1e-9, "tests need no documentation");
    }
}
