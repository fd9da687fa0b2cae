//! Two documents of an environment that people write through the command line: the freeze, and what rotates by itself.

use std::collections::BTreeMap;

use coffre_rotation::{Target as Name, WireDocument, WriteId};
use serde::{Deserialize, Serialize};

/// `_rot/freeze`: nothing leaves a rotator while it says so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Freeze {
    /// `rot-freeze/1`; people may leave it out.
    #[serde(default = "Freeze::schema")]
    pub(crate) schema: String,
    /// Whether everything stands still.
    pub(crate) frozen: bool,
    /// Why, for whoever wonders.
    #[serde(default)]
    pub(crate) why: String,
    /// Who asked for it.
    #[serde(default)]
    pub(crate) by: String,
    /// RFC 3339.
    #[serde(default)]
    pub(crate) since: String,
    /// Which write this is.
    #[serde(rename = "_w", default)]
    pub(crate) write: WriteId,
}

impl Freeze {
    fn schema() -> String {
        Self::SCHEMA.to_owned()
    }
}

impl WireDocument for Freeze {
    const SCHEMA: &'static str = "rot-freeze/1";
    const NAME: &'static str = "freeze";
    const NEEDS_SCHEMA: bool = false;
    const MAX_BYTES: usize = 16 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        let short = self.why.len() <= 1_000 && self.by.len() <= 200 && self.since.len() <= 64;
        if short { Ok(()) } else { Err("a text in it is too long") }
    }
}

/// `_rot/enabled`: which targets rotate by themselves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Enabled {
    /// `rot-enabled/1`.
    pub(crate) schema: String,
    /// Each with when and by whom.
    #[serde(default)]
    pub(crate) targets: BTreeMap<Name, Since>,
    /// Which write this is.
    #[serde(rename = "_w", default)]
    pub(crate) write: WriteId,
}

/// When something was enabled, and by whom.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Since {
    /// RFC 3339.
    pub(crate) since: String,
    /// Who.
    pub(crate) by: String,
}

impl Default for Enabled {
    fn default() -> Self {
        Self { schema: Self::SCHEMA.to_owned(), targets: BTreeMap::new(), write: WriteId::default() }
    }
}

impl WireDocument for Enabled {
    const SCHEMA: &'static str = "rot-enabled/1";
    const NAME: &'static str = "list of enabled targets";
    const NEEDS_SCHEMA: bool = true;
    const MAX_BYTES: usize = 256 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        if self.targets.len() <= 1_024 { Ok(()) } else { Err("it has more than 1024 targets") }
    }
}
