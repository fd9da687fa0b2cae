//! What a handler may use: storage scoped to its mount, time, randomness, and facts about the request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, Entropy, Wall};
use coffre_api::{Refusal, VaultPath};
use coffre_barrier::{ReadView, View};
use coffre_policy::{Caller, Subject};
use coffre_secret::SecretText;
use tokio::sync::OwnedRwLockWriteGuard;

use crate::login::LoginGuard;
use crate::mount::{Mount, MountFacts, Resolved};
use crate::page::Page;

/// What surrounds a request besides its arguments.
pub struct Surroundings {
    /// Names the request in answers and audit.
    pub request_id: String,
    /// The client's address.
    pub peer: Option<IpAddr>,
    /// The token that came with the request. Only the token method and `sys` can see it.
    pub presented: Option<SecretText>,
    /// The key of the caller's private storage (cubbyhole); none for anonymous callers and batch tokens.
    pub private_space: Option<Arc<str>>,
    /// Counts tries to log in; none where nothing is counted.
    pub login_guard: Option<Arc<dyn LoginGuard>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// What a handler may use. It borrows the request, so no handler outlives it; it can be made by dispatch alone.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    resolved: &'a Resolved,
    caller: Option<&'a Caller>,
    around: &'a Surroundings,
    page: Page<'a>,
}

impl<'a> Cx<'a> {
    pub(crate) const fn new(
        resolved: &'a Resolved,
        caller: Option<&'a Caller>,
        around: &'a Surroundings,
        page: Page<'a>,
    ) -> Self {
        Self { resolved, caller, around, page }
    }

    pub(crate) const fn around(&self) -> &'a Surroundings {
        self.around
    }

    /// The mount's storage. Refused while sealed, where no storage exists.
    pub fn view(&self) -> Result<&'a View, Refusal> {
        self.resolved.mount().view().ok_or_else(Refusal::sealed)
    }

    /// The mount's path, accessor and lifetimes.
    pub fn mount(&self) -> &'a MountFacts {
        self.resolved.mount().facts()
    }

    /// The mount without the request: for what a row and the background do alike.
    pub fn on_mount(&self) -> MountCx<'a> {
        MountCx::new(self.resolved.mount(), self.clock(), self.entropy())
    }

    /// The whole path that was asked.
    pub fn path(&self) -> &'a VaultPath {
        self.resolved.path()
    }

    /// Who asks; `None` on sealed rows.
    pub const fn caller(&self) -> Option<&'a Caller> {
        self.caller
    }

    /// Names the request.
    pub fn request_id(&self) -> &'a str {
        &self.around.request_id
    }

    /// The client's address.
    pub const fn peer(&self) -> Option<IpAddr> {
        self.around.peer
    }

    /// The key of the caller's private storage.
    pub fn private_space(&self) -> Option<&'a Arc<str>> {
        self.around.private_space.as_ref()
    }

    /// The token that came with the request, for the parts of the kernel that manage tokens; other engines never
    /// see it, so none can pass it on.
    pub fn presented_token(&self) -> Option<&'a SecretText> {
        let manages_tokens = matches!(self.mount().kind.as_str(), "system" | "token");
        self.around.presented.as_ref().filter(|_| manages_tokens)
    }

    /// How long the answer is to stay wrapped, if the caller asked for that.
    pub fn wrap_ttl(&self) -> Option<Duration> {
        self.resolved.wrap_ttl()
    }

    /// The part of a list that was asked for: hand it on to storage. Dispatch cuts the answer to it in any case.
    pub const fn page(&self) -> Page<'a> {
        self.page
    }

    /// Wall time now.
    pub fn now(&self) -> Wall {
        self.around.clock.wall()
    }

    /// The clock.
    pub fn clock(&self) -> &'a dyn Clock {
        &*self.around.clock
    }

    /// Randomness.
    pub fn entropy(&self) -> &'a dyn Entropy {
        &*self.around.entropy
    }

    /// Makes read-modify-write on one name exclusive within this mount. Take one lock at a time.
    pub async fn lock(&self, name: &str) -> OwnedRwLockWriteGuard<()> {
        self.resolved.mount().locks().lock(name).await
    }
}

/// What an existence check may use: it cannot write.
#[derive(Clone, Copy)]
pub struct ReadCx<'a> {
    view: &'a ReadView,
    around: &'a Surroundings,
}

impl<'a> ReadCx<'a> {
    pub(crate) const fn new(view: &'a ReadView, around: &'a Surroundings) -> Self {
        Self { view, around }
    }

    /// The mount's storage, for reading.
    pub const fn view(&self) -> &'a ReadView {
        self.view
    }

    /// The key of the caller's private storage.
    pub fn private_space(&self) -> Option<&'a Arc<str>> {
        self.around.private_space.as_ref()
    }
}

/// What an engine may use when the kernel asks on its own behalf: no request, no caller, no token.
#[derive(Clone, Copy)]
pub struct MountCx<'a> {
    mount: &'a Mount,
    clock: &'a dyn Clock,
    entropy: &'a dyn Entropy,
}

impl<'a> MountCx<'a> {
    /// For a call into the engine of this mount.
    pub const fn new(mount: &'a Mount, clock: &'a dyn Clock, entropy: &'a dyn Entropy) -> Self {
        Self { mount, clock, entropy }
    }

    /// The mount's storage. Refused while sealed, where no storage exists.
    pub fn view(&self) -> Result<&'a View, Refusal> {
        self.mount.view().ok_or_else(Refusal::sealed)
    }

    /// The mount's path, accessor and lifetimes.
    pub const fn mount(&self) -> &'a MountFacts {
        self.mount.facts()
    }

    /// Wall time now.
    pub fn now(&self) -> Wall {
        self.clock.wall()
    }

    /// The clock.
    pub const fn clock(&self) -> &'a dyn Clock {
        self.clock
    }

    /// Randomness.
    pub const fn entropy(&self) -> &'a dyn Entropy {
        self.entropy
    }

    /// Makes read-modify-write on one name exclusive within this mount, also against requests. Take one lock at a
    /// time.
    pub async fn lock(&self, name: &str) -> OwnedRwLockWriteGuard<()> {
        self.mount.locks().lock(name).await
    }
}
