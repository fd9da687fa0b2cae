//! Values that follow from other variables, found by what is written (`${PASSWORD}`) and by what is there (another
//! secret's value inside). A relation counts only if it reproduces the value byte for byte, and if what stands around
//! the holes may be read by everybody: the template goes into the manifest, in the clear.

use std::collections::BTreeSet;

use coffre_dotenv::{Atom, atoms};
use coffre_manifest::{Part, Template};
use coffre_secret::SecretText;

use super::{names, shapes};
use crate::source::{Sources, Variable};

/// Shorter values turn up inside others by chance.
const SHORTEST_INSIDE: usize = 8;
/// As the whole password of a URL even a short one is no chance.
const SHORTEST_PASSWORD: usize = 4;
/// Stands for a hole while the text around it is examined.
const HOLE: char = '\0';

/// A secret to be found inside other values.
pub(super) struct Needle {
    name: String,
    plain: SecretText,
    /// Percent-encoded, if that is another text.
    encoded: Option<SecretText>,
}

/// The secrets that are long enough to be found.
pub(super) fn needles(sources: &Sources, secrets: &BTreeSet<String>) -> Vec<Needle> {
    let among = sources.variables.iter().filter(|variable| secrets.contains(&variable.name));
    let valued = among.filter_map(|variable| Some((variable.name.clone(), variable.value.as_ref()?)));
    let long = valued.filter(|(_, value)| value.len() >= SHORTEST_PASSWORD);
    long.map(|(name, value)| {
        // EXPOSE: compared.
        let encoded = percent_encoded(value).filter(|encoded| encoded.expose() != value.expose());
        Needle { name, plain: value.duplicate(), encoded }
    })
    .collect()
}

/// The template of a variable that is composed of secrets, and why.
pub(super) fn infer(
    variable: &Variable,
    sources: &Sources,
    secrets: &BTreeSet<String>,
    needles: &[Needle],
) -> Option<(Template, String)> {
    let value = variable.value.as_ref()?;
    let needles =
        || needles.iter().filter(|needle| needle.name != variable.name && secrets.contains(&needle.name));
    let (parts, reason) = written(variable, sources, secrets).or_else(|| inside(value, needles()))?;
    if !may_be_read(&variable.name, &parts) || needles().any(|needle| stands_in(needle, &parts)) {
        return None;
    }
    let template = Template::of(parts).ok()?;
    let lookup = |name: &str| sources.variable(name)?.value.as_ref().map(SecretText::duplicate);
    // EXPOSE: compared.
    let same = template.render(lookup).is_ok_and(|made| made.ct_eq(value.expose().as_bytes()));
    same.then_some((template, reason))
}

/// Whether the value holds a secret, by reference to one of these names or by its bytes; and how.
pub(super) fn holds(variable: &Variable, names: &[&BTreeSet<String>], needles: &[Needle]) -> Option<String> {
    // EXPOSE: only names are taken.
    let written = atoms(variable.raw.as_ref()?.expose()).into_iter().find_map(|atom| match atom {
        Atom::Reference { name, .. } if names.iter().any(|names| names.contains(name)) => Some(name),
        _ => None,
    });
    if let Some(name) = written {
        return Some(format!("it refers to {name}"));
    }
    let others = needles.iter().filter(|needle| needle.name != variable.name);
    inside(variable.value.as_ref()?, others).map(|(_, reason)| reason)
}

/// `${NAME}` of a secret, as written in the file. What other references there are must be known too.
fn written(
    variable: &Variable,
    sources: &Sources,
    secrets: &BTreeSet<String>,
) -> Option<(Vec<Part>, String)> {
    let mut parts = Vec::new();
    let mut of = Vec::new();
    // EXPOSE: taken apart; what is secret is replaced by its name.
    for atom in atoms(variable.raw.as_ref()?.expose()) {
        match atom {
            Atom::Literal(text) => parts.push(Part::Text(text.to_owned())),
            Atom::Reference { name, .. } if name != variable.name && sources.variable(name).is_some() => {
                of.extend(secrets.contains(name).then_some(name));
                parts.push(Part::Hole { name: name.to_owned(), percent: false });
            }
            Atom::Reference { .. } => return None,
        }
    }
    (!of.is_empty()).then(|| (parts, format!("it refers to {}", of.join(", "))))
}

