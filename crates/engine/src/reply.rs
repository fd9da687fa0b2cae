use std::collections::BTreeMap;
use std::time::Duration;

use coffre_api::{AuthBlock, RawJson, Refusal};
use serde::Serialize;

use crate::lease::{AnyLease, Lease, LeaseBlock, LeaseFacts, LeaseGrant};

/// What an engine answers, typed.
pub struct Reply<T> {
    shape: Shape,
    data: Option<T>,
    auth: Option<Auth>,
    warnings: Vec<String>,
    lease_duration: u64,
    lease: Option<PendingLease>,
    wrapped_accessor: Option<String>,
}

/// A lease whose facts may have failed to become JSON; that is told when the reply is erased.
enum PendingLease {
    Grant(Result<LeaseGrant, Refusal>),
    Block(LeaseBlock),
}

/// How the answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 200 with an envelope.
    Data,
    /// 204, or 200 with an envelope if there are warnings.
    Empty,
    /// 404 with an empty list of errors.
    Missing,
    /// 404 with an envelope: a deleted version's metadata, or a warning that names the right path.
    MissingWith,
    /// 202 with an envelope: accepted, done later.
    Accepted,
    /// The body alone, without an envelope, under the given status code.
    Bare(u16),
    /// A text of this media type instead of JSON; the data is the text.
    Text(&'static str),
}

/// The `auth` block, or what the kernel needs to make it.
pub enum Auth {
    /// A login succeeded: the kernel is to make a token of this kind.
    Grant(Box<TokenGrant>),
    /// The token is made already.
    Block(Box<AuthBlock>),
}

/// What kind of token a login asks for. A mount that is tuned to `service` or `batch` overrules it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TokenKind {
    /// Whatever the mount gives by default.
    #[default]
    Default,
    /// Stored, renewable, revocable.
    Service,
    /// Not stored: an encrypted blob.
    Batch,
}

/// The token that a login asks the kernel to make. Zero durations and counts mean "not set".
#[derive(Clone, Debug, Default)]
pub struct TokenGrant {
    /// Policies, not yet sorted or completed with `default`.
    pub policies: Vec<String>,
    /// Leave `default` out.
    pub no_default_policy: bool,
    /// Shown in lookups and audit; the kernel puts the mount's name before it.
    pub display_name: String,
    /// Facts about the caller, shown in `auth.metadata`.
    pub metadata: BTreeMap<String, String>,
    /// The name under which the method knows the caller (a role id, a user name).
    pub alias: String,
    /// What is kept with the alias for policies' templates; `None`: the metadata above.
    pub alias_metadata: Option<BTreeMap<String, String>>,
    /// The groups that the method knows the caller to be in: external groups follow them.
    pub group_aliases: Vec<String>,
    /// Time to live.
    pub ttl: Duration,
    /// Bound of all renewals together.
    pub max_ttl: Duration,
    /// Bound that nothing extends.
    pub explicit_max_ttl: Duration,
    /// Renewal resets to this.
    pub period: Duration,
    /// 0 is unlimited.
    pub num_uses: u64,
    /// Networks (CIDR) from which the token may be used; empty is everywhere.
    pub bound_cidrs: Vec<String>,
    /// Stored or not.
    pub kind: TokenKind,
    /// What the method wants to see again when the token is renewed, in
    /// [`LoginFacts::facts`](crate::LoginFacts::facts). Shown to nobody; keep it small.
    pub facts: BTreeMap<String, String>,
}

impl<T: Serialize> Reply<T> {
    /// 200 with this under `data`.
    pub const fn data(data: T) -> Self {
        Self::new(Shape::Data, Some(data))
    }

    /// 204.
    pub const fn empty() -> Self {
        Self::new(Shape::Empty, None)
    }

    /// 404.
    pub const fn missing() -> Self {
        Self::new(Shape::Missing, None)
    }

    /// 404 whose body tells something all the same.
    pub const fn missing_with(data: T) -> Self {
        Self::new(Shape::MissingWith, Some(data))
    }

    /// 404 with nothing but a sentence for the person who asked.
    pub fn missing_but(warning: impl Into<String>) -> Self {
        Self::new(Shape::MissingWith, None).warn(warning)
    }

