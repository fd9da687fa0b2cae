//! All numbers, at the moment of a scrape.

use coffre_audit::Condition;

use super::family::{Family, Labels, Samples};
use crate::active::Active;
use crate::kernel::Kernel;

/// All numbers of a server; those of the tables are missing while it is sealed.
pub(crate) fn gather(kernel: &Kernel) -> Vec<Family> {
    let meters = kernel.meters();
    let active = kernel.active();
    let mut all = vec![
        gauge("core_unsealed", "Whether the server is unsealed.", u64::from(active.is_some())),
        gauge("core_in_flight_requests", "Requests that are being answered.", kernel.in_flight().count()),
        gauge("core_uptime_seconds", "Seconds since the start.", kernel.uptime().as_secs()),
        family(
            "core_requests_total",
            "Requests that were answered, by operation and class of status.",
            meters.requests(),
        ),
        family(
            "core_handle_request_seconds",
            "How long requests took, from the end of the body to the answer.",
            meters.request_times(),
        ),
        family("storage_operation_seconds", "How long the storage took.", meters.storage_times()),
        family("storage_failures_total", "Operations of the storage that failed.", meters.storage_failures()),
        audit_devices(kernel),
        audit_entries(kernel),
    ];
    all.extend(
        resident_bytes()
            .map(|bytes| gauge("runtime_resident_bytes", "Memory that the process holds.", bytes)),
    );
    all.extend(super::attached::families(kernel));
    if let Some(active) = active {
        all.extend(tables(&active));
    }
    all
}

/// What is counted in the tables of an unsealed server.
fn tables(active: &Active) -> Vec<Family> {
    let router = active.mounts.router();
    let of = |auth: bool| number(router.entries().filter(|entry| entry.is_auth() == auth).count());
    let mounts =
        Samples::Gauge(vec![(vec![("type", "secret")], of(false)), (vec![("type", "auth")], of(true))]);
    vec![
        family("core_mounts", "Mounts, by table.", mounts),
        gauge("core_policies", "Policies.", active.policies.names().len()),
        gauge("token_scheduled", "Ends of tokens that the background waits for.", active.tokens.scheduled()),
        gauge(
            "core_locked_users",
            "Names that are locked after failed logins.",
            active.lockout.locked().iter().map(|(_, names)| names.len()).sum::<usize>(),
        ),
        gauge("quota_rate_limits", "Rate limits.", active.operations.quotas.all().len()),
        family(
            "quota_rate_limit_violation_total",
            "Requests that a rate limit refused, since the unseal.",
            Samples::Counter(vec![(Labels::new(), active.operations.quotas.refusals())]),
        ),
    ]
}

fn audit_devices(kernel: &Kernel) -> Family {
    let health = kernel.broker().health();
    let is_well = |condition: &Condition| matches!(condition, Condition::Healthy);
    let well = health.iter().filter(|(_, report)| is_well(&report.condition)).count();
    let states = vec![
        (vec![("state", "well")], number(well)),
        (vec![("state", "failing")], number(health.len() - well)),
    ];
    family("audit_devices", "Audit devices, by state.", Samples::Gauge(states))
}

fn audit_entries(kernel: &Kernel) -> Family {
    let health = kernel.broker().health();
    let sum =
        |count: fn(&coffre_audit::HealthReport) -> u64| health.iter().map(|(_, report)| count(report)).sum();
    let entries = vec![
        (vec![("outcome", "taken")], sum(|report| report.taken)),
        (vec![("outcome", "lost")], sum(|report| report.lost)),
    ];
    family(
        "audit_entries_total",
        "Entries that the present devices took, and did not take.",
        Samples::Counter(entries),
    )
}

/// Resident memory, as Linux tells it; `None` elsewhere.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1_024)
}

const fn family(name: &'static str, help: &'static str, samples: Samples) -> Family {
    Family { name, help, samples }
}

fn gauge(name: &'static str, help: &'static str, value: impl TryInto<u64>) -> Family {
    let value = value.try_into().unwrap_or(u64::MAX);
    family(name, help, Samples::Gauge(vec![(Labels::new(), number(value))]))
}

#[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 may lose its last digits")]
fn number(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}
