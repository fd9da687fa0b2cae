//! Values that follow from other variables, found by what is written (`${PASSWORD}`) and by what is there (another
//! secret's value inside). A relation counts only if it reproduces the value byte for byte, and if what stands around
//! the holes may be read by everybody: the template goes into the manifest, in the clear.

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

/// The template of a variable that is composed of secrets, and why.
pub(super) fn infer(
    variable: &Variable,
    sources: &Sources,
    is_secret: &dyn Fn(&str) -> bool,
) -> Option<(Template, String)> {
    let value = variable.value.as_ref()?;
    let (parts, reason) =
        written(variable, sources, is_secret).or_else(|| inside(variable, sources, is_secret))?;
    if !may_be_read(&variable.name, &parts) || holds_a_secret(&parts, sources, is_secret) {
        return None;
    }
    let template = Template::of(parts).ok()?;
    let lookup = |name: &str| sources.variable(name)?.value.as_ref().map(SecretText::duplicate);
    // EXPOSE: compared.
    let same = template.render(lookup).is_ok_and(|made| made.ct_eq(value.expose().as_bytes()));
    same.then_some((template, reason))
}

/// `${NAME}` of a secret, as written in the file. What other references there are must be known too.
fn written(
    variable: &Variable,
    sources: &Sources,
    is_secret: &dyn Fn(&str) -> bool,
) -> Option<(Vec<Part>, String)> {
    let mut parts = Vec::new();
    let mut of = Vec::new();
    // EXPOSE: taken apart; what is secret is replaced by its name.
    for atom in atoms(variable.raw.as_ref()?.expose()) {
        match atom {
            Atom::Literal(text) => parts.push(Part::Text(text.to_owned())),
            Atom::Reference { name, .. } if name != variable.name && sources.variable(name).is_some() => {
                of.extend(is_secret(name).then_some(name));
                parts.push(Part::Hole { name: name.to_owned(), percent: false });
            }
            Atom::Reference { .. } => return None,
        }
    }
    (!of.is_empty()).then(|| (parts, format!("it refers to {}", of.join(", "))))
}

/// Another secret's value inside this one, plain or percent-encoded; the longest explains most.
fn inside(
    variable: &Variable,
    sources: &Sources,
    is_secret: &dyn Fn(&str) -> bool,
) -> Option<(Vec<Part>, String)> {
    // EXPOSE: searched.
    let value = variable.value.as_ref()?.expose();
    let others =
        sources.variables.iter().filter(|other| other.name != variable.name && is_secret(&other.name));
    let found = others.filter_map(|other| {
        // EXPOSE: searched for.
        let plain = other.value.as_ref()?.expose();
        let encoded = percent_encoded(plain)?;
        // EXPOSE: searched for.
        let percent = encoded.expose() != plain && value.contains(encoded.expose().as_str());
        let needle = if percent { encoded.expose() } else { plain };
        let at = place(value, needle)?;
        Some((needle.len(), at, percent, other.name.as_str()))
    });
    let (length, at, percent, name) = found.max_by_key(|(length, ..)| *length)?;
    let parts = vec![
        Part::Text(value.get(..at)?.to_owned()),
        Part::Hole { name: name.to_owned(), percent },
        Part::Text(value.get(at + length..)?.to_owned()),
    ];
    Some((parts, format!("it holds the value of {name}")))
}

fn percent_encoded(plain: &str) -> Option<SecretText> {
    let alone = Template::of([Part::Hole { name: "P".to_owned(), percent: true }]).ok()?;
    alone.render(|_| Some(SecretText::from(plain))).ok()
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
fn holds_a_secret(parts: &[Part], sources: &Sources, is_secret: &dyn Fn(&str) -> bool) -> bool {
    sources
        .variables
        .iter()
        .filter(|variable| is_secret(&variable.name))
        .filter_map(|v| v.value.as_ref())
        .any(|value| {
            value.len() >= SHORTEST_PASSWORD
                && parts.iter().any(|part| match part {
                    // EXPOSE: searched for.
                    Part::Text(text) => text.contains(value.expose().as_str()),
                    Part::Hole { .. } => false,
                })
        })
}
