//! Prometheus's text format, version 0.0.4.

use std::fmt::Write as _;

use super::family::{BOUNDS, Family, Labels, Samples, Times};

/// The families as text.
pub(crate) fn text(families: &[Family]) -> String {
    let mut out = String::with_capacity(16 << 10);
    for family in families {
        let (name, kind) = (family.name, kind(&family.samples));
        // Writing to a String cannot fail.
        let _ = write!(out, "# HELP vault_{name} {}\n# TYPE vault_{name} {kind}\n", family.help);
        match &family.samples {
            Samples::Gauge(all) => {
                all.iter().for_each(|(labels, value)| line(&mut out, name, "", labels, &value))
            }
            Samples::Counter(all) => {
                all.iter().for_each(|(labels, value)| line(&mut out, name, "", labels, &value))
            }
            Samples::Histogram(all) => {
                all.iter().for_each(|(labels, times)| histogram(&mut out, name, labels, times))
            }
        }
    }
    out
}

const fn kind(samples: &Samples) -> &'static str {
    match samples {
        Samples::Gauge(_) => "gauge",
        Samples::Counter(_) => "counter",
        Samples::Histogram(_) => "histogram",
    }
}

fn line(out: &mut String, name: &str, suffix: &str, labels: &Labels, value: &dyn std::fmt::Display) {
    let _ = write!(out, "vault_{name}{suffix}");
    let mut before = '{';
    for (label, value) in labels {
        let _ = write!(out, "{before}{label}=\"{value}\"");
        before = ',';
    }
    if !labels.is_empty() {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

fn histogram(out: &mut String, name: &str, labels: &Labels, times: &Times) {
    let mut so_far = 0;
    for (bound, within) in BOUNDS.iter().zip(times.within) {
        so_far += within;
        bucket(out, name, labels, &bound.to_string(), so_far);
    }
    bucket(out, name, labels, "+Inf", times.count.max(so_far));
    line(out, name, "_sum", labels, &times.sum);
    line(out, name, "_count", labels, &times.count.max(so_far));
}

fn bucket(out: &mut String, name: &str, labels: &Labels, bound: &str, count: u64) {
    let _ = write!(out, "vault_{name}_bucket{{");
    for (label, value) in labels {
        let _ = write!(out, "{label}=\"{value}\",");
    }
    let _ = writeln!(out, "le=\"{bound}\"}} {count}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_prometheus_s() {
        let mut within = [0; BOUNDS.len()];
        within[1] = 2;
        let families = [
            Family {
                name: "core_unsealed",
                help: "Whether it is open.",
                samples: Samples::Gauge(vec![(vec![], 1.0)]),
            },
            Family {
                name: "a_total",
                help: "A.",
                samples: Samples::Counter(vec![(vec![("operation", "get"), ("status", "2xx")], 7)]),
            },
            Family {
                name: "t",
                help: "T.",
                samples: Samples::Histogram(vec![(
                    vec![("operation", "get")],
                    Times { within, count: 3, sum: 11.5 },
                )]),
            },
        ];
        let written = text(&families);
        assert!(written.starts_with(
            "# HELP vault_core_unsealed Whether it is open.\n# TYPE vault_core_unsealed gauge\nvault_core_unsealed 1\n\
             # HELP vault_a_total A.\n# TYPE vault_a_total counter\nvault_a_total{operation=\"get\",status=\"2xx\"} 7\n\
             # HELP vault_t T.\n# TYPE vault_t histogram\nvault_t_bucket{operation=\"get\",le=\"0.0005\"} 0\n\
             vault_t_bucket{operation=\"get\",le=\"0.001\"} 2\n"
        ), "{written}");
        assert!(written.ends_with(
            "vault_t_bucket{operation=\"get\",le=\"10\"} 2\nvault_t_bucket{operation=\"get\",le=\"+Inf\"} 3\n\
             vault_t_sum{operation=\"get\"} 11.5\nvault_t_count{operation=\"get\"} 3\n"
        ), "{written}");
    }
}
