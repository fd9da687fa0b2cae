//! Leases, typed: what an engine remembers of a credential that it made, so that the kernel can have it renewed and
//! revoked later, without the request or the caller that it was made for.
//!
//! # The contract
//! *Before* an engine makes something outside of our own storage it writes an intent into its storage (a record that
//! names what it is about to make), and passes the intent's path in [`Lease::settling`]. The kernel removes the intent
//! in the same transaction that writes the lease, so at every moment one of the two stands in storage. An intent that
//! is older than any request may last is the remains of a crash: the engine's [`Engine::tidy`] undoes it.
//!
//! The lease is durable before the answer leaves. If it cannot be stored, the kernel calls [`Leased::revoke`] at once
//! and the caller gets an error instead of the credential.
//!
//! [`Leased::revoke`] may be called again after it succeeded (a crash may come before the kernel noted the success), and
//! may be called for something that was never made: both must succeed. It is given up after a bounded time and then
//! tried again, so it must leave things so that the next try can finish.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::{BoxFuture, RawJson, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cx::MountCx;
use crate::serve::Engine;

/// What an engine stores of one kind of lease: the names by which it finds the credential again. It may hold secrets;
/// it is encrypted at rest and shown to nobody.
pub trait LeaseFacts: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Names the kind within its engine, in storage, for ever.
    const KIND: &'static str;
}

/// An engine that can renew and revoke leases of the kind `L`.
pub trait Leased<L: LeaseFacts>: Engine {
    /// Lengthens the life of what was made, to at most [`Renewal::until`]. A refusal denies the renewal and leaves the
    /// lease as it was. Engines whose credentials have no end of their own need not implement it.
    fn renew(
        &self,
        cx: MountCx<'_>,
        facts: &L,
        asked: Renewal<'_>,
    ) -> impl Future<Output = Result<Renewed<L>, Refusal>> + Send {
        let _ = (cx, facts, asked);
        std::future::ready(Ok(Renewed::as_asked()))
    }

    /// Ends what was made. Fine if it is not there.
    fn revoke(&self, cx: MountCx<'_>, facts: &L) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// A renewal that the kernel's own rules allow.
#[derive(Clone, Copy, Debug)]
pub struct Renewal<'a> {
    /// The lease.
    pub lease_id: &'a str,
    /// When it was made.
    pub issued: Wall,
    /// Its new end, which no maximum forbids.
    pub until: Wall,
}

/// What the engine makes of a renewal.
#[derive(Debug)]
pub struct Renewed<L> {
    /// An end that is sooner than the one asked for; a later one is cut.
    pub until: Option<Wall>,
    /// What is to be stored from now on.
    pub facts: Option<L>,
}

impl<L> Renewed<L> {
    /// To the end that was asked for, with the same facts.
    #[must_use]
    pub const fn as_asked() -> Self {
        Self { until: None, facts: None }
    }
}

/// A lease that an engine asks for, in [`Reply::leased`](crate::Reply::leased).
#[derive(Debug)]
pub struct Lease<L> {
    facts: L,
    ttl: Duration,
    max_ttl: Duration,
    renewable: bool,
    intent: Option<String>,
}

impl<L: LeaseFacts> Lease<L> {
    /// A renewable lease with the mount's lifetimes.
    pub const fn new(facts: L) -> Self {
        Self { facts, ttl: Duration::ZERO, max_ttl: Duration::ZERO, renewable: true, intent: None }
    }

    /// How long it lives at first; zero is the mount's default. Bounded by the mount's maximum.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long all renewals together may make it; zero is the mount's maximum, which also bounds it.
    #[must_use]
    pub const fn max_ttl(mut self, max_ttl: Duration) -> Self {
        self.max_ttl = max_ttl;
        self
    }

    /// It ends when its first life ends.
    #[must_use]
    pub const fn not_renewable(mut self) -> Self {
        self.renewable = false;
        self
    }

