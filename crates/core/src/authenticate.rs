//! From a token's text to its holder: the first stage of the pipeline after routing.
//!
//! A token that is unknown, expired, revoked, spent or used from the wrong network gives the same nobody, so that the
//! answer tells an attacker nothing.

use std::net::IpAddr;
use std::sync::Arc;

use coffre_api::Refusal;
use coffre_policy::Caller;
use coffre_secret::SecretText;

use crate::kernel::Kernel;
use crate::tokens::{LiveToken, TokenStore};

/// The longest token that is looked at, in bytes; Vault's own bound of the header is 8 KiB.
const MAX_TOKEN: usize = 8 * 1024;

/// Who asks: the token's holder, or nobody.
pub(crate) struct Identified {
    pub(crate) caller: Caller,
    pub(crate) live: Option<Arc<LiveToken>>,
}

impl Kernel {
    /// Whether a token of somebody in this process is (still) known, so that they may tell what it may not do from that it
    /// has ended: those who ask from outside are told the same for both. Takes no use of a counted token. `false` also
    /// while the server is sealed.
    pub async fn knows_token(&self, token: &SecretText) -> bool {
        let Some(active) = self.active() else { return false };
        authenticate(&active.tokens, Some(token), None).await.is_ok_and(|found| found.live.is_some())
    }
}

/// Looks the token up. Unknown, expired, revoked and misplaced tokens are all the same nobody: only rows that need no
/// token let such a caller through, and everybody else reads one text.
pub(crate) async fn authenticate(
    tokens: &TokenStore,
    token: Option<&SecretText>,
    peer: Option<IpAddr>,
) -> Result<Identified, Refusal> {
    let nobody = || Identified { caller: Caller::anonymous("no valid token was presented"), live: None };
    // EXPOSE: hashed into the token's name, or opened as a batch token.
    let Some(token) =
        token.map(SecretText::expose).filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN)
    else {
        return Ok(nobody());
    };
    let found = tokens.identify(token).await?;
    let Some(live) = found.filter(|live| live.allows(peer)) else { return Ok(nobody()) };
    // Who is disabled or gone is nobody.
    let Some(caller) = tokens.caller_of(&live).await? else { return Ok(nobody()) };
    Ok(Identified { caller: Caller::token(caller), live: Some(live) })
}
