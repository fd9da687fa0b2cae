//! What both notations of a policy are read into, before anything is known about policies.

use crate::PolicyError;

/// Nesting that both readers accept. A policy needs five levels.
pub(crate) const MAX_DEPTH: usize = 16;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// One key of an object. A block with labels (`path "a" { … }`) is an object in an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Node,
}

impl Node {
    /// The items of a list; a single value counts as a list of one, as in HCL 1.
    pub(crate) fn into_items(self) -> Vec<Self> {
        match self {
            Self::List(items) => items,
            other => vec![other],
        }
    }

    /// The entries of an object, or of several objects in a list (HCL's JSON form).
    pub(crate) fn into_entries(self) -> Option<Vec<Entry>> {
        match self {
            Self::Object(entries) => Some(entries),
            Self::List(items) => {
                let mut all = Vec::new();
                for item in items {
                    let Self::Object(entries) = item else { return None };
                    all.extend(entries);
                }
                Some(all)
            }
            _ => None,
        }
    }
}

/// Guards the readers' recursion.
#[derive(Clone, Copy)]
pub(crate) struct Depth(usize);

impl Depth {
    pub(crate) const TOP: Self = Self(0);

    pub(crate) const fn deeper(self) -> Result<Self, PolicyError> {
        if self.0 >= MAX_DEPTH { Err(PolicyError::TooDeep) } else { Ok(Self(self.0 + 1)) }
    }
}
