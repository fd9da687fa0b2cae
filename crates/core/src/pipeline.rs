//! The whole request on one screen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::ids;
use coffre_api::{Access, Op, Refusal, VaultPath};
use coffre_audit::{About, Releasable, Released, RequestFacts, release_sealed};
use coffre_engine::{NoRow, Resolved, SealedRow, Surroundings, dispatch, dispatch_sealed, exists};
use coffre_policy::{Existence, Permit, Subject, authorize};

use crate::active::Active;
use crate::authenticate::{Identified, authenticate};
use crate::finish::Finisher;
use crate::incoming::Incoming;
use crate::kernel::Kernel;
use crate::tokens::{LiveToken, Use};

impl Kernel {
    /// The whole way of a request.
    pub(crate) async fn route_and_answer(self: &Arc<Self>, mut incoming: Incoming) -> Released {
        let Ok(id) = ids::uuid(&**self.entropy()) else {
            return release_sealed(
                Access::Token,
                Err(Refusal::new(coffre_api::Kind::Unavailable, "no randomness")),
            );
        };
        let mut around = self.surroundings(id, &mut incoming);
        let Some(active) = self.active() else { return self.handle_sealed(incoming, around).await };
        // The guard keeps a seal waiting until this request is done, for a bounded time.
        let Ok(_guard) = self.barrier().open() else { return self.handle_sealed(incoming, around).await };
        let routed = route(&active, &incoming);
        if let Ok(resolved) = routed {
            let resolved = match SealedRow::of(resolved) {
                Ok(row) => {
                    // Such rows need no storage of ours, and nobody without a token may hold up a seal.
                    drop((_guard, active));
                    return self.answer_sealed(row, &incoming, around).await;
                }
                Err(resolved) => *resolved,
            };
            if let Err(refusal) = self.admit_role(&active, &resolved, &incoming) {
                return self.refuse(&incoming, &around, None, resolved, refusal).await;
            }
            let identified = match authenticate(&active.tokens, around.presented.as_ref(), around.peer).await
            {
                Ok(identified) => identified,
                Err(refusal) => return self.refuse(&incoming, &around, None, resolved, refusal).await,
            };
            around.login_guard = Some(Arc::new(active.lockout.clone()));
            let space = identified.live.as_ref().map(|live| live.record.space.as_str());
            around.private_space = space.filter(|space| !space.is_empty()).map(Into::into);
            let released = self.answer(&active, resolved, identified, &incoming, &around).await;
            drop((_guard, active));
            self.seal_if_requested().await;
            return released;
        }
        self.answer_unrouted(&active, routed.err(), &incoming, &around).await
    }

    /// authorize → take a use → record → dispatch → finish → release.
    async fn answer(
        self: &Arc<Self>,
        active: &Active,
        resolved: Resolved,
        who: Identified,
        incoming: &Incoming,
        around: &Surroundings,
    ) -> Released {
        let Identified { caller, live } = who;
        let existence = match exists(&resolved, &incoming.raw, around).await {
            Ok(existence) => existence,
            Err(refusal) => return self.refuse(incoming, around, None, resolved, refusal).await,
        };
        let counts = !resolved.meta().access.is_public();
        let decision = authorize(caller, existence, &incoming.raw, resolved);
        // A refused request costs a use as well (Vault's rule): a stolen token cannot be tried out for free.
        let used = match live.as_ref().filter(|_| counts) {
            Some(live) => active.tokens.take_use(live).await,
            None => Ok(Use::More),
        };
        let last = matches!(used, Ok(Use::Last));
        let released = match (decision, used) {
            (Ok(permit), Ok(_)) => {
                self.record_and_call(active, permit, live.as_deref(), incoming, around).await
            }
            (Ok(permit), Err(refusal)) => {
                let (resolved, _, _) = permit.into_parts();
                self.refuse(incoming, around, None, resolved, refusal).await
            }
            (Err(refused), _) => {
                let (resolved, caller, refusal) = *refused;
                self.refuse(incoming, around, Some(&caller), resolved, refusal).await
            }
        };
        if let Some(live) = live.filter(|_| last) {
            // The last use is spent already, durably; this removes what the token owned.
            let revoked = active.tokens.revoke(live.key).await;
            self.log_cause(&around.request_id, revoked.as_ref().err());
        }
        released
    }

