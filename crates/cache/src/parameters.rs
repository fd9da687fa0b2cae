use std::time::Duration;

/// Bounds of one entry.
///
/// `soft` and `hard` come from the document `_rot/policy`, else from the defaults; a rotator that has no acknowledgements
/// waits as long as the policy's `max_stale`, which is sound only if no client keeps values longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parameters {
    /// Age from which a value is asked for again: 300 s.
    pub soft: Duration,
    /// Age from which a value is never used: 3600 s.
    pub hard: Duration,
    /// First pause after the server's "no": 10 s, doubling...
    pub negative_first: Duration,
    /// ...up to this: 60 s.
    pub negative_last: Duration,
    /// How long a reader waits that brings no budget of its own: 2 s.
    pub wait: Duration,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            soft: Duration::from_secs(300),
            hard: Duration::from_secs(3600),
            negative_first: Duration::from_secs(10),
            negative_last: Duration::from_secs(60),
            wait: Duration::from_secs(2),
        }
    }
}

/// What the document `_rot/policy` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `soft_ttl`.
    pub soft: Option<Duration>,
    /// `max_stale`.
    pub max_stale: Option<Duration>,
}

/// What the application's own settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// Soft bound.
    pub soft: Option<Duration>,
    /// Hard bound.
    pub hard: Option<Duration>,
    /// A reader's budget.
    pub wait: Option<Duration>,
}

/// Settings that cannot be worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// The application wants to keep values longer than the policy allows.
    #[error(
        "max_stale is set to {} s here, but the policy allows {} s; lower it here, or raise max_stale in _rot/policy",
        local.as_secs(),
        policy.as_secs()
    )]
    HardAbovePolicy {
        /// What is set here.
        local: Duration,
        /// What the policy allows.
        policy: Duration,
    },
    /// A bound of zero.
    #[error("{0} must be more than zero")]
    Zero(&'static str),
    /// A soft bound above the hard one.
    #[error(
        "the soft bound of {} s lies above the hard bound of {} s; lower it",
        soft.as_secs(),
        hard.as_secs()
    )]
    SoftAboveHard {
        /// The soft bound.
        soft: Duration,
        /// The hard bound.
        hard: Duration,
    },
    /// A budget above ten minutes.
    #[error("a reader may wait {} s at most", WAIT_CAP.as_secs())]
    WaitTooLong,
}

/// Longest budget of a reader.
const WAIT_CAP: Duration = Duration::from_secs(600);

impl Parameters {
    /// Bounds from policy and local settings. Without a policy its defaults stand, and they too may not be exceeded
    /// locally. A soft bound that nobody set locally shrinks with the hard one.
    ///
    /// # Errors
    /// A local hard bound above the policy's; a zero; soft above hard; a budget above 600 s.
    pub fn decide(policy: &Policy, local: &Local) -> Result<Self, ParametersError> {
        let defaults = Self::default();
        let allowed = policy.max_stale.unwrap_or(defaults.hard);
        let hard = local.hard.unwrap_or(allowed);
        if hard > allowed {
            return Err(ParametersError::HardAbovePolicy { local: hard, policy: allowed });
        }
        let soft = local.soft.unwrap_or_else(|| policy.soft.unwrap_or(defaults.soft).min(hard));
        let wait = local.wait.unwrap_or(defaults.wait);
        for (name, value) in [("max_stale", hard), ("the soft bound", soft)] {
            if value.is_zero() {
                return Err(ParametersError::Zero(name));
            }
        }
        if soft > hard {
            return Err(ParametersError::SoftAboveHard { soft, hard });
        }
        if wait > WAIT_CAP {
            return Err(ParametersError::WaitTooLong);
        }
        Ok(Self { soft, hard, wait, ..defaults })
    }

    /// The budget of a reader.
    pub(crate) fn budget(&self, asked: Option<Duration>) -> Duration {
        asked.unwrap_or(self.wait).min(WAIT_CAP)
    }
}

/// Bounds of the whole machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Requests for entries under way at once: 8.
    pub flights: usize,
    /// Entries known: 4096.
    pub entries: usize,
    /// Readers that wait: 16384.
    pub waiters: usize,
    /// After this long a request counts as failed: 30 s.
    pub request: Duration,
    /// After this long a probe counts as failed: 30 s.
    pub probe: Duration,
    /// After this long a replaced credential is revoked though somebody may still use it: one hour.
    pub drain: Duration,
    /// Replaced credentials of one entry that wait to be drained; the oldest is revoked when there are more: 4.
    pub draining: usize,
    /// Over this time replacements are spread when all leases were lost at once: 300 s.
    pub restart_window: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flights: 8,
            entries: 4096,
            waiters: 16_384,
            request: Duration::from_secs(30),
            probe: Duration::from_secs(30),
            drain: Duration::from_secs(3600),
            draining: 4,
            restart_window: Duration::from_secs(300),
        }
    }
}

/// How a machine is made. One machine speaks to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bounds.
    pub limits: Limits,
    /// Seed of all spreading and jitter; different in each instance, drawn from the system's randomness.
    pub seed: u64,
    /// Whether requests need a token. The socket of a local agent needs none.
    pub needs_token: bool,
    /// Whether the driver can log in by itself. Without it a token comes by [`crate::Event::LoggedIn`] alone.
    pub can_login: bool,
}

impl Settings {
    /// Default limits, with a token that the driver logs in for.
    pub fn new(seed: u64) -> Self {
        Self { limits: Limits::default(), seed, needs_token: true, can_login: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Option<Duration> {
        Some(Duration::from_secs(n))
    }

    #[test]
    fn a_local_hard_bound_above_the_policy_is_an_error() {
        let policy = Policy { soft: None, max_stale: secs(600) };
        let local = Local { hard: secs(601), ..Local::default() };
        let error = Parameters::decide(&policy, &local).unwrap_err();
        assert!(error.to_string().contains("601 s") && error.to_string().contains("600 s"));
        let same = Local { hard: secs(600), ..Local::default() };
        assert_eq!(Parameters::decide(&policy, &same).unwrap().hard, Duration::from_secs(600));
        // Without a policy the default is the policy.
        let local = Local { hard: secs(3601), ..Local::default() };
        assert!(Parameters::decide(&Policy::default(), &local).is_err());
        assert_eq!(Parameters::decide(&Policy::default(), &Local::default()), Ok(Parameters::default()));
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        let decide = |soft, hard, wait| Parameters::decide(&Policy::default(), &Local { soft, hard, wait });
        assert_eq!(decide(None, secs(0), None), Err(ParametersError::Zero("max_stale")));
        assert!(matches!(decide(secs(20), secs(10), None), Err(ParametersError::SoftAboveHard { .. })));
        assert_eq!(decide(None, secs(10), None).unwrap().soft, Duration::from_secs(10));
        assert_eq!(decide(None, None, secs(601)), Err(ParametersError::WaitTooLong));
    }
}
