//! Commands that need no server.

use crate::call::Call;
use crate::connect;
use crate::outcome::{Exit, Failure, Outcome};
use crate::world::World;

/// The Vault release whose API and command line we follow. Clients gate features on it, so it is not our own version.
const VAULT_API: &str = "1.18.5";

pub(crate) fn print_token(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let token = connect::token(&call.world)?;
    let token = token.ok_or_else(|| Failure::local("there is no token: log in, or set VAULT_TOKEN"))?;
    // EXPOSE: the command exists to print it.
    call.world.say(token.expose().trim());
    Ok(Exit::DONE)
}

pub(crate) fn version(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    print_version(&mut call.world);
    Ok(Exit::DONE)
}

/// The version line. Programs take the second word of what a binary called `vault` prints for the API's version.
pub(crate) fn print_version(world: &mut World) {
    let own = env!("CARGO_PKG_VERSION");
    let line = match world.program.as_str() {
        "coffre" => format!("Coffre v{own} (Vault API v{VAULT_API})"),
        _ => format!("Vault v{VAULT_API} (coffre v{own})"),
    };
    world.say(&line);
}
