use coffre_ambient::Wall;
use serde::{Deserialize, Serialize};

use crate::wire::{WireDocument, is_plain, wall};
use crate::{Target, WriteId};

/// That a target rotates well in an environment, in `_rot/soak/<target>`: for the engine of the next environment, which
/// may not read the record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Soak {
    /// Always `rot-soak/1`.
    pub schema: String,
    /// Of which target.
    pub target: Target,
    /// How it rotates, and since when it has gone well; `None`: it does not, or was never rotated.
    pub well: Option<Well>,
    /// Which write this is.
    #[serde(rename = "_w", default)]
    pub write: WriteId,
}

/// A procedure that has worked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Well {
    /// See [`Settings::procedure`](crate::Settings::procedure).
    pub procedure: String,
    /// The first promotion with it, since which nothing was halted or taken back.
    #[serde(with = "wall")]
    pub since: Wall,
}

impl Well {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if is_plain(&self.procedure, 100) && !self.procedure.is_empty() {
            Ok(())
        } else {
            Err("a procedure that works has no name, or a long one")
        }
    }
}

impl Soak {
    /// Of a target.
    #[must_use]
    pub fn new(target: Target, well: Option<Well>) -> Self {
        Self { schema: Self::SCHEMA.to_owned(), target, well, write: WriteId::default() }
    }
}

impl WireDocument for Soak {
    const SCHEMA: &'static str = "rot-soak/1";
    const NAME: &'static str = "word of how well it rotates";
    const NEEDS_SCHEMA: bool = true;
    const MAX_BYTES: usize = 4 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        self.well.as_ref().map_or(Ok(()), Well::check)?;
        if self.write.is_sound() { Ok(()) } else { Err("_w is not the id of a write") }
    }
}
