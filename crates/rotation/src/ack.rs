use coffre_ambient::Wall;
use serde::{Deserialize, Serialize};

use crate::wire::{WireDocument, wall};
use crate::{ConsumerId, WriteId};

/// What a consumer says of one target, in `_rot/ack/<target>/<consumer>`; written anew every `soft_ttl`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ack {
    /// `rot-ack/1`; consumers may leave it out.
    #[serde(default = "schema")]
    pub schema: String,
    /// Who says it; must be the last segment of the path.
    pub consumer: ConsumerId,
    /// The newest epoch of the document that it has taken over.
    pub epoch: u64,
    /// The generation that it uses now: signs with, encrypts with, logs in with. The smallest, if several.
    pub in_use: u64,
    /// It has got its values once and does not follow.
    #[serde(default)]
    pub frozen: bool,
    /// Logins that were refused in the last minute.
    #[serde(default)]
    pub auth_failures_60s: u32,
    /// When the registration ends: `max_stale` and twice the clock allowance after it was written. Of a frozen process:
    /// when it will have ended, since it uses what it has until then; whoever sees it end writes a last
    /// acknowledgement that ends at once.
    #[serde(with = "wall")]
    pub expires: Wall,
    /// Which write this is; consumers may leave it out.
    #[serde(rename = "_w", default)]
    pub write: WriteId,
}

fn schema() -> String {
    Ack::SCHEMA.to_owned()
}

impl Ack {
    /// What a live consumer says.
    pub fn new(consumer: ConsumerId, epoch: u64, in_use: u64, expires: Wall) -> Self {
        Self {
            schema: schema(),
            consumer,
            epoch,
            in_use,
            frozen: false,
            auth_failures_60s: 0,
            expires,
            write: WriteId::default(),
        }
    }

    /// Dates its end by another clock, which is ahead of the one it was dated with by so many seconds.
    pub fn redate(&mut self, ahead: i64) {
        self.expires = shifted(self.expires, ahead);
    }
}

/// So many seconds later, or earlier: the time by a clock that is ahead by as many.
#[must_use]
pub fn shifted(wall: Wall, seconds: i64) -> Wall {
    let by = seconds.unsigned_abs();
    match seconds {
        ..0 => Wall::from_secs(wall.secs().saturating_sub(by)),
        _ => wall.plus(std::time::Duration::from_secs(by)),
    }
}

impl WireDocument for Ack {
    const SCHEMA: &'static str = "rot-ack/1";
    const NAME: &'static str = "acknowledgement";
    const NEEDS_SCHEMA: bool = false;
    const MAX_BYTES: usize = 4 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        if self.write.is_sound() { Ok(()) } else { Err("_w is not the id of a write") }
    }
}
