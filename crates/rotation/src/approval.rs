use std::time::Duration;

use coffre_ambient::Wall;
use serde::{Deserialize, Serialize};

use crate::wire::WireDocument;
use crate::{Target, WriteId};

/// One person's consent to the destruction of an old key, in `_rot/approve/<target>/<gen>/<entity>`.
///
/// Who it is of follows from its path alone: the policy lets each person write only the path that ends with the id of
/// their own entity, which the server takes from their token, and the rotator none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approval {
    /// Always `rot-approval/1`.
    pub schema: String,
    /// Of which target.
    pub target: Target,
    /// Of which generation of it.
    #[serde(rename = "gen")]
    pub gen_no: u64,
    /// The id of the person's entity; must be the last segment of the path.
    pub entity: String,
    /// Which write this is.
    #[serde(rename = "_w", default)]
    pub write: WriteId,
}

/// So long a consent counts; then it must be given again.
const LASTS: Duration = Duration::from_secs(30 * 86_400);

impl Approval {
    /// Of an entity.
    #[must_use]
    pub fn new(target: Target, gen_no: u64, entity: &str) -> Self {
        let (schema, entity) = (Self::SCHEMA.to_owned(), entity.to_owned());
        Self { schema, target, gen_no, entity, write: WriteId::default() }
    }

    /// Whether it counts: it was given by whom its path names, for this target and generation, after that was replaced by
    /// another (nobody consents to the end of what is in use), and not longer ago than 30 days. `written` is when the server took it in.
    #[must_use]
    pub fn counts(&self, of: (&Target, u64, &str), replaced: Wall, written: Option<Wall>, now: Wall) -> bool {
        let (target, gen_no, entity) = of;
        let its_own = self.target == *target && self.gen_no == gen_no && self.entity == entity;
        its_own && written.is_some_and(|at| at >= replaced && now < at.plus(LASTS))
    }
}

impl WireDocument for Approval {
    const SCHEMA: &'static str = "rot-approval/1";
    const NAME: &'static str = "approval";
    const NEEDS_SCHEMA: bool = true;
    const MAX_BYTES: usize = 4 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        match (self.write.is_sound(), (1..=64).contains(&self.entity.len()) && self.entity.bytes().all(plain))
        {
            (false, _) => Err("_w is not the id of a write"),
            (_, false) => Err("entity is not the id of an entity"),
            _ => Ok(()),
        }
    }
}
