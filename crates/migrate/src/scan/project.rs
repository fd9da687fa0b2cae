//! A whole project's code, held against what its files and its manifest give.

use std::collections::BTreeMap;
use std::path::Path;

use coffre_manifest::Manifest;
use serde::Serialize;

use super::{Language, reads};
use crate::source::Sources;
use crate::tree::Tree;

/// Set by every system, or by the programs that start others.
const SYSTEM: &[&str] = &[
    "HOME",
    "PATH",
    "USER",
    "LOGNAME",
    "PWD",
    "OLDPWD",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TERM",
    "TMPDIR",
    "TMP",
    "TEMP",
    "HOSTNAME",
    "TZ",
    "EDITOR",
    "PAGER",
    "DISPLAY",
    "UID",
    "EUID",
    "GID",
    "IFS",
    "PS1",
    "SHLVL",
    "RANDOM",
    "SECONDS",
    "LINENO",
    "BASH",
    "BASH_SOURCE",
    "BASH_VERSION",
    "FUNCNAME",
    "PIPESTATUS",
    "OSTYPE",
    "HOSTTYPE",
    "MACHTYPE",
    "OPTARG",
    "OPTIND",
    "REPLY",
    "PPID",
    "COLUMNS",
    "LINES",
    "CI",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "CARGO_MANIFEST_DIR",
    "CARGO_PKG_VERSION",
    "CARGO_PKG_NAME",
    "OUT_DIR",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "NO_COLOR",
];
/// What Coffre's own client side is told.
const OURS: &[&str] = &["VAULT_", "COFFRE_", "BAO_"];
const OUR_SWITCHES: &[&str] = &["USE_VAULT"];

/// Everything that a project's code asks for.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Each variable with the places that ask for it, in order.
    pub names: BTreeMap<String, Vec<Place>>,
    /// Places where the name is only known when the program runs.
    pub dynamic: Vec<Place>,
    /// How many files were read.
    pub files: usize,
    /// Whether there was more than is looked at.
    pub truncated: bool,
}

/// A place in the code.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line (from 1).
    pub line: usize,
    /// Whether the code goes on without the variable.
    pub default: bool,
}

/// What the code asks for, held against what the files and the manifest give.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Asked for, and neither a file nor the manifest has it: the first place that cannot do without it, if there is one.
    pub read_but_absent: Vec<(String, Place)>,
    /// In a file, and nothing asks for it by name.
    pub present_but_unused: Vec<String>,
    /// Asked for under a name that is only known when the program runs.
    pub dynamic: Vec<Place>,
    /// Whether the project is larger than what was looked at.
    pub truncated: bool,
}

/// Looks through the code of a tree.
#[must_use]
pub fn scan(tree: &Tree) -> Scan {
    let mut found = Scan { truncated: tree.truncated, ..Scan::default() };
    for path in &tree.files {
        let Some(language) = Language::of(path) else { continue };
        let Some(text) = Tree::text(path).filter(|text| !is_generated(text)) else { continue };
        found.files += 1;
        let file = shown(path);
        let read = reads(&text, language);
        for name in read.names {
            let place = Place { file: file.clone(), line: name.line, default: name.default };
            found.names.entry(name.name).or_default().push(place);
        }
        found.dynamic.extend(read.dynamic.into_iter().map(|line| Place {
            file: file.clone(),
            line,
            default: false,
        }));
    }
    found
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Generators say so at the top.
fn is_generated(text: &str) -> bool {
    text.lines()
        .take(5)
        .any(|line| line.contains("@generated") || line.contains("Code generated") || line.len() > 5_000)
}

impl Scan {
    /// Holds the code against the files and the manifest.
    #[must_use]
    pub fn against(&self, sources: &Sources, manifest: Option<&Manifest>) -> Usage {
        let named = |name: &str| {
            manifest.is_some_and(|manifest| {
                manifest.entry(name).is_some() || manifest.config().iter().any(|config| config == name)
            })
        };
        let foreign = |name: &str| {
            SYSTEM.contains(&name)
                || OUR_SWITCHES.contains(&name)
                || OURS.iter().any(|front| name.starts_with(front))
        };
        let absent = self
            .names
            .iter()
            .filter(|(name, _)| sources.variable(name).is_none() && !named(name) && !foreign(name));
        let needed = |places: &Vec<Place>| {
            places.iter().find(|place| !place.default).or_else(|| places.first()).cloned()
        };
        // A part of another variable is used through it.
        let parts = sources.referred_to();
        let used = |name: &str| self.names.contains_key(name) || parts.contains(name);
        let unused =
            sources.variables().iter().filter(|variable| variable.value.is_some() && !used(&variable.name));
        Usage {
            read_but_absent: absent
                .filter_map(|(name, places)| Some((name.clone(), needed(places)?)))
                .collect(),
            present_but_unused: unused.map(|variable| variable.name.clone()).collect(),
            dynamic: self.dynamic.clone(),
            truncated: self.truncated,
        }
    }
}
