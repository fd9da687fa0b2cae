use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_ambient::Wall;
use coffre_crypto::digest;
use serde::{Deserialize, Serialize};

use crate::wire::{WireDocument, is_plain, wall};
use crate::{Target, WriteId};

/// A copy of an old encryption key that only the offline recovery key opens, in `_rot/escrow/<target>/<gen>`. It outlives
/// the key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EscrowCopy {
    /// Always `rot-escrow/1`.
    pub schema: String,
    /// Of which target.
    pub target: Target,
    /// Of which generation of it.
    #[serde(rename = "gen")]
    pub gen_no: u64,
    /// The key's name.
    pub kid: String,
    /// The fingerprint of the recovery key (OpenPGP), in hexadecimal digits.
    pub recipient: String,
    /// An OpenPGP message in base64; its content is the key as it stood in the document.
    pub sealed: String,
    /// When it was sealed.
    #[serde(with = "wall")]
    pub created: Wall,
    /// Which write this is.
    #[serde(rename = "_w", default)]
    pub write: WriteId,
}

/// Longest message, in base64 characters: that of the longest key.
const MAX_SEALED: usize = 128 * 1024;

impl EscrowCopy {
    /// Of a message.
    #[must_use]
    pub fn new(target: Target, gen_no: u64, kid: &str, recipient: String, message: &[u8], now: Wall) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            target,
            gen_no,
            kid: kid.to_owned(),
            recipient,
            sealed: STANDARD.encode(message),
            created: now,
            write: WriteId::default(),
        }
    }

    /// `sha256:` and the digest of the message.
    #[must_use]
    pub fn digest(&self) -> String {
        let message = STANDARD.decode(&self.sealed).unwrap_or_default();
        format!("sha256:{}", hex::encode(digest::sha256(&message)))
    }
}

impl WireDocument for EscrowCopy {
    const SCHEMA: &'static str = "rot-escrow/1";
    const NAME: &'static str = "escrow copy";
    const NEEDS_SCHEMA: bool = true;
    const MAX_BYTES: usize = 160 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        let sealed = (1..=MAX_SEALED).contains(&self.sealed.len()) && STANDARD.decode(&self.sealed).is_ok();
        let named = is_plain(&self.kid, 64) && !self.kid.is_empty() && self.gen_no > 0;
        let recipient = (1..=128).contains(&self.recipient.len())
            && self.recipient.bytes().all(|byte| byte.is_ascii_hexdigit());
        match (sealed, named && recipient, self.write.is_sound()) {
            (true, true, true) => Ok(()),
            (false, _, _) => Err("`sealed` is no message in base64"),
            (_, false, _) => Err("it has no key id, no generation, or no recipient"),
            _ => Err("_w is not the id of a write"),
        }
    }
}
