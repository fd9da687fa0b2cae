//! The table that is printed, and the same as JSON.

use serde_json::{Value, json};

use super::Round;

/// Everything that one run measured.
#[derive(Debug)]
pub(super) struct Report {
    keys: u64,
    seconds: u64,
    rounds: usize,
    rows: Vec<Row>,
    memory: Vec<(String, u64)>,
    applications: Vec<String>,
    notes: Vec<String>,
}

/// One workload.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    /// What it is held against: `bare` or `disk`; empty for a peer, which is not.
    against: &'static str,
    per_second: f64,
    base: f64,
    /// Median of the rounds' ratios.
    ratio: f64,
    target: f64,
    p50: f64,
    p99: f64,
    /// CPU microseconds per request of the server, and how much more that is than of the bare one.
    cpu: f64,
    cpu_ratio: Option<f64>,
    cpu_target: f64,
}

impl Row {
    /// Rounds of (ours, bare). Targets: least ratio of requests per second, greatest ratio of CPU time.
    pub(super) fn against_bare(name: &str, rounds: &[(Round, Round)], targets: (f64, f64)) -> Self {
        let ratio = median(rounds, |(ours, bare)| ours.figures.per_second() / bare.figures.per_second());
        let cpu_ratio = median(rounds, |(ours, bare)| ours.cpu_micros / bare.cpu_micros);
        let base = median(rounds, |(_, bare)| bare.figures.per_second());
        let ours: Vec<Round> = rounds.iter().map(|(ours, _)| ours.clone()).collect();
        Self {
            against: "bare",
            base,
            ratio,
            target: targets.0,
            cpu_ratio: Some(cpu_ratio),
            cpu_target: targets.1,
            ..Self::alone(name, &ours)
        }
    }

    /// Rounds of (ours, two-flush writes per second of the disk).
    pub(super) fn against_disk(name: &str, rounds: &[(Round, f64)], target: f64) -> Self {
        let ratio = median(rounds, |(ours, disk)| ours.figures.per_second() / disk);
        let base = median(rounds, |(_, disk)| *disk);
        let ours: Vec<Round> = rounds.iter().map(|(ours, _)| ours.clone()).collect();
        Self { against: "disk", base, ratio, target, ..Self::alone(name, &ours) }
    }

    /// Without a comparison.
    pub(super) fn alone(name: &str, rounds: &[Round]) -> Self {
        Self {
            name: name.to_owned(),
            against: "",
            per_second: median(rounds, |round| round.figures.per_second()),
            base: 0.0,
            ratio: 0.0,
            target: 0.0,
            p50: median(rounds, |round| f64::from(round.figures.p50)),
            p99: median(rounds, |round| f64::from(round.figures.p99)),
            cpu: median(rounds, |round| round.cpu_micros),
            cpu_ratio: None,
            cpu_target: f64::INFINITY,
        }
    }

    fn line(&self) -> String {
        let base = if self.against.is_empty() {
            "-".to_owned()
        } else {
            format!("{} {:.0}", self.against, self.base)
        };
        let ratio = if self.against.is_empty() {
            "-".to_owned()
        } else {
            format!("{:.2} {} {:.2}", self.ratio, mark(self.ratio >= self.target, "≥"), self.target)
        };
        let cpu_ratio = self.cpu_ratio.map_or_else(String::new, |ratio| {
            if self.cpu_target.is_finite() {
                format!("{ratio:.2} {} {:.2}", mark(ratio <= self.cpu_target, "≤"), self.cpu_target)
            } else {
                format!("{ratio:.2}")
            }
        });
        format!(
            "{:<30} {:>9.0} {:>14} {:>14} {:>7.2} {:>7.2} {:>8.1} {:>14}",
            self.name,
            self.per_second,
            base,
            ratio,
            self.p50 / 1000.0,
            self.p99 / 1000.0,
            self.cpu,
            cpu_ratio
        )
    }

