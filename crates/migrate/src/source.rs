//! What the `.env` files say: the effective variables, where each stands, and everything that is odd about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use coffre_dotenv::{
    Atom, Binding, Dialect, Document, EnvLookup, Generation, Interpolation, NotUtf8, Precedence, Quoting,
    Tool, TroubleKind, Values, atoms,
};
use coffre_secret::{SecretText, SecretVec};

use crate::oddity::{Oddity, OddityKind};

use crate::syntax::Syntax;

/// A file's name, as people call it, and its bytes.
pub struct File {
    /// For messages and the plan.
    pub name: String,
    /// The content.
    pub bytes: SecretVec,
    /// How it is read.
    pub syntax: Syntax,
}

impl File {
    /// A file that python-dotenv reads.
    #[must_use]
    pub fn dotenv(name: impl Into<String>, bytes: impl Into<SecretVec>) -> Self {
        Self { name: name.into(), bytes: bytes.into(), syntax: Syntax::PythonDotenv }
    }
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

impl Sources {
    /// Reads the files in the order in which the application loads them. `env` is what `${…}` may refer to.
    pub fn read(files: Vec<File>, reader: Reader, env: &dyn EnvLookup) -> Result<Self, Unreadable> {
        let mut sources =
            Self { reader, files: vec![], variables: vec![], places: HashMap::new(), oddities: vec![] };
        for file in files {
            match file.syntax {
                Syntax::PythonDotenv => sources.add(&file, reader, env)?,
                Syntax::Of(tool) => sources.add_foreign(&file, tool, env)?,
            }
            sources.files.push(file);
        }
        sources.same_but_case();
        sources.sort();
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

    /// The names of the files that python-dotenv reads, in the order in which they are read.
    pub fn python_files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter(|file| file.syntax.is_python()).map(|file| file.name.as_str())
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
        let otherwise = document.values(env, Precedence::EnvironmentFirst, Interpolation::On);
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
        let torn: Vec<String> = differing(&values, &otherwise);
        self.collect(file, &document, values, &ambiguous, &defined);
        for name in torn {
            let line = self.variable(&name).map_or(1, |variable| variable.line);
            self.oddities.push(Oddity::at(&file.name, line, usable(&name), OddityKind::Environment));
        }
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
            self.oddities.push(Oddity::at(&file.name, line, name, kind));
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
            if cut_at_comment(document, binding) {
                odd(*line, Some(name), OddityKind::CutAtComment);
            }
            let variable = Variable {
                name: name.to_owned(),
                value: value.map(SecretText::duplicate),
                raw: binding.value.as_ref().map(SecretText::duplicate),
                file: file.name.clone(),
                line: *line,
            };
            set(&mut self.variables, &mut self.places, variable);
        }
        // Keys that only another release sees.
        for name in ambiguous.iter().filter(|name| values.get(name).is_none()) {
            odd(1, usable(name), OddityKind::Ambiguous);
        }
    }

    /// A file that another tool reads.
    fn add_foreign(&mut self, file: &File, tool: Tool, env: &dyn EnvLookup) -> Result<(), Unreadable> {
        let reading = tool
            .read_bytes(&file.bytes, env)
            .map_err(|problem| Unreadable { file: file.name.clone(), problem })?;
        for trouble in &reading.troubles {
            let kind = match trouble.kind {
                TroubleKind::Skipped => OddityKind::Malformed,
                TroubleKind::Refused => OddityKind::Refused,
                TroubleKind::Runs => OddityKind::Runs,
            };
            self.oddities.push(Oddity::at(&file.name, trouble.line, None, kind));
        }
        for (place, found) in reading.assignments.iter().enumerate() {
            let name = usable(&found.name);
            let mut odd = |kind| self.oddities.push(Oddity::at(&file.name, found.line, name, kind));
            if reading.assignments.iter().skip(place + 1).any(|later| later.name == found.name) {
                odd(OddityKind::Duplicate);
                continue;
            }
            if found.value.is_none() {
                odd(OddityKind::Runs);
            }
            let Some(name) = name else {
                odd(if is_fragment(&found.name) { OddityKind::Fragment } else { OddityKind::BadName });
                continue;
            };
            let value = found.value.as_ref().map(SecretText::duplicate);
            // What the tool put together is the value; there is nothing left to refer to.
            let raw = value.as_ref().map(SecretText::duplicate);
            let variable =
                Variable { name: name.to_owned(), value, raw, file: file.name.clone(), line: found.line };
            set(&mut self.variables, &mut self.places, variable);
        }
        Ok(())
    }

