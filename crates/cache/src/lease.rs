use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Fetched, Generation, LeaseGrant, ProbeId};
use crate::jitter::{Jitter, Purpose, thousandths};

/// A lease that belongs to a held credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) id: Arc<str>,
    /// The token that got it; the lease ends with the token.
    pub(crate) token: Option<Generation>,
    /// The first grant; renewals ask for as much.
    pub(crate) asked: Duration,
    /// The last grant, and when it ends.
    pub(crate) granted: Duration,
    pub(crate) end: Duration,
    /// When to ask for more time. `None`: not any more.
    pub(crate) renew_at: Option<Duration>,
    /// Somebody else's (a fork's parent): used, but neither renewed nor revoked.
    pub(crate) foreign: bool,
    /// How often it was renewed.
    renewals: u64,
}

/// What a renewal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// Go on.
    Full,
    /// The server gave less than nine tenths of what was asked: its maximum is near.
    Short,
    /// It cannot be renewed again.
    Last,
}

impl Lease {
    /// A lease granted by an answer to a request sent at `sent`, and when to replace its credential if it cannot be
    /// renewed.
    pub(crate) fn granted(
        grant: LeaseGrant,
        token: Option<Generation>,
        sent: Duration,
        jitter: Jitter,
        of: u64,
    ) -> (Self, Option<Duration>) {
        let mut lease = Self {
            id: grant.id,
            token,
            asked: grant.ttl,
            granted: grant.ttl,
            end: sent.saturating_add(grant.ttl),
            renew_at: None,
            foreign: false,
            renewals: 0,
        };
        let next = lease.next(sent, jitter, of);
        if grant.renewable {
            lease.renew_at = Some(next);
            (lease, None)
        } else {
            (lease, Some(next))
        }
    }

    /// Two thirds of what the server reported, times U(0.9, 1.1).
    fn next(&self, sent: Duration, jitter: Jitter, of: u64) -> Duration {
        let pause = jitter.part(self.granted, 600, 733, Purpose::LeaseRenewal, of, self.renewals);
        sent.saturating_add(pause)
    }

    /// Takes over the answer to a renewal sent at `sent`.
    pub(crate) fn renewed(
        &mut self,
        ttl: Duration,
        renewable: bool,
        sent: Duration,
        jitter: Jitter,
        of: u64,
    ) -> Renewal {
        self.granted = ttl;
        self.end = sent.saturating_add(ttl);
        self.renewals = self.renewals.saturating_add(1);
        self.renew_at = None;
        if ttl < thousandths(self.asked, 900) {
            return Renewal::Short;
        }
        if !renewable {
            return Renewal::Last;
        }
        self.renew_at = Some(self.next(sent, jitter, of));
        Renewal::Full
    }

    /// From then on the credential is not handed out.
    pub(crate) fn deadline(&self) -> Duration {
        self.end.saturating_sub(margin(self.granted))
    }
}

/// How long before its end something granted for `life` is no longer used: 60 s or a twentieth, whichever is more, but
/// not more than a fifth, or what is short-lived would be over before its renewal at two thirds.
pub(crate) fn margin(life: Duration) -> Duration {
    Duration::from_secs(60).max(life / 20).min(life / 5)
}

/// A new credential that its subscriber tries before others see it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<V> {
    pub(crate) probe: ProbeId,
    pub(crate) fetched: Fetched<V>,
    pub(crate) lease: Option<Lease>,
    /// When to replace it, if it cannot be renewed.
    pub(crate) replace_at: Option<Duration>,
    pub(crate) sent: Duration,
    /// The trial counts as failed then.
    pub(crate) until: Duration,
}

/// The trial's number makes no difference to what can happen (see [`crate::Machine::fingerprint`]).
impl<V: Hash> Hash for Candidate<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { probe: _, fetched, lease, replace_at, sent, until } = self;
        (fetched, lease, replace_at, sent, until).hash(state);
    }
}

/// A credential that was replaced and may still be in use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Draining {
    pub(crate) lease: Arc<str>,
    pub(crate) token: Option<Generation>,
    /// Revoked then at the latest.
    pub(crate) until: Duration,
    /// By then the server has ended it.
    pub(crate) end: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn grant(ttl: Duration, renewable: bool) -> LeaseGrant {
        LeaseGrant { id: "database/creds/api/1".into(), ttl, renewable }
    }

    #[test]
    fn renewal_falls_before_the_deadline_whatever_the_lease() {
        for ttl in [1, 2, 10, 60, 100, 180, 600, 3600, 604_800] {
            for seed in 0..200 {
                let (lease, replace) = Lease::granted(grant(s(ttl), true), None, s(50), Jitter::new(seed), 1);
                let renew = lease.renew_at.unwrap();
                assert!(renew < lease.deadline() && lease.deadline() < lease.end, "{ttl} {seed}");
                assert!(renew >= s(50) + s(ttl) * 6 / 10 && renew <= s(50) + s(ttl) * 734 / 1000);
                assert_eq!(replace, None);
                let (lease, replace) =
                    Lease::granted(grant(s(ttl), false), None, s(50), Jitter::new(seed), 1);
                assert_eq!((lease.renew_at, replace), (None, Some(renew)));
            }
        }
        assert_eq!(margin(s(7200)), s(360));
        assert_eq!(margin(s(600)), s(60));
        assert_eq!(margin(s(100)), s(20));
    }

    #[test]
    fn a_short_renewal_is_the_last() {
        let (mut lease, _) = Lease::granted(grant(s(1000), true), None, s(0), Jitter::new(1), 1);
        assert_eq!(lease.renewed(s(900), true, s(660), Jitter::new(1), 1), Renewal::Full);
        assert_eq!(lease.end, s(1560));
        assert_eq!(lease.renewed(s(899), true, s(1200), Jitter::new(1), 1), Renewal::Short);
        assert_eq!((lease.renew_at, lease.end), (None, s(2099)));
        let (mut lease, _) = Lease::granted(grant(s(1000), true), None, s(0), Jitter::new(1), 1);
        assert_eq!(lease.renewed(s(1000), false, s(660), Jitter::new(1), 1), Renewal::Last);
    }
}
