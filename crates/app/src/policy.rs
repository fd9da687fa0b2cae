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
/// for as long as that allows. Where nothing can be read any more the bounds of `before` are never exceeded: a rotation may
/// still reckon with them.
pub(crate) fn anew(
    policy: &Policy,
    local: &Local,
    before: &Parameters,
) -> Result<Parameters, ParametersError> {
    let allowed = policy.max_stale.unwrap_or_else(|| Parameters::default().hard);
    let hard = local.hard.map(|hard| hard.min(allowed));
    let soft = local.soft.map(|soft| soft.min(hard.unwrap_or(allowed)));
    let mut after = Parameters::decide(policy, &Local { soft, hard, ..*local })?;
    if *policy == Policy::default() {
        after.hard = after.hard.min(before.hard);
        after.soft = after.soft.min(before.soft);
    }
    Ok(after)
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

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    #[test]
    fn bounds_follow_the_policy_and_never_grow_because_it_cannot_be_read() {
        let local = Local { hard: Some(minutes(50)), ..Local::default() };
        let said = |soft, max_stale| Policy { soft: Some(soft), max_stale: Some(max_stale) };
        let short = anew(&said(minutes(1), minutes(10)), &local, &Parameters::default()).unwrap();
        assert_eq!(
            (short.soft, short.hard),
            (minutes(1), minutes(10)),
            "what was set here is longer than allowed"
        );
        let unread = anew(&Policy::default(), &local, &short).unwrap();
        assert_eq!((unread.soft, unread.hard), (minutes(1), minutes(10)));
        let long = anew(&said(minutes(9), minutes(90)), &Local::default(), &short).unwrap();
        assert_eq!((long.soft, long.hard), (minutes(9), minutes(90)), "a policy that is read may be longer");
        let unread = anew(&Policy::default(), &Local::default(), &long).unwrap();
        assert_eq!(
            unread.hard,
            Parameters::default().hard,
            "without one, everybody reckons with the defaults"
        );
    }
}
