use serde::{Deserialize, Serialize};

use crate::period::Period;

/// A column whose texts are encrypted with the key; re-encryption rewrites it row by row.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// The table, with its schema if that is not the first of the search path: `notes`, `app.notes`.
    pub table: String,
    /// The column of the primary key, by which rows are gone through.
    pub pk: String,
    /// The column that is encrypted.
    pub column: String,
    /// How it is encrypted.
    #[serde(default)]
    pub codec: Codec,
    /// Which of `[rotation.postgresql.*]` has it, if not the one of the rotation.
    pub server: Option<String>,
}

/// How a text names its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    /// `e1.<kid>.<Fernet token>`; a bare Fernet token is one of the legacy key.
    #[default]
    Fernet,
    /// `e1.<kid>.<wrapped data key>`: only the wrapped key of each record is rewritten.
    Envelope,
}

impl Codec {
    /// The word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fernet => "fernet",
            Self::Envelope => "envelope",
        }
    }
}

/// A place whose encrypted texts go away by themselves.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// What people call it: `celery queue`, `redis cache`.
    pub name: String,
    /// After how long none of its texts is left.
    pub after: Period,
}