    /// The record in the mount's storage that announced the credential. The lease takes its place: the record goes in
    /// the transaction in which the lease comes.
    #[must_use]
    pub fn settling(mut self, intent: impl Into<String>) -> Self {
        self.intent = Some(intent.into());
        self
    }

    pub(crate) fn erase(self) -> Result<LeaseGrant, Refusal> {
        let facts = RawJson::of(&self.facts);
        Ok(LeaseGrant {
            kind: L::KIND,
            facts: facts.map_err(|_| Refusal::bug("a lease's facts cannot be written as JSON"))?,
            ttl: self.ttl,
            max_ttl: self.max_ttl,
            renewable: self.renewable,
            intent: self.intent,
        })
    }
}

/// A [`Lease`] with its facts as JSON text.
#[derive(Debug)]
pub struct LeaseGrant {
    /// [`LeaseFacts::KIND`].
    pub kind: &'static str,
    /// What the engine stores.
    pub facts: RawJson,
    /// See [`Lease::ttl`].
    pub ttl: Duration,
    /// See [`Lease::max_ttl`].
    pub max_ttl: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// See [`Lease::settling`].
    pub intent: Option<String>,
}

/// What an answer tells of a lease that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseBlock {
    /// `<request path>/<24 letters and digits>`.
    pub id: String,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Seconds.
    pub duration: u64,
}

/// The lease of an answer.
#[derive(Debug)]
pub enum AnyLease {
    /// The kernel is to make it.
    Grant(Box<LeaseGrant>),
    /// It exists.
    Block(LeaseBlock),
}

/// What came of a renewal, with facts as JSON text.
#[derive(Debug)]
pub struct AnyRenewed {
    /// See [`Renewed::until`].
    pub until: Option<Wall>,
    /// See [`Renewed::facts`].
    pub facts: Option<RawJson>,
}

type Renew<G> =
    for<'a> fn(&'a G, MountCx<'a>, &'a RawJson, Renewal<'a>) -> BoxFuture<'a, Result<AnyRenewed, Refusal>>;
type Revoke<G> = for<'a> fn(&'a G, MountCx<'a>, &'a RawJson) -> BoxFuture<'a, Result<(), Refusal>>;

/// A kind of lease in an engine's table: plain data and function pointers.
pub struct LeaseRow<G: ?Sized> {
    kind: &'static str,
    pub(crate) renew: Renew<G>,
    pub(crate) revoke: Revoke<G>,
}

impl<G: Engine> LeaseRow<G> {
    /// The row of the leases whose facts are an `L`.
    pub const fn of<L: LeaseFacts>() -> Self
    where
        G: Leased<L>,
    {
        Self { kind: L::KIND, renew: renew::<G, L>, revoke: revoke::<G, L> }
    }

    /// [`LeaseFacts::KIND`].
    pub const fn kind(&self) -> &'static str {
        self.kind
    }
}

fn renew<'a, G: Leased<L>, L: LeaseFacts>(
    engine: &'a G,
    cx: MountCx<'a>,
    facts: &'a RawJson,
    asked: Renewal<'a>,
) -> BoxFuture<'a, Result<AnyRenewed, Refusal>> {
    Box::pin(async move {
        let renewed = engine.renew(cx, &read::<L>(facts)?, asked).await?;
        let facts = renewed.facts.as_ref().map(RawJson::of).transpose();
        Ok(AnyRenewed { until: renewed.until, facts: facts.map_err(Refusal::bug)? })
    })
}

fn revoke<'a, G: Leased<L>, L: LeaseFacts>(
    engine: &'a G,
    cx: MountCx<'a>,
    facts: &'a RawJson,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move { engine.revoke(cx, &read::<L>(facts)?).await })
}

fn read<L: LeaseFacts>(facts: &RawJson) -> Result<L, Refusal> {
    // EXPOSE: parsed into the engine's own type; serde's message would quote values.
    serde_json::from_str(facts.expose())
        .map_err(|_| Refusal::bug("what was stored of a lease cannot be read"))
}
