//! How the agent is: what works, what does not and why, and the store's numbers. Never a value.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use coffre_cache::{BreakerState, FLIGHT_BUCKETS, State};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::store::Report;
use crate::supervise::Control;

/// The parts of an agent and their troubles. Cloning shares it.
#[derive(Clone)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<String, Part>>>,
    changed: watch::Sender<u64>,
    supervised: Arc<OnceLock<Control>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Not done for the first time yet.
    Pending,
    Well,
    Ill(String),
}

impl Default for Health {
    fn default() -> Self {
        Self { parts: Arc::default(), changed: watch::channel(0).0, supervised: Arc::default() }
    }
}

impl Health {
    /// Whose programs are shown. The first one counts.
    pub fn supervise(&self, control: Control) {
        let _ = self.supervised.set(control);
    }

    /// A part that is going to report.
    pub fn expect(&self, part: &str) {
        self.set(part, Part::Pending);
    }

    /// The part did what it should.
    pub fn well(&self, part: &str) {
        self.set(part, Part::Well);
    }

    /// The part did not, and why. The text holds no value.
    pub fn ill(&self, part: &str, why: impl Into<String>) {
        self.set(part, Part::Ill(why.into()));
    }

    /// The part is gone, after another configuration.
    pub fn forget(&self, part: &str) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    fn set(&self, part: &str, to: Part) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = parts.insert(part.to_owned(), to.clone());
        drop(parts);
        if before.as_ref() != Some(&to) {
            self.changed.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Says when something changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether every part did its work at least once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.values().all(|part| *part == Part::Well)
    }

    /// One line for a person: what is wrong, or that nothing is.
    #[must_use]
    pub fn line(&self) -> String {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let ill = parts.iter().find_map(|(name, part)| match part {
            Part::Ill(why) => Some(format!("{name}: {why}")),
            _ => None,
        });
        let waiting = parts.iter().find(|(_, part)| **part == Part::Pending);
        match (ill, waiting) {
            (Some(ill), _) => ill,
            (None, Some((name, _))) => format!("waiting for {name}"),
            (None, None) => "everything is well".to_owned(),
        }
    }

    /// Whether all is well, and everything as JSON.
    #[must_use]
    pub fn document(&self, report: &Report) -> (bool, Value) {
        let ok = self.is_ready() && report.has_token;
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = parts.iter().map(|(name, part)| {
            let value = match part {
                Part::Pending => json!({ "state": "waiting" }),
                Part::Well => json!({ "state": "ok" }),
                Part::Ill(why) => json!({ "state": "failed", "error": why }),
            };
            (name.clone(), value)
        });
        let entries = report.entries.iter().map(|(path, view)| {
            json!({
                "path": path, "state": view.state.name(), "age": view.age.map(|age| age.as_secs()),
                "hard": view.hard.as_secs(), "version": view.version,
                "lease_ttl": view.lease_ttl.map(|ttl| ttl.as_secs()), "failures": view.failures,
            })
        });
        let supervised = self.supervised.get().map(Control::health).unwrap_or_default();
        let processes = supervised.iter().map(|process| {
            json!({
                "name": process.name, "state": process.state, "pid": process.pid, "starts": process.starts,
                "reverted": process.reverted, "code": process.code,
            })
        });
        let token = json!({ "present": report.has_token, "ttl": report.token_ttl.map(|ttl| ttl.as_secs()) });
        let document = json!({
            "ok": ok, "source": "vault", "parts": shown.collect::<serde_json::Map<_, _>>(), "token": token,
            "breaker": breaker(report.breaker).0, "entries": entries.collect::<Vec<_>>(),
            "processes": processes.collect::<Vec<_>>(),
        });
        (ok, document)
    }

