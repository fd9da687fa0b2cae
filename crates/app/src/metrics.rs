//! Prometheus' text format 0.0.4. Labels are classes and paths, never values.

use std::fmt::Write as _;

use coffre_cache::{BreakerState, FLIGHT_BUCKETS};

use crate::core::Core;
use crate::engine::Inspection;
use crate::health;
use crate::outside;

/// The states of an entry, in the order of their numbers.
const STATES: [&str; 9] =
    ["empty", "fresh", "stale", "degraded", "expired", "denied", "gone", "absent", "corrupt"];

pub(crate) fn text(core: &Core) -> String {
    let mut out = Text(String::with_capacity(4096));
    gets(core, &mut out);
    let health = health::of(core);
    out.head("secrets_state", "gauge", "Documents and credentials by state.");
    for state in STATES {
        let count = health.entries.iter().filter(|entry| entry.state == state).count();
        out.line("secrets_state", &[("state", state)], count);
    }
    out.head("secrets_age_seconds", "gauge", "Time since the server last confirmed a document.");
    for entry in &health.entries {
        if let Some(age) = entry.age {
            out.line("secrets_age_seconds", &[("path", &entry.path)], age);
        }
    }
    out.head("secrets_epoch", "gauge", "The epoch of a document that rotates.");
    for entry in &health.entries {
        if let Some(epoch) = entry.epoch {
            out.line("secrets_epoch", &[("path", &entry.path)], epoch);
        }
    }
    out.head("secrets_lease_ttl_seconds", "gauge", "What remains of a credential's lease.");
    for entry in &health.entries {
        if let Some(ttl) = entry.lease_ttl {
            out.line("secrets_lease_ttl_seconds", &[("path", &entry.path)], ttl);
        }
    }
    out.head("secrets_fallback_active", "gauge", "1 if secrets come from .env although there is a vault.");
    let fallback = outside::is_fallback(core.facts.source, core.facts.launched_from.as_deref());
    out.line("secrets_fallback_active", &[], u8::from(fallback));
    if let Some(inspection) = core.engines.inspect() {
        background(&inspection, &mut out);
    }
    out.0
}

fn gets(core: &Core, out: &mut Text) {
    out.head("secrets_get_total", "counter", "Calls for a value, by result.");
    for (result, count) in ["fresh", "stale", "degraded"].into_iter().zip(core.counts.hits()) {
        out.line("secrets_get_total", &[("result", result)], count);
    }
    for (kind, count) in core.counts.failures() {
        out.line("secrets_get_total", &[("result", kind.name())], count);
    }
}

fn background(inspection: &Inspection, out: &mut Text) {
    let counters = &inspection.counters;
    out.head("secrets_flight_seconds", "histogram", "Time that requests to the server take.");
    let mut sum = 0;
    let bounds = FLIGHT_BUCKETS.iter().map(|millis| format!("{}.{:03}", millis / 1000, millis % 1000));
    for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counters.flight_buckets) {
        sum += count;
        out.line("secrets_flight_seconds_bucket", &[("le", &bound)], sum);
    }
    let seconds = format!("{:.6}", counters.flight_seconds.as_secs_f64());
    out.line("secrets_flight_seconds_sum", &[], seconds);
    out.line("secrets_flight_seconds_count", &[], sum);
    out.head("secrets_flights_total", "counter", "Requests to the server, by result.");
    out.line("secrets_flights_total", &[("result", "failed")], counters.failures);
    out.line(
        "secrets_flights_total",
        &[("result", "ok")],
        counters.flights.saturating_sub(counters.failures),
    );
    out.head("secrets_logins_total", "counter", "Logins begun.");
    out.line("secrets_logins_total", &[], counters.logins);
    out.head("secrets_breaker_state", "gauge", "0 closed, 1 half-open, 2 open.");
    let breaker = match inspection.breaker {
        BreakerState::Closed => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Open { .. } => 2,
    };
    out.line("secrets_breaker_state", &[], breaker);
    if let Some(ttl) = inspection.token_ttl {
        out.head("secrets_token_ttl_seconds", "gauge", "What remains of the token.");
        out.line("secrets_token_ttl_seconds", &[], ttl.as_secs());
    }
    out.head("secrets_degraded_seconds_total", "counter", "Time that entries spent degraded.");
    let seconds = format!("{:.3}", counters.degraded_time.as_secs_f64());
    out.line("secrets_degraded_seconds_total", &[], seconds);
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP coffre_{name} {help}\n# TYPE coffre_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.0, "coffre_{name}");
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }
}
