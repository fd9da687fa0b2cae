//! pydantic: each annotated field of a class that derives from `BaseSettings` is a variable.

use std::collections::BTreeMap;

use super::tokens::Token;
use super::{Reads, View};

pub(super) fn fields(view: &View<'_>) -> Reads {
    let mut found = Reads::default();
    // Classes that read settings, with the prefix of their variables.
    let mut known: BTreeMap<&str, String> = BTreeMap::new();
    for (place, token) in view.tokens.iter().enumerate() {
        if token.word() != Some("class") || !token.first {
            continue;
        }
        let Some(name) = view.word(place + 1) else { continue };
        let Some(end) = header_end(view, place + 2) else { continue };
        let bases = view.tokens.get(place + 2..end).unwrap_or_default().iter().filter_map(Token::word);
        let inherited = bases.clone().find_map(|base| known.get(base).cloned());
        let settings = inherited.is_some() || bases.clone().any(|base| base == "BaseSettings");
        if !settings {
            continue;
        }
        let body = body(view, token.column, end + 1);
        let prefix = prefix(body).or(inherited).unwrap_or_default();
        for statement in statements(body) {
            field(statement, &prefix, &mut found);
        }
        known.insert(name, prefix);
    }
    found
}

/// The colon that ends the class's header.
fn header_end(view: &View<'_>, from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, token) in view.tokens.iter().enumerate().skip(from) {
        match &token.kind {
            kind if *kind == super::tokens::Kind::Sign('(') => depth += 1,
            kind if *kind == super::tokens::Kind::Sign(')') => depth = depth.saturating_sub(1),
            kind if *kind == super::tokens::Kind::Sign(':') && depth == 0 => return Some(place),
            _ if token.first && depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The tokens that are indented further than the class.
fn body<'a>(view: &View<'a>, column: usize, from: usize) -> &'a [Token] {
    let tail = view.tokens.get(from..).unwrap_or_default();
    let mut depth = 0_usize;
    let end = tail.iter().position(|token| {
        let ends = token.first && depth == 0 && token.column <= column;
        depth = deeper(depth, token);
        ends
    });
    tail.get(..end.unwrap_or(tail.len())).unwrap_or_default()
}

fn deeper(depth: usize, token: &Token) -> usize {
    if ['(', '[', '{'].iter().any(|sign| token.is(*sign)) {
        depth + 1
    } else if [')', ']', '}'].iter().any(|sign| token.is(*sign)) {
        depth.saturating_sub(1)
    } else {
        depth
    }
}

/// The statements at the body's own indentation; a statement goes on over brackets.
fn statements(body: &[Token]) -> Vec<&[Token]> {
    let Some(column) = body.iter().find(|token| token.first).map(|token| token.column) else { return vec![] };
    let mut starts = Vec::new();
    let mut depth = 0_usize;
    for (place, token) in body.iter().enumerate() {
        if token.first && depth == 0 && token.column == column {
            starts.push(place);
        }
        depth = deeper(depth, token);
    }
    let ends = starts.iter().skip(1).copied().chain([body.len()]);
    starts.iter().copied().zip(ends).filter_map(|(start, end)| body.get(start..end)).collect()
}

/// `env_prefix = "…"`, in `model_config` or in `class Config`.
fn prefix(body: &[Token]) -> Option<String> {
    body.windows(3).find_map(|window| match window {
        [name, sign, text] if name.word() == Some("env_prefix") && sign.is('=') => {
            text.text().map(str::to_owned)
        }
        [name, sign, text] if name.text() == Some("env_prefix") && sign.is(':') => {
            text.text().map(str::to_owned)
        }
        _ => None,
    })
}

fn field(statement: &[Token], prefix: &str, found: &mut Reads) {
    let [name, colon, rest @ ..] = statement else { return };
    let Some(word) = name.word().filter(|word| colon.is(':') && *word != "model_config") else { return };
    if rest.first().and_then(Token::word).is_some_and(|kind| kind == "ClassVar") {
        return;
    }
    let aliases = aliases(rest);
    let given = rest.iter().position(|token| token.is('='));
    let value = given.and_then(|place| rest.get(place + 1..)).unwrap_or_default();
    // `Field(...)` without a default is a required field with more to say.
    let field = value.first().and_then(Token::word) == Some("Field");
    let has = |wanted: &str| value.iter().any(|token| token.word() == Some(wanted));
    let first = value.get(2);
    let positional = first.is_some_and(|token| !token.is('.') && !token.is(')'))
        && !value.get(3).is_some_and(|token| token.is('='));
    let default = match (given, field) {
        (None, _) => false,
        (Some(_), false) => true,
        (Some(_), true) => has("default") || has("default_factory") || positional,
    };
    if aliases.is_empty() {
        found.add(&format!("{prefix}{word}").to_uppercase(), name.line, default);
    }
    // Of several, one is enough.
    for alias in &aliases {
        found.add(alias, name.line, default || aliases.len() > 1);
    }
}

/// `alias=`, `validation_alias=` and `env=`, as one text or several.
fn aliases(tokens: &[Token]) -> Vec<&str> {
    let named = |token: &Token| matches!(token.word(), Some("alias" | "validation_alias" | "env"));
    let Some(place) = tokens.windows(2).position(|pair| match pair {
        [name, sign] => named(name) && sign.is('='),
        _ => false,
    }) else {
        return vec![];
    };
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for token in tokens.get(place + 2..).unwrap_or_default() {
        if depth == 0 && (token.is(',') || token.is(')')) {
            break;
        }
        depth = deeper(depth, token);
        found.extend(token.text());
    }
    found
}
