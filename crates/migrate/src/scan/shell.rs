//! Shell scripts: what they use and have not set. Single quotes, comments and quoted here-documents replace nothing.

use std::collections::BTreeSet;

use super::Reads;

/// What a shell script expects to be given: names that it uses and has not set itself before.
pub(super) fn reads(text: &str) -> Reads {
    let mut script = Script { found: Reads::default(), set: BTreeSet::new(), end_of_document: None };
    for (number, line) in text.lines().enumerate() {
        script.line(line, number + 1);
    }
    script.found
}

struct Script {
    found: Reads,
    set: BTreeSet<String>,
    /// The word that ends a here-document in which nothing is replaced.
    end_of_document: Option<String>,
}

impl Script {
    fn line(&mut self, line: &str, number: usize) {
        if let Some(end) = &self.end_of_document {
            if line.trim() == *end {
                self.end_of_document = None;
            }
            return;
        }
        self.references(line, number);
        self.end_of_document = quoted_document(line);
    }

    fn references(&mut self, line: &str, number: usize) {
        let mut chars = line.char_indices().peekable();
        let (mut double, mut before, mut start) = (false, ' ', 0);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => drop(chars.next()),
                '"' => double = !double,
                '\'' if !double => while chars.next().is_some_and(|(_, c)| c != '\'') {},
                '#' if !double && (before.is_whitespace() || before == ';') => break,
                // What one command sets is there for the next.
                ';' | '&' if !double => {
                    self.assignments(line.get(start..at).unwrap_or_default());
                    start = at + 1;
                }
                '$' => self.reference(line.get(at + 1..).unwrap_or_default(), number),
                _ => {}
            }
            before = c;
        }
        self.assignments(line.get(start..).unwrap_or_default());
    }

    fn reference(&mut self, rest: &str, number: usize) {
        let (inner, braces) = rest.strip_prefix('{').map_or((rest, false), |inner| (inner, true));
        let indirect = braces && inner.starts_with('!');
        let length = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
        let (name, after) =
            (inner.get(..length).unwrap_or_default(), inner.get(length..).unwrap_or_default());
        if indirect {
            self.found.dynamic.push(number);
        } else if !self.set.contains(name) {
            let operation = after.strip_prefix(':').unwrap_or(after);
            let default = braces && operation.starts_with(['-', '+', '=']);
            self.found.add(name, number, default);
        }
    }

    /// `NAME=…`, `export NAME=…`, `for NAME in`, `read NAME`.
    fn assignments(&mut self, line: &str) {
        let code = line.trim_start();
        if code.starts_with('#') {
            return;
        }
        let mut words =
            code.split([' ', '\t', ';', '(', '&', '|']).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            let name = word.split(['=', '+', '[']).next().unwrap_or_default();
            if word.contains('=') && coffre_manifest::is_variable_name(name) {
                self.set.insert(name.to_owned());
                continue;
            }
            match word {
                "export" | "local" | "declare" | "readonly" | "typeset" | "then" | "do" | "else" | "if"
                | "while" => {}
                "for" | "select" => self.set.extend(words.next().map(str::to_owned)),
                "read" => {
                    let names = words.by_ref().take_while(|word| *word != "do" && !word.starts_with('<'));
                    let names: Vec<_> =
                        names.filter(|word| coffre_manifest::is_variable_name(word)).collect();
                    self.set.extend(names.into_iter().map(str::to_owned));
                }
                _ => {}
            }
        }
    }
}

/// The word of `<<'EOF'`.
fn quoted_document(line: &str) -> Option<String> {
    let rest = line.split_once("<<")?.1.trim_start_matches('-').trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let word = rest.get(1..)?.split(quote).next()?;
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Language, reads};

    #[test]
    fn what_a_script_expects() {
        let source = "#!/bin/sh\n# $NO\nX=1; echo \"$X ${A} ${B:-x}\" '$NO' # $NO\nfor f in *; do echo $f; done\nexport C=$D\necho \\$NO ${E?must} $1 ${!name}\ncat <<'EOF'\n$NO\nEOF\nwhile read -r line rest; do echo $line $rest; done\n: ${F:=x}\n";
        let found = reads(source, Language::Shell);
        let shown: Vec<_> = found
            .names
            .iter()
            .map(|read| format!("{}{}:{}", read.name, if read.default { "?" } else { "" }, read.line))
            .collect();
        assert_eq!(shown.join(" "), "A:3 B?:3 D:5 E:6 F?:11");
        assert_eq!(found.dynamic, [6]);
    }
}
