//! What `operator generate-root` and `operator rekey` share: several people give a key each.

use coffre_client::{Op, Request};

use crate::call::{Call, whole};
use crate::json::{Node, map};
use crate::outcome::Failure;

/// One person's key. The nonce ties it to the attempt that the person was told about.
/// Gives the state after it.
pub(crate) async fn give_key(
    call: &mut Call,
    doing: &str,
    attempt: &str,
    update: &str,
) -> Result<Node, Failure> {
    call.expect_args(0, 1)?;
    let nonce = match call.parsed.one("nonce").map(str::to_owned) {
        Some(nonce) => nonce,
        None => {
            let found = call.send(doing, Request::new(Op::Read, attempt)).await?;
            let state = whole(found.as_ref());
            if state.member("started") == Some(&Node::Bool(false)) {
                return Err(Failure::local("nothing is in progress: start with -init"));
            }
            state.member("nonce").map(Node::shown).unwrap_or_default()
        }
    };
    let given = call.arg(0).map(str::to_owned);
    let key = match given.as_deref() {
        Some("-") => call.world.stdin_trimmed(),
        Some(key) => Some(key.into()),
        None => {
            call.world.tell(&format!("Operation nonce: {nonce}"));
            call.world.prompt_hidden("Unseal Key (will be hidden): ")
        }
    };
    let key = key.filter(|key| !key.is_empty()).ok_or_else(|| Failure::local("no unseal key was given"))?;
    // EXPOSE: on its way into the request's body.
    let body = map([("key", Node::from(key.expose().trim())), ("nonce", Node::from(nonce))]);
    let found = call.put(doing, update, &body).await?;
    Ok(whole(found.as_ref()))
}

/// A member as text; empty if it is absent or null.
pub(crate) fn text(state: &Node, name: &str) -> String {
    state.member(name).filter(|value| !value.is_null()).map(Node::shown).unwrap_or_default()
}
