//! Manual pages in roff (man(7)), from the table of commands: one for the program, one for each command.

use std::fmt::Write as _;

use crate::args::global::{HTTP, OUTPUT};
use crate::args::{Flag, Takes};
use crate::commands::{COMMANDS, Command, Run};

/// A page: the name of its file and its text.
pub(crate) struct Page {
    pub(crate) file: String,
    pub(crate) text: String,
}

/// All pages, in the order of the table.
pub(crate) fn pages(program: &str, version: &str) -> Vec<Page> {
    let overview = Page { file: format!("{program}.1"), text: overview(program, version) };
    let each = COMMANDS.iter().map(|command| Page {
        file: format!("{program}-{}.1", command.name.replace(' ', "-")),
        text: of_command(program, version, command),
    });
    std::iter::once(overview).chain(each).collect()
}

fn overview(program: &str, version: &str) -> String {
    let mut text = head(program, version, "secrets: server, command line, migration, launcher");
    let _ = write!(
        text,
        ".SH SYNOPSIS\n.B {program}\n.I command\n[options] [arguments]\n.SH DESCRIPTION\nA server that speaks the HTTP \
         API of HashiCorp Vault, Vault's command line, the way from .env files into a vault, and a\nlauncher. \
         Called\n.B vault\nor\n.BR bao ,\nit behaves as those.\n.SH COMMANDS\n"
    );
    for command in COMMANDS {
        let page = format!("{program}-{}", command.name.replace(' ', "-"));
        let _ = write!(text, ".TP\n.BR {} (1)\n{}\n", escape(&page), escape(command.summary));
    }
    text.push_str(
        ".SH OPTIONS\nEvery command that talks to a server takes these, and reads the variables.\n",
    );
    flags(&mut text, HTTP);
    text.push_str(".PP\nEvery command that prints something takes these.\n");
    flags(&mut text, OUTPUT);
    text.push_str(
        ".SH EXIT STATUS\n.TP\n.B 0\nsuccess\n.TP\n.B 1\na problem here: options, files, arguments\n.TP\n.B 2\nthe server \
         said no, or cannot be reached; for\n.BR status :\nsealed\n",
    );
    text
}

fn of_command(program: &str, version: &str, command: &Command) -> String {
    let title = format!("{program}-{}", command.name.replace(' ', "-"));
    let mut text = head(&title, version, command.summary.trim_end_matches('.'));
    let _ = write!(text, ".SH SYNOPSIS\n.B {} {}\n", escape(program), escape(command.name));
    let _ = writeln!(text, "[options] {}", escape(command.operands));
    let _ = write!(text, ".SH DESCRIPTION\n{}\n", escape(command.summary));
    if !command.flags.is_empty() {
        text.push_str(".SH OPTIONS\n");
        flags(&mut text, command.flags);
    }
    if !matches!(command.run, Run::Raw(_)) {
        let _ = write!(text, ".PP\nThe common options are in\n.BR {} (1).\n", escape(program));
    }
    let _ = write!(text, ".SH SEE ALSO\n.BR {} (1)\n", escape(program));
    text
}

/// Without a date, so that the same release gives the same pages.
fn head(title: &str, version: &str, about: &str) -> String {
    let upper = title.to_ascii_uppercase();
    format!(
        ".TH \"{}\" 1 \"\" \"Coffre {version}\" \"User Commands\"\n.SH NAME\n{} \\- {}\n",
        escape(&upper),
        escape(title),
        escape(about)
    )
}

fn flags(text: &mut String, flags: &[Flag]) {
    for flag in flags {
        let value = if flag.takes == Takes::Nothing { "" } else { "=value" };
        let alias = flag.alias.map(|alias| format!(", -{alias}")).unwrap_or_default();
        let name = escape(&format!("-{}{alias}", flag.name));
        let _ = writeln!(text, ".TP\n.BI \"{name}\" {value}\n{}", escape(flag.summary));
    }
}

/// Backslashes and hyphens are roff's own, and so is whatever is not ASCII; so are dots and quotes at the beginning of a line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\n' => escaped.push(' '),
            c if c.is_ascii() => escaped.push(c),
            c => {
                let _ = write!(escaped, "\\[u{:04X}]", u32::from(c));
            }
        }
    }
    let text = escaped;
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_flag_a_paragraph() {
        let pages = pages("coffre", "1.0");
        assert_eq!(pages.len(), COMMANDS.len() + 1);
        for (command, page) in COMMANDS.iter().zip(pages.iter().skip(1)) {
            assert_eq!(page.file, format!("coffre-{}.1", command.name.replace(' ', "-")));
            assert_eq!(page.text.matches("\n.TP\n").count(), command.flags.len(), "{}", page.file);
            assert!(page.text.starts_with(".TH \"COFFRE\\-"), "{}", page.text);
        }
    }

    #[test]
    fn text_is_never_taken_for_a_request() {
        assert_eq!(escape(".env files"), "\\&.env files");
        assert_eq!(escape("a…"), "a\\[u2026]");
        assert_eq!(escape("a-b \\ c"), "a\\-b \\e c");
        for page in pages("coffre", "1.0") {
            for line in page.text.lines().filter(|line| line.starts_with('.')) {
                let request = line.split(' ').next().unwrap();
                assert!([".TH", ".SH", ".B", ".I", ".BR", ".BI", ".TP", ".PP"].contains(&request), "{line}");
            }
        }
    }
}
