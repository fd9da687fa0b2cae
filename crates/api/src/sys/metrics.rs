//! Numbers for dashboards and alarms.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Op, Template};

/// In which form.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysMetricsInput")]
pub struct MetricsInput {
    /// `prometheus` for Prometheus's text; nothing for the JSON summary.
    #[serde(default)]
    pub format: String,
}

/// The numbers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "SysMetricsOutput")]
pub enum MetricsOutput {
    /// Prometheus's text.
    Text(String),
    /// The JSON summary.
    Summary(MetricsSummary),
}

/// A summary in the shape of go-metrics.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(rename = "SysMetricsSummary")]
pub struct MetricsSummary {
    /// RFC 3339.
    pub timestamp: String,
    /// States.
    pub gauges: Vec<SummaryGauge>,
    /// Always empty.
    pub points: Vec<SummaryGauge>,
    /// What only grows.
    pub counters: Vec<SummarySample>,
    /// How long things took, in seconds.
    pub samples: Vec<SummarySample>,
}

/// A state.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(rename = "SysMetricsGauge")]
pub struct SummaryGauge {
    /// With dots.
    pub name: String,
    /// Its value now.
    pub value: f64,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
}

/// Many values, since the start.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(rename = "SysMetricsSample")]
pub struct SummarySample {
    /// With dots.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Their sum for each second since the start.
    pub rate: f64,
    /// Their sum.
    pub sum: f64,
    /// Their mean.
    pub mean: f64,
    /// What they are about.
    pub labels: BTreeMap<String, String>,
}

/// Read the server's metrics.
pub struct Metrics;

impl Endpoint for Metrics {
    type Input = MetricsInput;
    type Output = MetricsOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("metrics");
    const ACCESS: Access = Access::Token;
    const BARE: bool = true;
    const SUMMARY: &'static str = "Read the server's metrics, as JSON or as Prometheus's text.";
}
