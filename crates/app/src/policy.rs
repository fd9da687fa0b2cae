//! Bounds of ages: the document `_rot/policy` beside the secrets, read at the start and again while documents rotate. A
//! rotation reckons with what stands there, so a process may not go on with what it read when it began.

use std::collections::BTreeSet;
use std::time::Duration;

use coffre_cache::{Local, Parameters, ParametersError, Policy};
use coffre_client::{Client, Error, ErrorKind};
use coffre_manifest::{Manifest, Period};
use coffre_rotation::CLOCK_ALLOWANCE;
use coffre_source::connect;

use crate::perform::Place;

/// Beside the documents.
const PATH: &str = "_rot/policy";

/// What could be found out of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// What stands there. Where nobody has written one, rotations reckon with the defaults as everybody does.
    Said(Policy),
    /// We may not read it: it may be anything.
    Hidden,
}

/// What any rotation waits at least before it counts on everybody to have a new value, whatever the policy says: half of
/// twice the allowance for clocks, of which the other half is for the clocks.
const LEAST: Duration = CLOCK_ALLOWANCE;

/// What stands there now.
pub(crate) async fn read(client: &Client, place: &Place) -> Result<Found, Error> {
    let found = match client.kv2_read(&place.mount, &format!("{}/{PATH}", place.environment), None).await {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::Denied => return Ok(Found::Hidden),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let bound = |name: &str| {
        let value = found.as_ref()?.field(name)?;
        // EXPOSE: a length of time.
        connect::duration(value.expose())
    };
    Ok(Found::Said(Policy { soft: bound("soft_ttl"), max_stale: bound("max_stale") }))
}

/// The bounds of a process that starts. What is set here and longer than the policy is an error.
pub(crate) fn at_start(
    found: &Found,
    rotates: bool,
    manifest: &Manifest,
    local: &Local,
) -> Result<Parameters, ParametersError> {
    match found {
        Found::Said(policy) => Parameters::decide(policy, local),
        Found::Hidden if !rotates => Parameters::decide(&Policy::default(), local),
        Found::Hidden => unseen(manifest, local, &Parameters::default()),
    }
}

/// The bounds of a process that has never been allowed to see those of the policy, and of which something rotates: no value
/// may be kept for longer than any rotation waits.
pub(crate) fn unseen(
    manifest: &Manifest,
    local: &Local,
    before: &Parameters,
) -> Result<Parameters, ParametersError> {
    let project = manifest.rotation();
    let said = project.max_stale.as_ref().map_or(LEAST, Period::length);
    let most = LEAST.min(project.clock_allowance()).min(said).min(before.hard);
    tracing::warn!(
        keeps = most.as_secs_f64(),
        "the server does not let this process read _rot/policy, which says how long values that rotate may be kept; until its \
         role may read it, they are kept for so many seconds only"
    );
    let policy = Policy { soft: Some((most / 2).min(before.soft)), max_stale: Some(most) };
    anew(&policy, local, before)
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

/// Documents that the manifest says are rotated.
pub(crate) fn planned(manifest: &Manifest) -> BTreeSet<&str> {
    let entries =
        manifest.entries().iter().filter(|entry| entry.rotation.is_some() && entry.dynamic.is_none());
    entries.filter_map(|entry| entry.path.as_deref()).collect()
}

/// When the policy is looked at.
pub(crate) struct Look {
    /// Since boot; `None` while a look is under way.
    next: Option<Duration>,
    /// It was read once: a "no" that comes later may be that of a token which has ended.
    pub(crate) known: bool,
}

impl Look {
    /// It was read just now.
    pub(crate) fn after(now: Duration, parameters: &Parameters, known: bool) -> Self {
        Self { next: Some(now.saturating_add(parameters.soft)), known }
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

    #[test]
    fn who_may_not_read_it_keeps_what_rotates_for_no_longer_than_any_rotation_waits() {
        let manifest =
            |more: &str| Manifest::parse(&format!("app = \"a\"\nenvironments = [\"prod\"]\n{more}")).unwrap();
        let (plain, local) = (manifest(""), Local { hard: Some(minutes(50)), ..Local::default() });
        let hidden = at_start(&Found::Hidden, true, &plain, &local).unwrap();
        assert_eq!((hidden.soft, hidden.hard), (minutes(1) / 2, minutes(1)));
        let narrow =
            manifest("[rotation]\nsoft_ttl = \"2s\"\nmax_stale = \"40s\"\nclock_allowance = \"30s\"\n");
        assert_eq!(at_start(&Found::Hidden, true, &narrow, &local).unwrap().hard, minutes(1) / 2);
        // Nothing rotates, so nobody counts on anything.
        assert_eq!(at_start(&Found::Hidden, false, &plain, &local).unwrap().hard, minutes(50));
        let said = Found::Said(Policy { soft: None, max_stale: Some(minutes(10)) });
        assert!(at_start(&said, true, &plain, &local).is_err(), "what is set here is longer");
        let short = Parameters { hard: minutes(1) / 4, soft: minutes(1) / 8, ..Parameters::default() };
        assert_eq!(unseen(&plain, &local, &short).unwrap().hard, short.hard);
    }
}