/// Another secret's value inside this one, plain or percent-encoded; the longest explains most.
fn inside<'a>(value: &SecretText, needles: impl Iterator<Item = &'a Needle>) -> Option<(Vec<Part>, String)> {
    // EXPOSE: searched.
    let value = value.expose();
    let found = needles.filter_map(|needle| {
        // EXPOSE: searched for.
        let encoded = needle.encoded.as_ref();
        let encoded = encoded.and_then(|encoded| Some((encoded, place(value, encoded.expose())?, true)));
        let (text, at, percent) =
            encoded.or_else(|| Some((&needle.plain, place(value, needle.plain.expose())?, false)))?;
        Some((text.len(), at, percent, needle.name.as_str()))
    });
    let (length, at, percent, name) = found.max_by_key(|(length, ..)| *length)?;
    let parts = vec![
        Part::Text(value.get(..at)?.to_owned()),
        Part::Hole { name: name.to_owned(), percent },
        Part::Text(value.get(at + length..)?.to_owned()),
    ];
    Some((parts, format!("it holds the value of {name}")))
}

fn percent_encoded(plain: &SecretText) -> Option<SecretText> {
    let alone = Template::of([Part::Hole { name: "P".to_owned(), percent: true }]).ok()?;
    alone.render(|_| Some(plain.duplicate())).ok()
}

/// Where the needle stands so that it is no chance: as the whole password of a URL, or long and inside.
fn place(value: &str, needle: &str) -> Option<usize> {
    let password = url_password(value).filter(|(_, password)| *password == needle);
    if let Some((at, _)) = password.filter(|_| needle.len() >= SHORTEST_PASSWORD) {
        return Some(at);
    }
    value.find(needle).filter(|_| needle.len() >= SHORTEST_INSIDE && needle.len() < value.len())
}

/// The text between the first `:` and the last `@` behind `://`, still encoded, and where it begins.
fn url_password(value: &str) -> Option<(usize, &str)> {
    let start = value.find("://")? + 3;
    let userinfo = value.get(start..)?.rsplit_once('@')?.0;
    let colon = userinfo.find(':')?;
    userinfo.get(colon + 1..).map(|password| (start + colon + 1, password))
}

/// Whether the text around the holes gives nothing away.
fn may_be_read(name: &str, parts: &[Part]) -> bool {
    let skeleton: String = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Hole { .. } => HOLE.to_string(),
        })
        .collect();
    let readable = |piece: &str| piece.chars().all(|c| c == HOLE);
    let random =
        skeleton.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).any(shapes::looks_random);
    if random || !secret_pairs(&skeleton).all(readable) {
        return false;
    }
    if skeleton.contains("://") {
        return url_password(&skeleton).is_none_or(|(_, password)| readable(password));
    }
    if secret_pairs(&skeleton).next().is_some() {
        return true;
    }
    // Without a structure to tell which part is which, text beside a secret may be part of it.
    let longest =
        skeleton.split(|c: char| !c.is_ascii_alphanumeric()).map(str::len).max().unwrap_or_default();
    longest < 4
        || names::names_a_secret(name).is_none()
            && shapes::setting_format(&skeleton.replace(HOLE, "")).is_some()
}

/// What is assigned to names that speak of secrets: `password=…;`, `&token=…`.
fn secret_pairs(text: &str) -> impl Iterator<Item = &str> {
    text.split(['?', '&', ';', ' ', ',']).filter_map(|pair| pair.split_once('=')).filter_map(
        |(name, value)| {
            let word =
                name.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
            names::names_a_secret(word).map(|_| value)
        },
    )
}

/// Whether a further secret's value is left in the text.
fn stands_in(needle: &Needle, parts: &[Part]) -> bool {
    parts.iter().any(|part| match part {
        // EXPOSE: searched for.
        Part::Text(text) => text.contains(needle.plain.expose().as_str()),
        Part::Hole { .. } => false,
    })
}
