//! What the `.env` files say: the effective variables, where each stands, and everything that is odd about them.

use std::collections::{BTreeMap, HashMap};

use coffre_dotenv::{
    Atom, Dialect, Document, EnvLookup, Generation, Interpolation, NotUtf8, Precedence, Values, atoms,
};
use coffre_secret::{SecretText, SecretVec};
use serde::{Deserialize, Serialize};

/// A file's name, as people call it, and its bytes.
pub struct File {
    /// For messages and the plan.
    pub name: String,
    /// The content.
    pub bytes: SecretVec,
}

/// Which releases of python-dotenv the application uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// These; their reading is taken as it is.
    Declared(Generation),
    /// Not known: the newest is taken, and keys that other releases read differently are ambiguous.
    Unknown,
}

impl Reader {
    /// From what was declared (`1.2.4`), if anything was; `None` if that is no release.
    #[must_use]
    pub fn declared(release: Option<&str>) -> Option<Self> {
        match release {
            None => Some(Self::Unknown),
            Some(release) => Generation::of_release(release).map(Self::Declared),
        }
    }

    /// A release that reads as this reader does; `None` if it is not known which one does.
    #[must_use]
    pub const fn release(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Declared(Generation::Before1_2_3) => Some("1.2.2"),
            Self::Declared(Generation::Is1_2_3) => Some("1.2.3"),
            Self::Declared(Generation::Since1_2_4) => Some("1.2.4"),
        }
    }

    const fn generation(self) -> Generation {
        match self {
            Self::Declared(generation) => generation,
            Self::Unknown => Generation::Since1_2_4,
        }
    }
}

/// A file cannot be read as text.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {file}: {problem}")]
pub struct Unreadable {
    /// The file's name.
    pub file: String,
    /// Where and why.
    pub problem: NotUtf8,
}

/// All files together; a later file's value wins, as when they are loaded one after the other with override.
pub struct Sources {
    pub(crate) reader: Reader,
    pub(crate) files: Vec<File>,
    pub(crate) variables: Vec<Variable>,
    places: HashMap<String, usize>,
    pub(crate) oddities: Vec<Oddity>,
}

/// One variable as the application sees it.
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value after interpolation; `None` for a key without `=`, which sets nothing.
    pub value: Option<SecretText>,
    /// Its value before interpolation.
    pub(crate) raw: Option<SecretText>,
    /// The file it comes from.
    pub file: String,
    /// The line (from 1).
    pub line: usize,
}

/// Something in a file that deserves a look; never with a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Oddity {
    /// The file's name.
    pub file: String,
    /// The line (from 1).
    pub line: usize,
    /// The variable, where it has a usable name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    pub kind: OddityKind,
}

/// What is odd.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OddityKind {
    /// python-dotenv skips the statement; whatever it should have set is not set.
    Malformed,
    /// A key without `=`: it sets nothing.
    NoValue,
    /// A key that no environment variable can have as its name; it cannot be migrated.
    BadName,
    /// A name that looks like a piece of a secret whose quotes are missing; it is not shown.
    Fragment,
    /// Set again further down; the last one counts.
    Duplicate,
    /// The value holds a NUL character: `load_dotenv` stops there with an error.
    Nul,
    /// The value refers to a name that nothing defines; it became empty.
    UndefinedReference,
    /// The value refers to a name that only the environment of this run defines.
    OutsideReference,
    /// Releases of python-dotenv read this key differently.
    Ambiguous,
}