    /// The names that other variables of the files are composed with.
    pub(crate) fn referred_to(&self) -> BTreeSet<String> {
        let raw = self.variables.iter().filter_map(|variable| variable.raw.as_ref());
        raw.flat_map(|raw| {
            // EXPOSE: only names are taken.
            let names = atoms(raw.expose()).into_iter().filter_map(|atom| match atom {
                Atom::Reference { name, .. } => Some(name.to_owned()),
                Atom::Literal(_) => None,
            });
            names.collect::<Vec<_>>()
        })
        .collect()
    }

    /// Notes that another reading of a variable was found, and where; the same value is no finding.
    pub fn hold_against(&mut self, name: &str, other: Option<&SecretText>, kind: OddityKind, against: &str) {
        let Some(variable) = self.variable(name) else { return };
        if same(Some(variable.value.as_ref()), Some(other)) {
            return;
        }
        let found = Oddity::at(&variable.file, variable.line, Some(name), kind);
        let found = Oddity { against: Some(against.to_owned()), ..found };
        if !self.oddities.contains(&found) {
            self.oddities.push(found);
            self.sort();
        }
    }

    /// Takes our reading of these variables, or of these places (`.env:7`), as decided.
    pub fn accept(&mut self, decided: &[String]) {
        for odd in &mut self.oddities {
            let place = format!("{}:{}", odd.file, odd.line);
            odd.decided |= decided.iter().any(|known| odd.name.as_ref() == Some(known) || *known == place);
        }
    }

    /// pydantic's settings and others ignore case: of two such names they take one.
    fn same_but_case(&mut self) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut found = Vec::new();
        for (number, variable) in self.variables.iter().enumerate() {
            let Some(first) = seen.insert(variable.name.to_ascii_lowercase(), number) else { continue };
            let first = self.variables.get(first).map(|first| format!("{}:{}", first.file, first.line));
            let odd =
                Oddity::at(&variable.file, variable.line, Some(&variable.name), OddityKind::SameButCase);
            found.push(Oddity { against: first, ..odd });
        }
        self.oddities.append(&mut found);
    }

    fn sort(&mut self) {
        self.oddities.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    }
}

fn set(variables: &mut Vec<Variable>, places: &mut HashMap<String, usize>, variable: Variable) {
    match places.get(&variable.name).and_then(|place| variables.get_mut(*place)) {
        Some(known) => *known = variable,
        None => {
            places.insert(variable.name.clone(), variables.len());
            variables.push(variable);
        }
    }
}

/// A bare value with a comment right behind it: the `#` may have been meant as a part of it.
fn cut_at_comment(document: &Document, binding: &Binding) -> bool {
    let (Some(value), Some(comment)) = (&binding.value_span, &binding.comment_span) else { return false };
    // EXPOSE: looked at, not kept.
    let text = document.to_text().expose();
    let comment = text.get(comment.clone()).unwrap_or_default();
    // `# like this` is how people write comments.
    binding.quoting == Quoting::None && !value.is_empty() && !comment.starts_with("# ") && comment.len() > 1
}

/// Names whose value is another in the other map.
fn differing(values: &Values, other: &Values) -> Vec<String> {
    let names = values.iter().map(|(name, _)| name);
    names.filter(|name| !same(values.get(name), other.get(name))).map(str::to_owned).collect()
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
    if value.expose().contains('\u{feff}') {
        found.push(OddityKind::ByteOrderMark);
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