    /// 202.
    pub const fn accepted(data: Option<T>) -> Self {
        Self::new(Shape::Accepted, data)
    }

    /// The body alone, without an envelope.
    pub const fn bare(data: T) -> Self {
        Self::new(Shape::Bare(200), Some(data))
    }

    /// The body alone, under a status code that is part of the contract (`sys/health`).
    pub const fn bare_with_status(data: T, status: u16) -> Self {
        Self::new(Shape::Bare(status), Some(data))
    }

    /// A text of this media type instead of JSON: `data` must be written as a JSON string.
    pub const fn text(media: &'static str, data: T) -> Self {
        Self::new(Shape::Text(media), Some(data))
    }

    /// A login succeeded.
    pub fn login(grant: TokenGrant) -> Self {
        let mut reply = Self::new(Shape::Data, None);
        reply.auth = Some(Auth::Grant(Box::new(grant)));
        reply
    }

    /// A token was made or renewed.
    pub fn auth(block: AuthBlock) -> Self {
        let mut reply = Self::new(Shape::Data, None);
        reply.auth = Some(Auth::Block(Box::new(block)));
        reply
    }

    /// 200 with a credential under `data` that the kernel is to lease to the caller: see [`crate::lease`] for what an
    /// engine does before and what happens if the lease cannot be kept.
    pub fn leased<L: LeaseFacts>(data: T, lease: Lease<L>) -> Self {
        let mut reply = Self::new(Shape::Data, Some(data));
        reply.lease = Some(PendingLease::Grant(lease.erase()));
        reply
    }

    /// 200 about a lease that exists, without data.
    pub fn lease(block: LeaseBlock) -> Self {
        let mut reply = Self::new(Shape::Data, None);
        reply.lease = Some(PendingLease::Block(block));
        reply
    }

    /// Adds a sentence for the person who asked.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }

    /// Adds several.
    #[must_use]
    pub fn warn_all(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// `lease_duration` of an answer without a lease: how long the caller may keep it (KV version 1).
    #[must_use]
    pub const fn keep_for(mut self, seconds: u64) -> Self {
        self.lease_duration = seconds;
        self
    }

    /// The accessor of a token or secret id inside, shown when the answer is wrapped.
    #[must_use]
    pub fn wrapping(mut self, accessor: impl Into<String>) -> Self {
        self.wrapped_accessor = Some(accessor.into());
        self
    }

    const fn new(shape: Shape, data: Option<T>) -> Self {
        Self {
            shape,
            data,
            auth: None,
            warnings: Vec::new(),
            lease_duration: 0,
            lease: None,
            wrapped_accessor: None,
        }
    }

    /// Serializes the data, once.
    pub(crate) fn erase(self, mut warnings: Vec<String>) -> Result<AnyReply, Refusal> {
        let data = self.data.as_ref().map(RawJson::of).transpose();
        let data = data.map_err(|_| Refusal::bug("the reply could not be written as JSON"))?;
        warnings.extend(self.warnings);
        let lease = match self.lease {
            None => None,
            Some(PendingLease::Grant(grant)) => Some(AnyLease::Grant(Box::new(grant?))),
            Some(PendingLease::Block(block)) => Some(AnyLease::Block(block)),
        };
        Ok(AnyReply {
            shape: self.shape,
            data,
            auth: self.auth,
            warnings,
            lease_duration: self.lease_duration,
            lease,
            wrapped_accessor: self.wrapped_accessor,
        })
    }
}

/// What an engine answered, with the data as JSON text.
pub struct AnyReply {
    /// How it is framed.
    pub shape: Shape,
    /// Under `data`, or the whole body if bare.
    pub data: Option<RawJson>,
    /// The `auth` block.
    pub auth: Option<Auth>,
    /// Sentences for the person who asked.
    pub warnings: Vec<String>,
    /// Seconds, for an answer without a lease.
    pub lease_duration: u64,
    /// The lease, made or to be made.
    pub lease: Option<AnyLease>,
    /// See [`Reply::wrapping`].
    pub wrapped_accessor: Option<String>,
}