impl OddityKind {
    /// What it means and what to do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Malformed => {
                "python-dotenv cannot read this statement and skips it; correct the line, or remove it"
            }
            Self::NoValue => {
                "a key without `=` sets nothing; write `NAME=` for an empty value, or remove the line"
            }
            Self::BadName => {
                "this is not a name that a program can be given, so its value would be lost; rename it, quote the value that it may be a part of, or remove the line"
            }
            Self::Fragment => {
                "this name looks like a piece of a secret whose quotes are missing (a PEM block?), so it is not shown; quote the value, or rename the variable"
            }
            Self::Duplicate => {
                "set again further down, and the last one counts; remove the line that does not"
            }
            Self::Nul => "the value holds a NUL character, at which load_dotenv fails; remove it",
            Self::UndefinedReference => {
                "`${…}` names something that is not defined, so that part is empty; a secret that really contains `${` must not stand in a .env file"
            }
            Self::OutsideReference => {
                "`${…}` was filled in from the environment of this run; check that the application's is the same"
            }
            Self::Ambiguous => {
                "releases of python-dotenv disagree about this value; say which one the application uses (-dotenv-release=1.2.4), or quote the value"
            }
        }
    }

    /// Whether a plan must not be applied while it is there.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Ambiguous | Self::Nul | Self::Fragment | Self::BadName)
    }
}

impl Sources {
    /// Reads the files in the order in which the application loads them. `env` is what `${…}` may refer to.
    pub fn read(files: Vec<File>, reader: Reader, env: &dyn EnvLookup) -> Result<Self, Unreadable> {
        let mut sources =
            Self { reader, files: vec![], variables: vec![], places: HashMap::new(), oddities: vec![] };
        for file in files {
            sources.add(&file, reader, env)?;
            sources.files.push(file);
        }
        Ok(sources)
    }

    /// The variables in the order in which they first appear.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// One variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.places.get(name).and_then(|place| self.variables.get(*place))
    }

    /// Everything odd, in file order.
    #[must_use]
    pub fn oddities(&self) -> &[Oddity] {
        &self.oddities
    }

    fn add(&mut self, file: &File, reader: Reader, env: &dyn EnvLookup) -> Result<(), Unreadable> {
        let parse = |generation| {
            // EXPOSE: parsed; values are secret again.
            Document::from_bytes(file.bytes.expose().clone(), Dialect::of(generation))
                .map_err(|problem| Unreadable { file: file.name.clone(), problem })
        };
        let document = parse(reader.generation())?;
        // A file that was loaded before this one has become environment for it.
        let earlier: HashMap<String, SecretText> = self
            .variables
            .iter()
            .filter_map(|known| Some((known.name.clone(), known.value.as_ref()?.duplicate())))
            .collect();
        let outside = env;
        let env = &|name: &str| earlier.get(name).map(SecretText::duplicate).or_else(|| outside.lookup(name));
        let values = document.values(env, Precedence::FileFirst, Interpolation::On);
        let ambiguous = match reader {
            Reader::Declared(_) => vec![],
            Reader::Unknown => {
                let others = [parse(Generation::Before1_2_3)?, parse(Generation::Is1_2_3)?];
                ambiguous(&values, &others, env)
            }
        };
        let defined = |name: &str| {
            if earlier.contains_key(name) { Some(true) } else { outside.lookup(name).map(|_| false) }
        };
        self.collect(file, &document, values, &ambiguous, &defined);
        Ok(())
    }

    fn collect(
        &mut self,
        file: &File,
        document: &Document,
        values: Values,
        ambiguous: &[String],
        defined: &dyn Fn(&str) -> Option<bool>,
    ) {
        let mut odd = |line: usize, name: Option<&str>, kind| {
            self.oddities.push(Oddity { file: file.name.clone(), line, name: name.map(str::to_owned), kind });
        };
        for line in document.malformed_lines() {
            odd(line, None, OddityKind::Malformed);
        }
        // Python puts a duplicate in the place of the first, with the value of the last.
        let mut last = BTreeMap::new();
        for (line, binding) in document.bindings() {
            if let Some((earlier, _)) = last.insert(binding.key.as_str(), (line, binding)) {
                odd(earlier, usable(&binding.key), OddityKind::Duplicate);
            }
        }
        for (name, value) in values.iter() {
            let Some((line, binding)) = last.get(name) else { continue };
            let Some(name) = usable(name) else {
                let kind = match value {
                    _ if is_fragment(name) => OddityKind::Fragment,
                    Some(_) => OddityKind::BadName,
                    None => OddityKind::NoValue,
                };
                odd(*line, None, kind);
                continue;
            };
            for kind in value_oddities(document, *line, binding.value.as_ref(), value, defined) {
                // A key without a value may be a piece of a secret too, of any form.
                odd(*line, Some(name).filter(|_| kind != OddityKind::NoValue), kind);
            }
            if ambiguous.iter().any(|other| other == name) {
                odd(*line, Some(name), OddityKind::Ambiguous);
            }
            let variable = Variable {
                name: name.to_owned(),
                value: value.map(SecretText::duplicate),
                raw: binding.value.as_ref().map(SecretText::duplicate),
                file: file.name.clone(),
                line: *line,
            };
            match self.places.get(name).and_then(|place| self.variables.get_mut(*place)) {
                Some(known) => *known = variable,
                None => {
                    self.places.insert(name.to_owned(), self.variables.len());
                    self.variables.push(variable);
                }
            }
        }
        // Keys that only another release sees.
        for name in ambiguous.iter().filter(|name| values.get(name).is_none()) {
            odd(1, usable(name), OddityKind::Ambiguous);
        }
        self.oddities.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    }
}

