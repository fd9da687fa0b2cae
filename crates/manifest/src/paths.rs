use crate::model::{Dynamic, Entry, Manifest};
use crate::template::Template;

/// Where a value lives: KV v2, `<mount>/<environment>/<path>`, one field of the document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    /// The mount, without slashes at its ends.
    pub mount: String,
    /// Below the mount, with the environment in front: `prod/flask/secret_key`.
    pub path: String,
    /// The field.
    pub field: String,
}

/// Where a variable's value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source<'a> {
    /// A field of a document.
    Document(Address),
    /// A field of a document, until an engine makes credentials on demand: then those, through the template.
    Dynamic {
        /// The document that holds the whole value for as long as no engine does.
        document: Address,
        /// What the engine is asked for.
        dynamic: &'a Dynamic,
        /// How the variable is composed of the engine's fields; never applied to the document.
        template: Option<&'a Template>,
    },
    /// Composed of other variables of the manifest, or of fields of the entry's document if it has one.
    Composed {
        /// How.
        template: &'a Template,
        /// Mount and path of the document whose fields may be named; its `field` is not used.
        document: Option<Address>,
    },
}

impl Manifest {
    /// Where the entry's value lives in an environment; `None` for a variable that is only composed.
    #[must_use]
    pub fn address(&self, entry: &Entry, environment: &str) -> Option<Address> {
        let path = entry.path.as_ref()?;
        Some(Address {
            mount: self.mount().to_owned(),
            path: format!("{environment}/{path}"),
            field: entry.field.clone(),
        })
    }

    /// Where the entry's value comes from in an environment.
    #[must_use]
    pub fn source<'a>(&self, entry: &'a Entry, environment: &str) -> Option<Source<'a>> {
        let document = self.address(entry, environment);
        match (&entry.dynamic, &entry.template) {
            (Some(dynamic), template) => {
                document.map(|document| Source::Dynamic { document, dynamic, template: template.as_ref() })
            }
            (None, Some(template)) => Some(Source::Composed { template, document }),
            (None, None) => document.map(Source::Document),
        }
    }
}

/// `[A-Za-z_][A-Za-z0-9_]*`: what a shell can export (POSIX, 8.1).
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Lower-case letters, digits, `-` and `_`, beginning with a letter; at most 64 characters. It becomes a mount and the
/// front of policy names, which servers lower-case.
#[must_use]
pub fn is_app_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

/// The same characters as an application's name.
#[must_use]
pub fn is_environment_name(name: &str) -> bool {
    is_app_name(name)
}

/// Segments of letters, digits, `-`, `_` and `.`, joined by single slashes; none is `.` or `..`, and none begins with
/// `_`, which is kept for the bookkeeping of migration and rotation. At most 256 characters.
#[must_use]
pub fn is_secret_path(path: &str) -> bool {
    path.len() <= 256 && path.split('/').all(|segment| is_segment(segment) && !segment.starts_with('_'))
}

/// Like [`is_secret_path`], with `_` allowed in front.
pub(crate) fn is_mount_path(path: &str) -> bool {
    path.len() <= 256 && path.split('/').all(is_segment)
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
