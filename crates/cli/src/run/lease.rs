//! `lease`: look up, renew, revoke.

use crate::args::Flag;
use crate::call::{Call, object};
use crate::json::{Node, map};
use crate::outcome::{Failure, Outcome};

pub(crate) const RENEW: &[Flag] = &[Flag::one("increment", "How much longer.").or("i")];
pub(crate) const REVOKE: &[Flag] = &[
    Flag::switch("prefix", "The argument is a prefix: end all leases under it."),
    Flag::switch("force", "Forget the leases even if they cannot be ended; needs -prefix.").or("f"),
    Flag::switch("sync", "Wait until it is done."),
];

pub(crate) async fn lookup(call: &mut Call) -> Outcome {
    let id = call.only_arg()?;
    let body = map([("lease_id", Node::from(id.as_str()))]);
    let envelope = call.put(&format!("looking up lease {id}"), "sys/leases/lookup", &body).await?;
    let envelope = envelope.ok_or_else(|| Failure::server("the server knows nothing about it"))?;
    call.show(&envelope)
}

pub(crate) async fn renew(call: &mut Call) -> Outcome {
    let id = call.only_arg()?;
    let mut body = vec![("lease_id".to_owned(), Node::from(id.as_str()))];
    body.extend(call.given(&["increment"]));
    let envelope = call.put(&format!("renewing lease {id}"), "sys/leases/renew", &object(body)).await?;
    let envelope = envelope.ok_or_else(|| Failure::server("the server answered without a lease"))?;
    call.show(&envelope)
}

pub(crate) async fn revoke(call: &mut Call) -> Outcome {
    let id = call.only_arg()?.trim_start_matches('/').to_owned();
    let (prefix, force, sync) = (call.parsed.on("prefix"), call.parsed.on("force"), call.parsed.on("sync"));
    let flag = ("sync", Node::Bool(sync));
    let doing = format!("revoking {id}");
    match (prefix, force) {
        (false, true) => return Err(Failure::local("Specifying -force also requires specifying -prefix")),
        (true, true) => {
            call.world.warn(&format!(
                "Warning! Force-removing leases under {id} leaves what they stand for behind."
            ));
            call.put(&doing, &format!("sys/leases/revoke-force/{id}"), &map([])).await?;
            return call.succeed(&format!("Force revoked any leases with prefix: {id}"));
        }
        (true, false) => {
            call.put(&doing, &format!("sys/leases/revoke-prefix/{id}"), &map([flag])).await?;
            if sync {
                return call.succeed(&format!("Revoked any leases with prefix: {id}"));
            }
        }
        (false, false) => {
            call.put(&doing, "sys/leases/revoke", &map([("lease_id", Node::from(id.as_str())), flag]))
                .await?;
            if sync {
                return call.succeed(&format!("Revoked lease: {id}"));
            }
        }
    }
    call.world.say("All revocation operations queued successfully!");
    Ok(crate::outcome::Exit::DONE)
}