fn usable(name: &str) -> Option<&str> {
    (coffre_manifest::is_variable_name(name) && !is_fragment(name)).then_some(name)
}

/// Long, without `_`, and mixing cases as base64 does and names do not.
fn is_fragment(name: &str) -> bool {
    let has = |wanted: fn(&u8) -> bool| name.bytes().any(|byte| wanted(&byte));
    let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && !name.contains('_');
    mixed && ((name.len() >= 16 && has(u8::is_ascii_digit)) || name.len() >= 32)
}

/// `defined` tells of a name that this file does not define whether an earlier file does (true) or only the environment
/// of this run (false).
fn value_oddities(
    document: &Document,
    line: usize,
    raw: Option<&SecretText>,
    value: Option<&SecretText>,
    defined: &dyn Fn(&str) -> Option<bool>,
) -> Vec<OddityKind> {
    let (Some(raw), Some(value)) = (raw, value) else { return vec![OddityKind::NoValue] };
    let mut found = Vec::new();
    // EXPOSE: looked at, not kept.
    if value.expose().contains('\0') {
        found.push(OddityKind::Nul);
    }
    for atom in atoms(raw.expose()) {
        let Atom::Reference { name, default } = atom else { continue };
        // What is set further down is not there yet.
        if document.bindings().take_while(|(other, _)| *other < line).any(|(_, binding)| binding.key == name)
        {
            continue;
        }
        match (defined(name), default) {
            (Some(false), _) => found.push(OddityKind::OutsideReference),
            (None, None) => found.push(OddityKind::UndefinedReference),
            (Some(true), _) | (None, Some(_)) => {}
        }
    }
    found.dedup();
    found
}

/// Names whose value is not the same for all readers.
fn ambiguous(values: &Values, others: &[Document], env: &dyn EnvLookup) -> Vec<String> {
    let mut found = Vec::new();
    for other in others.iter().map(|other| other.values(env, Precedence::FileFirst, Interpolation::On)) {
        for name in values.iter().chain(other.iter()).map(|(name, _)| name) {
            if !same(values.get(name), other.get(name)) && !found.iter().any(|known| known == name) {
                found.push(name.to_owned());
            }
        }
    }
    found
}

fn same(a: Option<Option<&SecretText>>, b: Option<Option<&SecretText>>) -> bool {
    match (a, b) {
        (Some(Some(a)), Some(Some(b))) => {
            // EXPOSE: compared.
            a.ct_eq(b.expose().as_bytes())
        }
        (Some(None), Some(None)) | (None, None) => true,
        _ => false,
    }
}
