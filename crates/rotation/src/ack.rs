use std::collections::BTreeMap;

use coffre_ambient::Wall;
use serde::{Deserialize, Serialize};

use crate::wire::{WireDocument, is_plain, wall};
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
    /// Decryptions under keys that are not the active one any more, by the key's name; only of who counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decrypts: Option<BTreeMap<String, Decrypts>>,
    /// When the registration ends: `max_stale` and twice the clock allowance after it was written. Of a frozen process:
    /// when it will have ended, since it uses what it has until then; whoever sees it end writes a last
    /// acknowledgement that ends at once.
    #[serde(with = "wall")]
    pub expires: Wall,
    /// Which write this is; consumers may leave it out.
    #[serde(rename = "_w", default)]
    pub write: WriteId,
}

/// Decryptions under one key, of one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decrypts {
    /// How many, since the process began.
    pub count: u64,
    /// The last one.
    #[serde(with = "wall")]
    pub last: Wall,
}

/// Keys that are counted for.
const MAX_COUNTED: usize = 16;

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
            decrypts: None,
            expires,
            write: WriteId::default(),
        }
    }

    /// Dates its end by another clock, which is ahead of the one it was dated with by so many seconds.
    pub fn redate(&mut self, ahead: i64) {
        self.expires = shifted(self.expires, ahead);
        let counted = self.decrypts.iter_mut().flat_map(BTreeMap::values_mut);
        counted.for_each(|under| under.last = shifted(under.last, ahead));
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
        let sound = |kid: &String| !kid.is_empty() && is_plain(kid, 64);
        let bounded =
            |counted: &BTreeMap<String, Decrypts>| counted.len() <= MAX_COUNTED && counted.keys().all(sound);
        match (self.write.is_sound(), self.decrypts.as_ref().is_none_or(bounded)) {
            (false, _) => Err("_w is not the id of a write"),
            (_, false) => Err("it counts decryptions of more than 16 keys, or of one without a name"),
            _ => Ok(()),
        }
    }
}
