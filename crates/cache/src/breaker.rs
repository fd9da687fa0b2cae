use std::collections::VecDeque;
use std::time::Duration;

use crate::jitter::{Jitter, Purpose};

/// Transport failures in a row that open it.
const CONSECUTIVE: u32 = 5;
/// The last so many results...
const WINDOW: usize = 20;
/// ...within this time open it if half of them failed.
const WINDOW_TIME: Duration = Duration::from_secs(30);
const FIRST_REST: Duration = Duration::from_secs(5);
const LAST_REST: Duration = Duration::from_secs(60);

/// Gives a server a rest that does not answer: while it is open nothing is asked, then one request is the trial.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Breaker {
    jitter: Jitter,
    consecutive: u32,
    results: VecDeque<(Duration, bool)>,
    position: Position,
    /// How often it opened since it was last closed, and altogether.
    opened: u32,
    times: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Position {
    Closed,
    Open {
        until: Duration,
    },
    /// One request is under way; if nothing is heard of it until then, another may try.
    HalfOpen {
        until: Duration,
    },
}

/// Whether a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Go,
    /// Not now; something under way will tell.
    Hold,
    /// Not before then.
    Shut {
        until: Duration,
    },
}

impl Breaker {
    pub(crate) const fn new(jitter: Jitter) -> Self {
        Self {
            jitter,
            consecutive: 0,
            results: VecDeque::new(),
            position: Position::Closed,
            opened: 0,
            times: 0,
        }
    }

    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn gate(&self, now: Duration) -> Gate {
        match self.position {
            Position::Closed => Gate::Go,
            Position::Open { until } if now < until => Gate::Shut { until },
            Position::HalfOpen { until } if now < until => Gate::Hold,
            Position::Open { .. } | Position::HalfOpen { .. } => Gate::Go,
        }
    }

    /// A request goes; it is the trial if the rest is over.
    pub(crate) fn started(&mut self, now: Duration, request: Duration) {
        if self.position != Position::Closed {
            self.position = Position::HalfOpen { until: now.saturating_add(request) };
        }
    }

    /// The server answered something that means something. Whether that closed it.
    pub(crate) fn succeeded(&mut self, now: Duration) -> bool {
        self.consecutive = 0;
        self.record(now, true);
        let was = std::mem::replace(&mut self.position, Position::Closed);
        if was != Position::Closed {
            self.opened = 0;
            self.results.clear();
        }
        was != Position::Closed
    }

    /// No usable answer. Until when it is open, if that opened it.
    pub(crate) fn failed(&mut self, now: Duration, transport: bool) -> Option<Duration> {
        self.record(now, false);
        self.consecutive = if transport { self.consecutive.saturating_add(1) } else { 0 };
        let open = match self.position {
            Position::Closed => self.consecutive >= CONSECUTIVE || self.half_failed(now),
            Position::HalfOpen { .. } => true,
            Position::Open { .. } => false,
        };
        if !open {
            return None;
        }
        let rest = FIRST_REST.saturating_mul(1 << self.opened.min(4)).min(LAST_REST);
        let until = now.saturating_add(self.jitter.part(rest, 500, 1000, Purpose::Breaker, 0, self.times));
        self.opened = self.opened.saturating_add(1);
        self.times = self.times.wrapping_add(1);
        self.position = Position::Open { until };
        Some(until)
    }

    /// A child does not wait for its parent's trial.
    pub(crate) fn forked(&mut self, jitter: Jitter, now: Duration) {
        self.jitter = jitter;
        if let Position::HalfOpen { .. } = self.position {
            self.position = Position::Open { until: now };
        }
    }

    fn record(&mut self, now: Duration, good: bool) {
        if self.results.len() == WINDOW {
            self.results.pop_front();
        }
        self.results.push_back((now, good));
    }

    fn half_failed(&self, now: Duration) -> bool {
        let recent = |(at, _): &&(Duration, bool)| now.saturating_sub(*at) <= WINDOW_TIME;
        let (count, bad) = self
            .results
            .iter()
            .filter(recent)
            .fold((0, 0), |(count, bad), (_, good)| (count + 1, bad + usize::from(!good)));
        count == WINDOW && bad * 2 >= WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Duration = Duration::from_secs(30);

    const fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn five_transport_failures_open_it_and_one_trial_closes_it() {
        let mut breaker = Breaker::new(Jitter::new(1));
        for n in 0..4 {
            assert_eq!(breaker.failed(s(n), true), None);
            assert_eq!(breaker.gate(s(n)), Gate::Go);
        }
        let until = breaker.failed(s(4), true).unwrap();
        assert!(until > s(6) && until <= s(9));
        assert_eq!(breaker.gate(s(5)), Gate::Shut { until });
        assert_eq!(breaker.gate(until), Gate::Go);
        breaker.started(until, REQUEST);
        assert_eq!(breaker.gate(until), Gate::Hold);
        // A lost trial does not hold it for ever.
        assert_eq!(breaker.gate(until + REQUEST), Gate::Go);
        assert!(breaker.succeeded(until));
        assert_eq!(breaker.gate(until), Gate::Go);
        assert!(!breaker.succeeded(until));
    }

    #[test]
    fn failed_trials_double_the_rest_to_a_minute() {
        let mut breaker = Breaker::new(Jitter::new(2));
        let mut now = s(0);
        let mut until = (0..5).filter_map(|_| breaker.failed(now, true)).next().unwrap();
        for n in 1..10 {
            now = until;
            breaker.started(now, REQUEST);
            until = breaker.failed(now, false).unwrap();
            let cap = s(5 << n.min(4)).min(s(60));
            assert!(until - now <= cap && until - now >= cap / 2 - s(1), "{:?} of {cap:?}", until - now);
        }
    }

    #[test]
    fn half_of_twenty_within_thirty_seconds_open_it() {
        let fails = |step: Duration| {
            let mut breaker = Breaker::new(Jitter::new(3));
            (0..20).any(|n| {
                let now = step * n;
                if n % 2 == 0 {
                    breaker.succeeded(now);
                    return false;
                }
                breaker.failed(now, false).is_some()
            })
        };
        assert!(fails(Duration::from_secs(1)));
        assert!(!fails(Duration::from_secs(2)), "twenty in forty seconds do not count");
    }
}
