use std::collections::{BTreeMap, HashMap};
use std::fmt;

use coffre_secret::SecretText;

use crate::document::{Document, Quoting};
use crate::lexer::is_space;

/// Where names that a file refers to but does not define come from; never the real environment by itself.
pub trait EnvLookup {
    /// The value of the name, if it is defined (an empty value is defined).
    fn lookup(&self, name: &str) -> Option<SecretText>;
}

impl<F: Fn(&str) -> Option<SecretText>> EnvLookup for F {
    fn lookup(&self, name: &str) -> Option<SecretText> {
        self(name)
    }
}

impl EnvLookup for BTreeMap<String, String> {
    fn lookup(&self, name: &str) -> Option<SecretText> {
        self.get(name).map(|value| value.as_str().into())
    }
}

/// Who wins when both the file and the environment define a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precedence {
    /// `override=True`, and always inside `dotenv_values`.
    FileFirst,
    /// `override=False`, the default of `load_dotenv`.
    EnvironmentFirst,
}

/// Whether `${NAME}` is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interpolation {
    /// Replaced: the default.
    On,
    /// Left as written (`interpolate=False`).
    Off,
}

/// Names with their values, `None` for a key without `=`. In file order; a duplicate keeps the first's place and takes
/// the last's value.
#[derive(Default)]
pub struct Values {
    entries: Vec<(String, Option<SecretText>)>,
    places: HashMap<String, usize>,
}

impl Values {
    /// The value: outer `None` if there is no such key, inner `None` if the key has no value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Option<&SecretText>> {
        let place = self.places.get(key)?;
        self.entries.get(*place).map(|(_, value)| value.as_ref())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&SecretText>)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_ref()))
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn set(&mut self, key: &str, value: Option<SecretText>) {
        if let Some(entry) = self.places.get(key).and_then(|place| self.entries.get_mut(*place)) {
            entry.1 = value;
        } else {
            self.places.insert(key.to_owned(), self.entries.len());
            self.entries.push((key.to_owned(), value));
        }
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Values({} keys)", self.entries.len())
    }
}

/// What `load_dotenv` does to the environment.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The assignments, in order.
    pub set: Vec<(String, SecretText)>,
    /// The assignment at which Python raises ValueError, after those in `set` have happened.
    pub stopped: Option<Stopped>,
}

/// Why loading ends half-way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Stopped {
    /// The name has `=` in it or a NUL character.
    #[error(
        "a name holds `=` or a NUL character, which no environment variable can; load_dotenv stops there"
    )]
    Name,
    /// The value has a NUL character.
    #[error("a value holds a NUL character, which no environment variable can; load_dotenv stops there")]
    Nul,
}

impl Document {
    /// python-dotenv's `dotenv_values` (with [`Precedence::FileFirst`]), or the map that `load_dotenv` starts from.
    #[must_use]
    pub fn values(
        &self,
        env: &dyn EnvLookup,
        precedence: Precedence,
        interpolation: Interpolation,
    ) -> Values {
        let mut values = Values::default();
        for (_, binding) in self.bindings() {
            let value = binding.value.as_ref().map(|raw| match interpolation {
                // EXPOSE: to replace its references; the result is secret again.
                Interpolation::On => interpolate(raw.expose(), &values, env, precedence),
                Interpolation::Off => raw.duplicate(),
            });
            values.set(&binding.key, value);
        }
        values
    }

    /// python-dotenv's `load_dotenv`: what it assigns, given the environment before. Keys without a value assign
    /// nothing; an existing name stays unless the file comes first.
    #[must_use]
    pub fn load(&self, env: &dyn EnvLookup, precedence: Precedence, interpolation: Interpolation) -> Loaded {
        let mut loaded = Loaded::default();
        for (key, value) in self.values(env, precedence, interpolation).entries {
            if precedence == Precedence::EnvironmentFirst && env.lookup(&key).is_some() {
                continue;
            }
            let Some(value) = value else { continue };
            // EXPOSE: looks for NUL only.
            loaded.stopped = match (key.contains(['=', '\0']), value.expose().contains('\0')) {
                (true, _) => Some(Stopped::Name),
                (_, true) => Some(Stopped::Nul),
                _ => None,
            };
            if loaded.stopped.is_some() {
                break;
            }
            loaded.set.push((key, value));
        }
        loaded
    }
}

/// A piece of a value: text, or a reference `${name}` or `${name:-default}`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Atom<'a> {
    /// Text that stays.
    Literal(&'a str),
    /// A reference.
    Reference {
        /// The name between `${` and `}` or `:-`; any text without `}` and `:`.
        name: &'a str,
        /// What stands in when the name is absent (not when it is empty).
        default: Option<&'a str>,
    },
}

impl fmt::Debug for Atom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Literal(_) => "Literal",
            Self::Reference { .. } => "Reference",
        })
    }
}

/// Splits a value at its references. Linear in its length, whatever it holds.
#[must_use]
pub fn atoms(value: &str) -> Vec<Atom<'_>> {
    let mut found = Vec::new();
    let (mut literal, mut at) = (0, 0);
    let (mut stops, mut closes) = (Ahead::new(value, &['}', ':']), Ahead::new(value, &['}']));
    while let Some(open) = value.get(at..).and_then(|rest| rest.find("${")).map(|offset| at + offset) {
        let Some((reference, end)) = reference(value, open + 2, &mut stops, &mut closes) else {
            at = open + 2;
            continue;
        };
        push_literal(&mut found, value, literal, open);
        found.push(reference);
        (literal, at) = (end, end);
    }
    push_literal(&mut found, value, literal, value.len());
    found
}

