//! JavaScript and TypeScript: `process.env`, `import.meta.env`, Deno's and Bun's, by member, by text, taken apart, and
//! under another name. What is assigned to is set, not asked for.

use std::collections::BTreeSet;

use super::tokens::Token;
use super::{Argument, Reads, View};

/// Set by Vite itself.
const BUILT_IN: &[&str] = &["MODE", "BASE_URL", "PROD", "DEV", "SSR"];

pub(super) fn reads(tokens: &[Token]) -> Reads {
    let view = View::new(tokens);
    let mut found = Reads::default();
    let mut aliases = BTreeSet::new();
    for place in 0..tokens.len() {
        let Some((start, after)) = environment(&view, place) else { continue };
        member(&view, place, after, &mut found);
        destructured(&view, start, after, &mut found);
        if let Some(alias) = alias(&view, start, after) {
            aliases.insert(alias);
        }
        if view.is(after, ')')
            && start >= 4
            && view.word(start - 2).is_some_and(|word| matches!(word, "keys" | "entries"))
        {
            found.dynamic.push(view.line(place));
        }
    }
    for (place, token) in tokens.iter().enumerate() {
        let free = place == 0 || !view.is(place - 1, '.');
        if free && token.word().is_some_and(|word| aliases.contains(word)) {
            member(&view, place, place + 1, &mut found);
            destructured(&view, place, place + 1, &mut found);
        }
    }
    found
}

/// `process.env`, `import.meta.env`, `Bun.env` or `Deno.env` at this place: where it begins, and what follows it.
fn environment(view: &View<'_>, place: usize) -> Option<(usize, usize)> {
    let forms: [&[&str]; 5] = [
        &["process", ".", "env"],
        &["process", "?", ".", "env"],
        &["import", ".", "meta", ".", "env"],
        &["Bun", ".", "env"],
        &["Deno", ".", "env"],
    ];
    let after = forms.iter().find_map(|form| view.follows(place, form))?;
    // `globalThis.process.env`
    let start = if place >= 2 && view.is(place - 1, '.') { place - 2 } else { place };
    Some((start, after))
}

fn member(view: &View<'_>, place: usize, after: usize, found: &mut Reads) {
    let line = view.line(place);
    // `?.`
    let after = if view.is(after, '?') && view.is(after + 1, '.') { after + 1 } else { after };
    let open = if view.is(after, '.') && view.is(after + 1, '[') { after + 1 } else { after };
    if view.is(open, '[') {
        match view.argument(open + 1) {
            Some(Argument::Name(name)) if !name.contains("${") => add(view, name, open + 3, line, found),
            _ => found.dynamic.push(line),
        }
        return;
    }
    // `"X" in process.env`
    if place >= 2
        && view.word(place - 1) == Some("in")
        && let Some(name) = view.at(place - 2).and_then(Token::text)
    {
        found.add(name, line, true);
    }
    if !view.is(after, '.') {
        return;
    }
    let Some(word) = view.word(after + 1) else { return };
    // Deno's is a function.
    if matches!(word, "get" | "has") && view.is(after + 2, '(') {
        match view.argument(after + 3) {
            Some(Argument::Name(name)) => add(view, name, after + 5, line, found),
            _ => found.dynamic.push(line),
        }
        return;
    }
    if word == "toObject" {
        found.dynamic.push(line);
        return;
    }
    add(view, word, after + 2, line, found);
}

/// A read, unless it is assigned to; `next` is what follows the name.
fn add(view: &View<'_>, name: &str, next: usize, line: usize, found: &mut Reads) {
    let assigned = view.is(next, '=') && !view.is(next + 1, '=');
    if assigned || BUILT_IN.contains(&name) {
        return;
    }
    let or = |sign: char| view.is(next, sign) && view.is(next + 1, sign);
    found.add(name, line, or('|') || or('?') || view.is(next, '?'));
}

/// `const { A, B: b, C = "x" } = process.env`.
fn destructured(view: &View<'_>, start: usize, after: usize, found: &mut Reads) {
    if start < 2
        || !view.is(start - 1, '=')
        || !view.is(start - 2, '}')
        || view.is(after, '.')
        || view.is(after, '[')
    {
        return;
    }
    let mut depth = 0_usize;
    let mut open = start - 2;
    loop {
        if view.is(open, '}') {
            depth += 1;
        } else if view.is(open, '{') {
            depth -= 1;
        }
        if depth == 0 {
            break;
        }
        let Some(before) = open.checked_sub(1) else { return };
        open = before;
    }
    let mut depth = 0_usize;
    let mut at_key = true;
    for place in open + 1..start - 2 {
        let Some(token) = view.at(place) else { break };
        if ['{', '(', '['].iter().any(|sign| token.is(*sign)) {
            depth += 1;
        } else if ['}', ')', ']'].iter().any(|sign| token.is(*sign)) {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && token.is(',') {
            at_key = true;
            continue;
        } else if depth == 0 && at_key && token.is('.') {
            found.dynamic.push(token.line);
        } else if let Some(name) = token.word().or_else(|| token.text()).filter(|_| depth == 0 && at_key) {
            add_key(view, name, place, found);
        }
        at_key = false;
    }
}

fn add_key(view: &View<'_>, name: &str, place: usize, found: &mut Reads) {
    let renamed = if view.is(place + 1, ':') { place + 3 } else { place + 1 };
    found.add(name, view.line(place), view.is(renamed, '='));
}

/// `const env = process.env;`
fn alias<'a>(view: &View<'a>, start: usize, after: usize) -> Option<&'a str> {
    let whole = !view.is(after, '.') && !view.is(after, '[') && !view.is(after, '?');
    (whole && start >= 2 && view.is(start - 1, '=')).then(|| view.word(start - 2)).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::{Language, reads};

    fn names(source: &str) -> String {
        let found = reads(source, Language::JavaScript);
        let shown: Vec<_> = found
            .names
            .iter()
            .map(|read| format!("{}{}:{}", read.name, if read.default { "?" } else { "" }, read.line))
            .collect();
        format!("{} / {:?}", shown.join(" "), found.dynamic)
    }

    #[test]
    fn every_way_to_ask() {
        let source = r#"const a = process.env.A, b = process.env["B"] || 'x'; // process.env.NO
const { C, D: d, E = "x", 'F': f, ...rest } = process.env;
/* process.env.NO */ const t = `${process.env.G}` + "process.env.NO";
import.meta.env.VITE_H; import.meta.env.MODE; process.env[name]; process.env.I = "1";
const env = process.env;
env.J ?? 1; other.env.NO; env["K"]; process?.env?.L; Deno.env.get("M"); Object.keys(process.env);
if ("N" in process.env) {} const NAME = 'O'; process.env[NAME]; process.env.P === 'x';
"#;
        assert_eq!(
            names(source),
            "A:1 B?:1 C:2 D:2 E?:2 F:2 G:3 VITE_H:4 J?:6 K:6 L:6 M:6 N?:7 O:7 P:7 / [2, 4, 6]"
        );
    }
}
