//! What a pipeline gives.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_ambient::ids;
use coffre_crypto::digest;

use super::parse::Command;
use super::{Error, Seed, Term, bounded, invalid, layout};
use crate::ErrorKind;

/// The longest `random` text.
const MAX_RANDOM: usize = 128;

/// The text of a pipeline: each command gets the result of the one before as its last argument.
pub(super) fn value(pipeline: &[Command], seed: &Seed<'_>) -> Result<String, Error> {
    let mut last: Option<String> = None;
    for command in pipeline {
        let Some((head, rest)) = command.split_first() else { continue };
        let mut arguments = rest.iter().map(|term| operand(term, seed)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(last.take());
        let made = match head {
            Term::Function(name) => call(name, &arguments, seed)?,
            _ if arguments.is_empty() => operand(head, seed)?,
            _ => {
                return Err(invalid(
                    "the username template gives arguments to something that is no function",
                ));
            }
        };
        bounded(&made)?;
        last = Some(made);
    }
    Ok(last.unwrap_or_default())
}

/// What a term stands for.
fn operand(term: &Term, seed: &Seed<'_>) -> Result<String, Error> {
    match term {
        Term::Text(text) => Ok(text.clone()),
        Term::Number(number) => Ok(number.to_string()),
        Term::DisplayName => Ok(seed.display_name.to_owned()),
        Term::RoleName => Ok(seed.role_name.to_owned()),
        Term::Function(name) => call(name, &[], seed),
        Term::Group(pipeline) => value(pipeline, seed),
    }
}

fn call(name: &str, arguments: &[String], seed: &Seed<'_>) -> Result<String, Error> {
    match (name, arguments) {
        ("random", [length]) => {
            let length = number(name, length, 1, MAX_RANDOM)?;
            ids::base62(seed.entropy, length).map_err(no_entropy)
        }
        ("uuid", []) => ids::uuid(seed.entropy).map_err(no_entropy),
        ("truncate", [length, text]) => {
            let length = number(name, length, 1, usize::MAX)?;
            Ok(head(text, length).to_owned())
        }
        ("truncate_sha256", [length, text]) => truncate_sha256(number(name, length, 9, usize::MAX)?, text),
        ("lowercase", [text]) => Ok(text.to_lowercase()),
        ("uppercase", [text]) => Ok(text.to_uppercase()),
        ("replace", [from, to, text]) => replace(from, to, text),
        ("sha256", [text]) => Ok(digest::hex(&digest::sha256(text.as_bytes()))),
        ("base64", [text]) => Ok(STANDARD.encode(text)),
        ("unix_time", []) => Ok(seed.now.secs().to_string()),
        ("unix_time_millis", []) => Ok((seed.now.nanos() / 1_000_000).to_string()),
        ("timestamp", [form]) => layout::render(form, seed.now),
        ("printf", [form, arguments @ ..]) => printf(form, arguments),
        (
            "random" | "uuid" | "truncate" | "truncate_sha256" | "lowercase" | "uppercase" | "replace"
            | "sha256" | "base64" | "unix_time" | "unix_time_millis" | "timestamp" | "printf",
            _,
        ) => Err(invalid(format!("`{name}` in the username template has not the arguments it takes"))),
        _ => Err(invalid(format!("the username template calls `{name}`, which is no function here"))),
    }
}

fn number(function: &str, text: &str, least: usize, most: usize) -> Result<usize, Error> {
    let read = text.parse::<usize>().ok().filter(|number| (least..=most).contains(number));
    read.ok_or_else(|| {
        let most = if most == usize::MAX { "any number".to_owned() } else { most.to_string() };
        invalid(format!("`{function}` in the username template takes {least} to {most}"))
    })
}

/// The longest beginning of at most so many bytes that ends between two characters.
fn head(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// Cut, with the first eight digits of the digest of what was cut off at the end.
fn truncate_sha256(length: usize, text: &str) -> Result<String, Error> {
    if text.len() <= length {
        return Ok(text.to_owned());
    }
    let kept = head(text, length.saturating_sub(8));
    let cut = text.get(kept.len()..).unwrap_or_default();
    Ok(format!("{kept}{}", head(&digest::hex(&digest::sha256(cut.as_bytes())), 8)))
}

fn replace(from: &str, to: &str, text: &str) -> Result<String, Error> {
    // At most one more place than there are bytes; checked before the memory is taken.
    let places = text.len().saturating_add(1);
    if places.saturating_mul(to.len()) > 1 << 20 {
        return Err(invalid("the username template makes a text of more than can be"));
    }
    Ok(text.replace(from, to))
}

/// Go's verbs `%s`, `%v`, `%d` and `%%`; as many arguments as verbs.
fn printf(form: &str, arguments: &[String]) -> Result<String, Error> {
    let wrong = || invalid("`printf` in the username template: the verbs %s, %v, %d and as many arguments");
    let mut made = String::new();
    let mut arguments = arguments.iter();
    let mut chars = form.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => match chars.next() {
                Some('%') => made.push('%'),
                Some('s' | 'v' | 'd') => made.push_str(arguments.next().ok_or_else(wrong)?),
                _ => return Err(wrong()),
            },
            _ => made.push(c),
        }
    }
    if arguments.next().is_some() { Err(wrong()) } else { Ok(made) }
}

fn no_entropy(failed: coffre_ambient::EntropyFailed) -> Error {
    Error::new(ErrorKind::Failed, failed.to_string())
}