fn push_literal<'a>(found: &mut Vec<Atom<'a>>, value: &'a str, from: usize, to: usize) {
    if let Some(text) = value.get(from..to).filter(|text| !text.is_empty()) {
        found.push(Atom::Literal(text));
    }
}

fn reference<'a>(
    value: &'a str,
    start: usize,
    stops: &mut Ahead<'a>,
    closes: &mut Ahead<'a>,
) -> Option<(Atom<'a>, usize)> {
    let stop = stops.from(start)?;
    let name = value.get(start..stop)?;
    if value.get(stop..)?.starts_with('}') {
        return Some((Atom::Reference { name, default: None }, stop + 1));
    }
    if !value.get(stop..)?.starts_with(":-") {
        return None;
    }
    let close = closes.from(stop + 2)?;
    Some((Atom::Reference { name, default: value.get(stop + 2..close) }, close + 1))
}

/// Finds the next of some characters, and remembers it, so that many questions cost one pass.
struct Ahead<'a> {
    text: &'a str,
    wanted: &'static [char],
    asked: usize,
    found: Option<usize>,
}

impl<'a> Ahead<'a> {
    fn new(text: &'a str, wanted: &'static [char]) -> Self {
        Self { text, wanted, asked: 0, found: text.find(wanted) }
    }

    /// The first at or after `start`; `start` never goes back by more than a found answer allows.
    fn from(&mut self, start: usize) -> Option<usize> {
        let known = start >= self.asked && self.found.is_none_or(|found| found >= start);
        if !known {
            self.asked = start;
            self.found = self.text.get(start..)?.find(self.wanted).map(|offset| start + offset);
        }
        self.found
    }
}

fn interpolate(raw: &str, file: &Values, env: &dyn EnvLookup, precedence: Precedence) -> SecretText {
    let mut result = SecretText::default();
    for atom in atoms(raw) {
        match atom {
            Atom::Literal(text) => result.expose_mut().push_str(text),
            Atom::Reference { name, default } => {
                // A key without a value hides the environment's, and counts as empty.
                let from_file =
                    || file.get(name).map(|value| value.map(SecretText::duplicate).unwrap_or_default());
                let value = match precedence {
                    Precedence::FileFirst => from_file().or_else(|| env.lookup(name)),
                    Precedence::EnvironmentFirst => env.lookup(name).or_else(from_file),
                };
                // EXPOSE: goes from one secret into another.
                result
                    .expose_mut()
                    .push_str(value.as_ref().map_or(default.unwrap_or_default(), |v| v.expose().as_str()));
            }
        }
    }
    result
}

/// The part of an unquoted value that stands before its comment: a run of white space with `#` behind it.
pub(crate) fn before_comment(line: &str) -> &str {
    let mut run = None;
    for (at, c) in line.char_indices() {
        match (is_space(c), run) {
            (true, None) => run = Some(at),
            (true, Some(_)) => {}
            (false, Some(start)) if c == '#' => return line.get(..start).unwrap_or_default(),
            (false, _) => run = None,
        }
    }
    line
}

/// Replaces the escapes that this kind of quotes knows; any other backslash stays.
pub(crate) fn decode(raw: &str, quoting: Quoting) -> String {
    let mut decoded = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        let escape = if c == '\\' { chars.peek().and_then(|next| escaped(*next, quoting)) } else { None };
        if escape.is_some() {
            chars.next();
        }
        decoded.push(escape.unwrap_or(c));
    }
    decoded
}

fn escaped(c: char, quoting: Quoting) -> Option<char> {
    match (quoting, c) {
        (Quoting::None, _) => None,
        (_, '\\' | '\'') => Some(c),
        (Quoting::Single, _) => None,
        (Quoting::Double, '"') => Some('"'),
        (Quoting::Double, 'a') => Some('\u{7}'),
        (Quoting::Double, 'b') => Some('\u{8}'),
        (Quoting::Double, 'f') => Some('\u{c}'),
        (Quoting::Double, 'n') => Some('\n'),
        (Quoting::Double, 'r') => Some('\r'),
        (Quoting::Double, 't') => Some('\t'),
        (Quoting::Double, 'v') => Some('\u{b}'),
        (Quoting::Double, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_as_the_pattern_would() {
        let shapes =
            |value: &str| atoms(value).iter().map(|a| format!("{a:?}")).collect::<Vec<_>>().join(" ");
        assert_eq!(shapes("a${b}c"), "Literal Reference Literal");
        assert_eq!(shapes("${a:?x}"), "Literal");
        assert_eq!(shapes("${a:?${b}"), "Literal Reference");
        assert_eq!(atoms("${a${b}"), [Atom::Reference { name: "a${b", default: None }]);
        assert_eq!(atoms("${a:-${b}"), [Atom::Reference { name: "a", default: Some("${b") }]);
        assert_eq!(shapes("${a:-x"), "Literal");
    }

    #[test]
    fn many_openings_stay_linear() {
        // 2 MB each; a scan from every opening would take minutes.
        for hostile in ["${".repeat(1_000_000), "${".repeat(1_000_000) + ":?", "${a:-".repeat(400_000)] {
            assert_eq!(atoms(&hostile).len(), 1);
        }
    }
}
