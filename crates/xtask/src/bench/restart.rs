//! How long a server that holds many tokens takes from its start to its first answer to one of them.

use std::time::Duration;

use anyhow::Result;
use coffre_ambient::{Clock as _, SystemClock};

use super::load::{Plan, Work};
use super::report::{Report, mark};
use super::server::Server;
use super::{Options, setup};

/// Start, unseal and first answer, at most.
const TARGET: Duration = Duration::from_secs(2);

/// Makes the tokens, kills the server, starts it again over what it left, and notes the time. Each token is a lease of
/// its own in the kernel's records, as a credential's lease is; all of them are compared with the index at unseal.
pub(super) fn measure(options: &Options, server: &mut Server, report: &mut Report) -> Result<()> {
    let tokens = options.keys;
    let fill = Plan {
        address: server.address.clone(),
        connections: 128,
        seconds: options.seconds,
        token: server.root.clone(),
        work: Work::Tokens { count: tokens },
    };
    fill.run()?;
    let sample = server.token.clone();
    let started = SystemClock.boot();
    server.again()?;
    let listening = SystemClock.boot().saturating_sub(started);
    setup::unseal(server, &server.key)?;
    let unsealed = SystemClock.boot().saturating_sub(started);
    setup::answers(server, &sample)?;
    let answered = SystemClock.boot().saturating_sub(started);
    report.note(format!(
        "killed and started with {tokens} tokens and {} secrets: listening after {:.2} s, unsealed after {:.2} s, first \
         answer to a token after {:.2} s {} {:.0} s",
        options.keys,
        listening.as_secs_f64(),
        unsealed.as_secs_f64(),
        answered.as_secs_f64(),
        mark(answered <= TARGET, "≤"),
        TARGET.as_secs_f64(),
    ));
    report.memory("after the restart", server.process.resident()?);
    Ok(())
}
