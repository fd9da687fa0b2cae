use coffre_api::{BoxFuture, Endpoint, Op, RawJson, Refusal};
use coffre_policy::Existence;

use crate::args::Args;
use crate::cx::{Cx, MountCx, ReadCx};
use crate::lease::{AnyRenewed, LeaseRow, Renewal};
use crate::renewal::{LoginFacts, RenewTerms};
use crate::reply::{AnyReply, Reply};
use crate::row::{Meta, Row};
use crate::trie::{Found, Trie};

/// What can be mounted: a secrets engine or a login method.
pub trait Engine: Send + Sync + Sized + 'static {
    /// Its type name, as in `vault secrets enable KIND`.
    const KIND: &'static str;
    /// Captures in which upper and lower case name the same thing. They are lowered when a request is resolved, so
    /// that policy, audit and the engine see one spelling.
    const FOLDED: &'static [&'static str] = &[];
    /// The table: every endpoint it answers.
    const ROWS: &'static [Row<Self>];
    /// The kinds of leases that it gives.
    const LEASES: &'static [LeaseRow<Self>] = &[];

    /// Asked of a login method before a token that its login made is renewed: may it live on, and on which terms now?
    /// A refusal is what the caller reads; the token keeps its end. By default everything is as granted.
    fn renew_login(
        &self,
        _cx: MountCx<'_>,
        login: &LoginFacts,
    ) -> impl Future<Output = Result<RenewTerms, Refusal>> + Send {
        std::future::ready(Ok(login.terms))
    }

    /// Removes what has ended or was left behind: expired records, intents of requests that a crash cut off. Called
    /// soon after each unseal and about once a minute from then on, one call at a time. Idempotent; it does a bounded
    /// amount of work and goes on with the next call.
    fn tidy(&self, cx: MountCx<'_>) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = cx;
        std::future::ready(Ok(()))
    }

    /// Does what has its time: called about once a second while the server is unsealed and active, one call at a time,
    /// and after an unseal. The same rules as for [`Engine::tidy`]; who has nothing to do answers at once.
    fn tend(&self, cx: MountCx<'_>) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = cx;
        std::future::ready(Ok(()))
    }

    /// Called before the mount and its storage go: its leases are revoked and no request is inside. What an interrupted
    /// request may have left outside of our storage must be undone now, as nobody will know of it later. A refusal keeps
    /// the mount, closed, for another try. Idempotent.
    fn leave(&self, cx: MountCx<'_>) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = cx;
        std::future::ready(Ok(()))
    }
}

/// One endpoint, implemented.
pub trait Serve<E: Endpoint>: Engine {
    /// Does it. The request was permitted and recorded before; the reply is recorded before it leaves.
    fn serve(
        &self,
        cx: Cx<'_>,
        input: E::Input,
    ) -> impl Future<Output = Result<Reply<E::Output>, Refusal>> + Send;
}

/// Whether the thing that a write names is already there: decides between the capabilities create and update.
/// Rows without it count as update, as in Vault.
pub trait Exists<E: Endpoint>: Serve<E> {
    /// Looks, before anything was authorized; a [`ReadCx`] cannot write.
    fn exists(
        &self,
        cx: ReadCx<'_>,
        input: E::Input,
    ) -> impl Future<Output = Result<Existence, Refusal>> + Send;
}

/// The one erased form of an engine, held by a mount.
pub trait AnyEngine: Send + Sync + 'static {
    /// See [`Engine::KIND`].
    fn kind(&self) -> &'static str;
    /// See [`Engine::FOLDED`].
    fn folded(&self) -> &'static [&'static str];
    /// Finds the row for a path below the mount.
    fn find(&self, op: Op, rest: &str) -> Found;
    /// The facts of a row.
    fn meta(&self, row: usize) -> Option<&'static Meta>;
    /// The facts of all rows.
    fn metas(&self) -> Vec<&'static Meta>;
    /// Calls a row. Reached through [`crate::dispatch`] alone, since only that makes a [`Cx`].
    fn call<'a>(&'a self, row: usize, cx: Cx<'a>, args: Args<'a>)
    -> BoxFuture<'a, Result<AnyReply, Refusal>>;
    /// Asks a row whether its subject exists; `None` if the row does not tell.
    fn exists<'a>(
        &'a self,
        row: usize,
        cx: ReadCx<'a>,
        args: Args<'a>,
    ) -> Option<BoxFuture<'a, Result<Existence, Refusal>>>;
    /// See [`Engine::renew_login`].
    fn renew_login<'a>(
        &'a self,
        cx: MountCx<'a>,
        login: &'a LoginFacts,
    ) -> BoxFuture<'a, Result<RenewTerms, Refusal>>;
    /// Whether it gives leases of this kind.
    fn leases(&self, kind: &str) -> bool;
    /// See [`crate::Leased::renew`]; a kind that the engine does not have is our fault.
    fn renew_lease<'a>(
        &'a self,
        kind: &str,
        cx: MountCx<'a>,
        facts: &'a RawJson,
        asked: Renewal<'a>,
    ) -> BoxFuture<'a, Result<AnyRenewed, Refusal>>;
    /// See [`crate::Leased::revoke`]; a kind that the engine does not have is our fault.
    fn revoke_lease<'a>(
        &'a self,
        kind: &str,
        cx: MountCx<'a>,
        facts: &'a RawJson,
    ) -> BoxFuture<'a, Result<(), Refusal>>;
    /// See [`Engine::tidy`].
    fn tidy<'a>(&'a self, cx: MountCx<'a>) -> BoxFuture<'a, Result<(), Refusal>>;
    /// See [`Engine::tend`].
    fn tend<'a>(&'a self, cx: MountCx<'a>) -> BoxFuture<'a, Result<(), Refusal>>;
    /// See [`Engine::leave`].
    fn leave<'a>(&'a self, cx: MountCx<'a>) -> BoxFuture<'a, Result<(), Refusal>>;
}