    async fn record_and_call(
        self: &Arc<Self>,
        active: &Active,
        permit: Permit<Resolved>,
        live: Option<&LiveToken>,
        incoming: &Incoming,
        around: &Surroundings,
    ) -> Released {
        let path = permit.subject().path().clone();
        let facts = RequestFacts { repairs_audit: repairs_audit(incoming), ..facts(incoming, around) };
        let (admitted, receipt) = match self.broker().record_request(permit, facts, &incoming.raw).await {
            Ok(recorded) => recorded,
            Err(down) => return self.audit_down(down),
        };
        if let Some(down) = receipt.unrecorded() {
            let request_id = around.request_id.as_str();
            tracing::error!(request_id, path = %path, cause = %down, "done without any audit entry, to mend audit");
        }
        let is_system = admitted.subject().mount().facts().kind == "system";
        let mount = admitted.subject().mount();
        // Held until what the engine made is kept: a mount is not taken away from under it.
        let inside = mount.enter().await;
        let reply = match (&inside, refuse_odd_slash(incoming, is_system)) {
            (Some(_), Ok(())) => dispatch(&admitted, &incoming.raw, around).await,
            (None, Ok(())) => Err(no_row(None, &path)),
            (_, Err(refusal)) => Err(refusal),
        };
        let finisher = Finisher {
            active,
            engine: mount,
            mount: mount.facts(),
            owner: live.map(LiveToken::owner),
            path: &path,
            request_id: &around.request_id,
            wrap_ttl: incoming.wrap_ttl,
            peer: around.peer,
            top_level: admitted.subject().meta().top_level,
            now: around.clock.wall(),
        };
        let answer = match reply {
            Ok(reply) => finisher.finish(reply).await,
            Err(refusal) => Err(refusal),
        };
        self.log_cause(&around.request_id, answer.as_ref().err());
        let answer = answer.map_err(|refusal| refusal.of_request(&around.request_id));
        self.broker().release(receipt, answer.map(|finished| Box::new(finished) as Box<dyn Releasable>)).await
    }

    /// A refusal before any engine was asked; recorded like everything else.
    async fn refuse(
        &self,
        incoming: &Incoming,
        around: &Surroundings,
        caller: Option<&coffre_policy::Caller>,
        resolved: Resolved,
        refusal: Refusal,
    ) -> Released {
        self.log_cause(&around.request_id, Some(&refusal));
        let refusal = refusal.of_request(&around.request_id);
        let about = About::subject(&resolved, Existence::Unknown);
        self.broker().release_refused(facts(incoming, around), about, caller, &incoming.raw, refusal).await
    }

    /// No mount or no row: only those whose policies would allow the path learn that there is nothing.
    async fn answer_unrouted(
        &self,
        active: &Active,
        why: Option<NoRow>,
        incoming: &Incoming,
        around: &Surroundings,
    ) -> Released {
        let subject = Unrouted { op: incoming.op, path: incoming.path.clone(), wrap_ttl: incoming.wrap_ttl };
        let identified = authenticate(&active.tokens, around.presented.as_ref(), around.peer).await;
        let (caller, refusal) = match identified {
            Err(refusal) => (None, refusal),
            Ok(who) => {
                let used = self.spend(active, who.live.as_deref(), around).await;
                match (authorize(who.caller, Existence::Unknown, &incoming.raw, subject), used) {
                    (Err(refused), _) => {
                        let (_, caller, refusal) = *refused;
                        (Some(caller), refusal)
                    }
                    (Ok(permit), Err(refusal)) => (Some(permit.into_parts().1), refusal),
                    (Ok(permit), Ok(())) => {
                        (Some(permit.into_parts().1), no_row(why.as_ref(), &incoming.path))
                    }
                }
            }
        };
        let subject = Unrouted { op: incoming.op, path: incoming.path.clone(), wrap_ttl: incoming.wrap_ttl };
        let about = About::subject(&subject, Existence::Unknown);
        let facts = facts(incoming, around);
        self.broker().release_refused(facts, about, caller.as_ref(), &incoming.raw, refusal).await
    }

    /// Takes a use for a request that no engine will see.
    async fn spend(
        &self,
        active: &Active,
        live: Option<&LiveToken>,
        around: &Surroundings,
    ) -> Result<(), Refusal> {
        let Some(live) = live else { return Ok(()) };
        if active.tokens.take_use(live).await? == Use::Last {
            let revoked = active.tokens.revoke(live.key).await;
            self.log_cause(&around.request_id, revoked.as_ref().err());
        }
        Ok(())
    }

