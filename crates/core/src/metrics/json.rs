//! The JSON summary, in the shape of go-metrics: dotted names, whole lifetimes instead of intervals.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::sys::metrics::{MetricsSummary, SummaryGauge, SummarySample};

use super::family::{Family, Labels, Samples};

/// The families as a summary; `uptime` is how long they were counted.
pub(crate) fn json(families: &[Family], now: Wall, uptime: Duration) -> MetricsSummary {
    let seconds = uptime.as_secs_f64().max(1.0);
    let mut summary = MetricsSummary {
        timestamp: now.rfc3339(),
        gauges: Vec::new(),
        points: Vec::new(),
        counters: Vec::new(),
        samples: Vec::new(),
    };
    for family in families {
        let name = format!("vault.{}", family.name.replacen('_', ".", 1));
        let sample = |labels: &Labels, count: u64, sum: f64| SummarySample {
            name: name.clone(),
            count,
            rate: sum / seconds,
            sum,
            mean: if count == 0 { 0.0 } else { sum / number(count) },
            labels: map(labels),
        };
        match &family.samples {
            Samples::Gauge(all) => summary.gauges.extend(all.iter().map(|(labels, value)| SummaryGauge {
                name: name.clone(),
                value: *value,
                labels: map(labels),
            })),
            Samples::Counter(all) => {
                summary
                    .counters
                    .extend(all.iter().map(|(labels, count)| sample(labels, *count, number(*count))));
            }
            Samples::Histogram(all) => {
                summary
                    .samples
                    .extend(all.iter().map(|(labels, times)| sample(labels, times.count, times.sum)));
            }
        }
    }
    summary
}

fn map(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 may lose its last digits")]
const fn number(count: u64) -> f64 {
    count as f64
}