/// An engine with the routing trie of its rows.
pub(crate) struct Routed<G> {
    engine: G,
    trie: Trie,
}

impl<G: Engine> Routed<G> {
    pub(crate) fn new(engine: G) -> Self {
        Self { engine, trie: Trie::from_rows::<G>() }
    }
}

impl<G: Engine> AnyEngine for Routed<G> {
    fn kind(&self) -> &'static str {
        G::KIND
    }

    fn folded(&self) -> &'static [&'static str] {
        G::FOLDED
    }

    fn find(&self, op: Op, rest: &str) -> Found {
        self.trie.find(op, rest)
    }

    fn meta(&self, row: usize) -> Option<&'static Meta> {
        G::ROWS.get(row).map(Row::meta)
    }

    fn metas(&self) -> Vec<&'static Meta> {
        G::ROWS.iter().map(Row::meta).collect()
    }

    fn call<'a>(
        &'a self,
        row: usize,
        cx: Cx<'a>,
        args: Args<'a>,
    ) -> BoxFuture<'a, Result<AnyReply, Refusal>> {
        match G::ROWS.get(row) {
            Some(row) => (row.call)(&self.engine, cx, args),
            None => Box::pin(std::future::ready(Err(Refusal::bug("a row that is not in its table")))),
        }
    }

    fn exists<'a>(
        &'a self,
        row: usize,
        cx: ReadCx<'a>,
        args: Args<'a>,
    ) -> Option<BoxFuture<'a, Result<Existence, Refusal>>> {
        let exists = G::ROWS.get(row)?.exists?;
        Some(exists(&self.engine, cx, args))
    }

    fn renew_login<'a>(
        &'a self,
        cx: MountCx<'a>,
        login: &'a LoginFacts,
    ) -> BoxFuture<'a, Result<RenewTerms, Refusal>> {
        Box::pin(self.engine.renew_login(cx, login))
    }

    fn leases(&self, kind: &str) -> bool {
        lease_row::<G>(kind).is_some()
    }

    fn renew_lease<'a>(
        &'a self,
        kind: &str,
        cx: MountCx<'a>,
        facts: &'a RawJson,
        asked: Renewal<'a>,
    ) -> BoxFuture<'a, Result<AnyRenewed, Refusal>> {
        match lease_row::<G>(kind) {
            Some(row) => (row.renew)(&self.engine, cx, facts, asked),
            None => Box::pin(std::future::ready(Err(unknown_kind()))),
        }
    }

    fn revoke_lease<'a>(
        &'a self,
        kind: &str,
        cx: MountCx<'a>,
        facts: &'a RawJson,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        match lease_row::<G>(kind) {
            Some(row) => (row.revoke)(&self.engine, cx, facts),
            None => Box::pin(std::future::ready(Err(unknown_kind()))),
        }
    }

    fn tidy<'a>(&'a self, cx: MountCx<'a>) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(self.engine.tidy(cx))
    }

    fn tend<'a>(&'a self, cx: MountCx<'a>) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(self.engine.tend(cx))
    }

    fn leave<'a>(&'a self, cx: MountCx<'a>) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(self.engine.leave(cx))
    }
}

fn lease_row<G: Engine>(kind: &str) -> Option<&'static LeaseRow<G>> {
    G::LEASES.iter().find(|row| row.kind() == kind)
}

fn unknown_kind() -> Refusal {
    Refusal::bug("a lease of a kind that its engine does not have")
}