    /// Everything as Prometheus text (exposition format 0.0.4).
    #[must_use]
    pub fn metrics(&self, report: &Report) -> String {
        let mut out = String::new();
        let counts = &report.counters;
        metric(&mut out, "coffre_secrets_get_total", "counter", "Reads by their result.");
        let results = [
            ("hit", report.hits),
            ("fresh", counts.fresh),
            ("stale", counts.stale),
            ("degraded", counts.degraded),
            ("awaited", counts.awaited),
            ("unavailable", counts.unavailable),
            ("expired", counts.expired),
            ("denied", counts.denied),
            ("missing", counts.missing),
            ("invalid", counts.invalid),
        ];
        for (result, count) in results {
            line(&mut out, format_args!("coffre_secrets_get_total{{result=\"{result}\"}} {count}"));
        }
        flights(&mut out, report);
        metric(&mut out, "coffre_secrets_state", "gauge", "Paths in each state.");
        for state in STATES {
            let count = report.entries.iter().filter(|(_, view)| view.state == state).count();
            line(&mut out, format_args!("coffre_secrets_state{{state=\"{}\"}} {count}", state.name()));
        }
        let age = report.entries.iter().filter_map(|(_, view)| view.age).max().unwrap_or_default();
        let lease = report.entries.iter().filter_map(|(_, view)| view.lease_ttl).min();
        let epoch = report.entries.iter().filter_map(|(_, view)| view.epoch).max();
        let gauges = [
            ("age_seconds", "The oldest document's age.", Some(age.as_secs())),
            ("breaker_state", "0 closed, 1 half open, 2 open.", Some(breaker(report.breaker).1)),
            ("token_ttl_seconds", "What is left of the token.", report.token_ttl.map(|ttl| ttl.as_secs())),
            ("lease_ttl_seconds", "What is left of the shortest lease.", lease.map(|ttl| ttl.as_secs())),
            ("epoch", "The largest epoch.", epoch),
            ("fallback_active", "An agent never falls back.", Some(0)),
        ];
        for (name, help, value) in gauges {
            let name = format!("coffre_secrets_{name}");
            metric(&mut out, &name, "gauge", help);
            if let Some(value) = value {
                line(&mut out, format_args!("{name} {value}"));
            }
        }
        metric(
            &mut out,
            "coffre_secrets_degraded_seconds_total",
            "counter",
            "Time that paths could not be confirmed.",
        );
        let degraded = counts.degraded_time.as_secs_f64();
        line(&mut out, format_args!("coffre_secrets_degraded_seconds_total {degraded}"));
        metric(&mut out, "coffre_agent_healthy", "gauge", "Whether every part of the agent works.");
        line(
            &mut out,
            format_args!("coffre_agent_healthy {}", u8::from(self.is_ready() && report.has_token)),
        );
        out
    }
}

const STATES: [State; 9] = [
    State::Empty,
    State::Fresh,
    State::Stale,
    State::Degraded,
    State::Expired,
    State::Denied,
    State::Gone,
    State::Absent,
    State::Corrupt,
];

fn flights(out: &mut String, report: &Report) {
    let name = "coffre_secrets_flight_seconds";
    metric(out, name, "histogram", "Requests to the server by their time.");
    let mut sum = 0_u64;
    for (at, count) in report.counters.flight_buckets.iter().enumerate() {
        sum = sum.saturating_add(*count);
        match FLIGHT_BUCKETS.get(at) {
            Some(bound) => {
                let bound = std::time::Duration::from_millis(*bound).as_secs_f64();
                line(out, format_args!("{name}_bucket{{le=\"{bound}\"}} {sum}"));
            }
            None => line(out, format_args!("{name}_bucket{{le=\"+Inf\"}} {sum}")),
        }
    }
    line(out, format_args!("{name}_sum {}", report.counters.flight_seconds.as_secs_f64()));
    line(out, format_args!("{name}_count {sum}"));
}

fn breaker(state: BreakerState) -> (&'static str, u64) {
    match state {
        BreakerState::Closed => ("closed", 0),
        BreakerState::HalfOpen => ("half-open", 1),
        BreakerState::Open { .. } => ("open", 2),
    }
}

fn metric(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

/// A text grows without failing.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}