    /// While sealed only the rows that say so are answered.
    async fn handle_sealed(self: &Arc<Self>, incoming: Incoming, around: Surroundings) -> Released {
        let resolved = self.sealed_sys().resolve(incoming.op, incoming.path.clone(), None);
        match resolved.map(SealedRow::of) {
            Ok(Ok(row)) => self.answer_sealed(row, &incoming, around).await,
            _ => release_sealed(Access::Token, Err(Refusal::sealed())),
        }
    }

    async fn answer_sealed(
        self: &Arc<Self>,
        row: SealedRow,
        incoming: &Incoming,
        around: Surroundings,
    ) -> Released {
        let access = row.resolved().meta().access;
        let reply = dispatch_sealed(&row, &incoming.raw, &around).await;
        let answer = reply.and_then(|reply| Finisher::finish_bare(reply, &around.request_id));
        self.log_cause(&around.request_id, answer.as_ref().err());
        let answer = answer.map_err(|refusal| refusal.of_request(&around.request_id));
        release_sealed(access, answer.map(|finished| Box::new(finished) as Box<dyn Releasable>))
    }

    pub(crate) fn surroundings(&self, request_id: String, incoming: &mut Incoming) -> Surroundings {
        Surroundings {
            request_id,
            peer: incoming.peer.map(|peer| peer.ip()),
            presented: incoming.token.take(),
            private_space: None,
            login_guard: None,
            clock: Arc::clone(self.clock()),
            entropy: Arc::clone(self.entropy()),
        }
    }
}

/// Finds the mount and the row.
fn route(active: &Active, incoming: &Incoming) -> Result<Resolved, NoRow> {
    let router = active.mounts.router();
    let mount = router.find(&incoming.path).ok_or(NoRow::Path)?;
    let resolved = mount.resolve(incoming.op, incoming.path.clone(), incoming.wrap_ttl)?;
    Ok(resolved.behind(incoming.open))
}

fn no_row(why: Option<&NoRow>, path: &VaultPath) -> Refusal {
    match why {
        Some(NoRow::Op(_)) => Refusal::new(coffre_api::Kind::Unsupported, "unsupported operation"),
        _ => Refusal::missing_because(format!("no handler for route \"{path}\". route entry not found.")),
    }
}

/// A path that ends with a slash names a folder: it can be listed and nothing else.
fn refuse_odd_slash(incoming: &Incoming, is_system: bool) -> Result<(), Refusal> {
    match incoming.op {
        _ if !incoming.trailing_slash => Ok(()),
        Op::List => Ok(()),
        // `sys` names mounts and devices, whose paths end in a slash wherever they are shown.
        Op::Read | Op::Delete if is_system => Ok(()),
        // A prefix of leases is a folder, and people write it as one: `revoke-prefix/auth/userpass/`.
        Op::Write if incoming.path.as_str().starts_with("sys/leases/revoke-") => Ok(()),
        Op::Write | Op::Patch => Err(Refusal::invalid("cannot write to a path ending in '/'")),
        Op::Read | Op::Delete => Err(Refusal::missing()),
    }
}

pub(crate) fn facts<'a>(incoming: &'a Incoming, around: &'a Surroundings) -> RequestFacts<'a> {
    let remote: Option<SocketAddr> = incoming.peer;
    RequestFacts {
        id: &around.request_id,
        token: around.presented.as_ref(),
        remote,
        headers: &incoming.headers,
        repairs_audit: false,
    }
}

/// Whether the request looks at the audit devices or disables one: the way out when all of them are dead.
fn repairs_audit(incoming: &Incoming) -> bool {
    let path = incoming.path.as_str();
    match incoming.op {
        Op::Read => path == "sys/audit",
        Op::Delete => path.starts_with("sys/audit/"),
        _ => false,
    }
}

/// What a request without a mount or row is, for policy and audit.
pub(crate) struct Unrouted {
    pub(crate) op: Op,
    pub(crate) path: VaultPath,
    pub(crate) wrap_ttl: Option<Duration>,
}

impl Subject for Unrouted {
    fn op(&self) -> Op {
        self.op
    }

    fn path(&self) -> &VaultPath {
        &self.path
    }

    fn access(&self) -> Access {
        Access::Token
    }

    fn wrap_ttl(&self) -> Option<Duration> {
        self.wrap_ttl
    }
}
