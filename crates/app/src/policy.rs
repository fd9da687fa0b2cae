//! Bounds of ages: the document `_rot/policy` beside the secrets, read at the start and again while documents rotate. A
//! rotation reckons with what stands there, so a process may not go on with what it read when it began.

use std::time::Duration;

use coffre_cache::{Local, Parameters, ParametersError, Policy};
use coffre_client::{Client, Error, ErrorKind};
use coffre_source::connect;

use crate::perform::Place;

/// Beside the documents.
const PATH: &str = "_rot/policy";

/// What stands there now. Nobody has to be allowed to read it; the defaults are the stricter bounds.
pub(crate) async fn read(client: &Client, place: &Place) -> Result<Policy, Error> {
    let found = match client.kv2_read(&place.mount, &format!("{}/{PATH}", place.environment), None).await {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound) => None,
        Err(error) => return Err(error),
    };
    let bound = |name: &str| {
        let value = found.as_ref()?.field(name)?;
        // EXPOSE: a length of time.
        connect::duration(value.expose())
    };
    Ok(Policy { soft: bound("soft_ttl"), max_stale: bound("max_stale") })
}

/// The bounds of a process that runs already: what it was told to keep for longer than the policy allows now, it keeps
/// for as long as that allows.
pub(crate) fn anew(policy: &Policy, local: &Local) -> Result<Parameters, ParametersError> {
    let allowed = policy.max_stale.unwrap_or_else(|| Parameters::default().hard);
    let hard = local.hard.map(|hard| hard.min(allowed));
    let soft = local.soft.map(|soft| soft.min(hard.unwrap_or(allowed)));
    Parameters::decide(policy, &Local { soft, hard, ..*local })
}

/// When the policy is looked at.
pub(crate) struct Look {
    /// Since boot; `None` while a look is under way.
    next: Option<Duration>,
}

impl Look {
    /// It was read just now.
    pub(crate) fn after(now: Duration, parameters: &Parameters) -> Self {
        Self { next: Some(now.saturating_add(parameters.soft)) }
    }

    pub(crate) const fn wake_at(&self) -> Option<Duration> {
        self.next
    }

    /// Whether it is time; then it counts as under way.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        self.next.take_if(|at| now >= *at).is_some()
    }
}