    fn json(&self) -> Value {
        json!({
            "workload": self.name,
            "requests_per_second": self.per_second,
            "against": self.against,
            "base_per_second": self.base,
            "ratio": self.ratio,
            "target_ratio": self.target,
            "latency_p50_us": self.p50,
            "latency_p99_us": self.p99,
            "cpu_us_per_request": self.cpu,
            "cpu_ratio": self.cpu_ratio,
            "target_cpu_ratio": if self.cpu_target.is_finite() { json!(self.cpu_target) } else { Value::Null },
        })
    }
}

const HEAD: &str = "workload                            req/s           base   ratio target  p50 ms  p99 ms   cpu µs     cpu target";

impl Report {
    pub(super) const fn new(keys: u64, seconds: u64, rounds: usize) -> Self {
        Self {
            keys,
            seconds,
            rounds,
            rows: Vec::new(),
            memory: Vec::new(),
            applications: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Resident memory in KiB at some moment.
    pub(super) fn memory(&mut self, when: &str, kib: u64) {
        self.memory.push((when.to_owned(), kib));
    }

    /// One line about what applications feel.
    pub(super) fn application(&mut self, line: String) {
        self.applications.push(line);
    }

    pub(super) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
    pub(super) fn table(&self) -> String {
        let mut lines = vec![HEAD.to_owned()];
        lines.extend(self.rows.iter().map(Row::line));
        lines.push(String::new());
        lines.extend(
            self.memory
                .iter()
                .map(|(when, kib)| format!("memory, {when:<20} {:>8.1} MiB", *kib as f64 / 1024.0)),
        );
        lines.push(String::new());
        lines.push(format!(
            "{} secrets, {} rounds of {} s; bare: axum with the same bytes; disk: append and two flushes; \
             cpu: server time per request, and its ratio to bare; x marks a missed target",
            self.keys, self.rounds, self.seconds
        ));
        lines.extend(self.notes.iter().cloned());
        lines.push(String::new());
        lines.extend(self.applications.iter().cloned());
        lines.join("\n")
    }

    pub(super) fn json(&self) -> String {
        let memory: serde_json::Map<String, Value> =
            self.memory.iter().map(|(when, kib)| (when.clone(), json!(kib))).collect();
        json!({
            "keys": self.keys,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "workloads": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "memory_kib": memory,
            "applications": self.applications,
            "notes": self.notes,
        })
        .to_string()
    }
}

pub(super) const fn mark(met: bool, sign: &'static str) -> &'static str {
    if met { sign } else { "x" }
}

/// The middle one; the mean of the middle two if there is no middle one.
pub(super) fn median<T>(items: &[T], value: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = items.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or(0.0);
    let lower = values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
    f64::midpoint(lower, upper)
}

#[cfg(test)]
mod tests {
    use super::super::load::Figures;
    use super::*;

    fn round(requests: u64, cpu_micros: f64) -> Round {
        Round { figures: Figures { requests, errors: 0, seconds: 1.0, p50: 100, p99: 900 }, cpu_micros }
    }

    #[test]
    fn the_median_ignores_one_bad_round() {
        let rounds = [
            (round(90, 12.0), round(100, 10.0)),
            (round(10, 99.0), round(100, 10.0)),
            (round(95, 11.0), round(100, 10.0)),
        ];
        let row = Row::against_bare("x", &rounds, (0.9, 1.3));
        assert!((row.ratio - 0.9).abs() < 1e-9);
        assert!((row.cpu_ratio.unwrap() - 1.2).abs() < 1e-9);
        assert!((median(&[1.0, 3.0], |value| *value) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_missed_target_is_marked() {
        let row = |ours| Row::against_disk("x", &[(round(ours, 1.0), 100.0)], 0.5).line();
        assert!(row(60).contains("0.60 ≥ 0.50"));
        assert!(row(40).contains("0.40 x 0.50"));
    }
}
