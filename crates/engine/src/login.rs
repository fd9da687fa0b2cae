//! Tries to log in, counted: the port through which a login method asks whether a name may be tried now.
//!
//! A method asks before it looks at a credential, under the name that it will tell as alias (one spelling for each
//! user), and whether or not that name exists. While the answer is out the try is counted as if it had failed, so that
//! any number of tries at once cannot pass the threshold; a try too many waits for the ones before it.

use std::sync::Arc;
use std::time::Duration;

use coffre_api::{BoxFuture, Refusal};

use crate::cx::Cx;

/// When a name is locked, and for how long (Vault documentation, "User lockout").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutRule {
    /// So many failures in a row lock. Never 0.
    pub threshold: u32,
    /// How long a lock lasts.
    pub duration: Duration,
    /// Failures are forgotten after so long without another one.
    pub reset: Duration,
}

/// Keeps count of tries to log in. The kernel implements it.
pub trait LoginGuard: Send + Sync {
    /// Waits until this name may be tried. 403 `permission denied` while it is locked.
    ///
    /// `accessor` names the mount; `name` is the user as the method knows him.
    fn attempt<'a>(
        &'a self,
        accessor: &'a str,
        name: &'a str,
        rule: LockoutRule,
    ) -> BoxFuture<'a, Result<Box<dyn Pending>, Refusal>>;
}

/// A try that is not decided yet. Dropped undecided it counts for nothing: who was cut off learnt nothing.
pub trait Pending: Send {
    /// The credential was right: earlier failures are forgotten.
    fn succeeded(self: Box<Self>);
    /// The credential was wrong. It counts from the moment of the call; the future ends when a lock that follows from
    /// it is durable.
    fn failed(self: Box<Self>) -> BoxFuture<'static, Result<(), Refusal>>;
}

/// A try to log in: say how it ended, or drop it if that cannot be known (the storage failed, the server is busy).
#[must_use = "say whether the credential was right"]
pub struct Attempt(Option<Box<dyn Pending>>);

impl Attempt {
    /// The credential was right.
    pub fn succeeded(self) {
        if let Some(pending) = self.0 {
            pending.succeeded();
        }
    }

    /// The credential was wrong. Answer only after this.
    pub async fn failed(self) -> Result<(), Refusal> {
        match self.0 {
            Some(pending) => pending.failed().await,
            None => Ok(()),
        }
    }
}

impl<'a> Cx<'a> {
    /// Asks whether a name may be tried; call it before the credential is looked at, for unknown names as well.
    ///
    /// 403 `permission denied` while the name is locked. Mounts without lockout (`lockout_disable`, or a method that
    /// has none) always may.
    pub async fn login_attempt(&self, name: &str) -> Result<Attempt, Refusal> {
        let Some((rule, guard)) = self.mount().lockout.zip(self.login_guard()) else {
            return Ok(Attempt(None));
        };
        guard.attempt(&self.mount().accessor, name, rule).await.map(|pending| Attempt(Some(pending)))
    }

    fn login_guard(&self) -> Option<&'a Arc<dyn LoginGuard>> {
        self.around().login_guard.as_ref()
    }
}
