//! `sys/metrics`.

use coffre_api::Refusal;
use coffre_api::sys::metrics::{Metrics, MetricsInput, MetricsOutput};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::kernel::Kernel;
use crate::metrics;

/// The media type of Prometheus's text.
pub const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Kernel {
    /// Prometheus's text, for a listener whose configuration opens it to everybody
    /// (`unauthenticated_metrics_access`); `None` if Prometheus is switched off.
    pub fn metrics_text(&self) -> Option<String> {
        self.settings().prometheus.then(|| metrics::text(&metrics::gather(self)))
    }
}

impl Serve<Metrics> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: MetricsInput) -> Result<Reply<MetricsOutput>, Refusal> {
        let kernel = self.kernel()?;
        match input.format.as_str() {
            "prometheus" => {
                let text =
                    kernel.metrics_text().ok_or_else(|| Refusal::invalid("prometheus is not enabled"))?;
                Ok(Reply::text(METRICS_TEXT, MetricsOutput::Text(text)))
            }
            "" => {
                let summary = metrics::json(&metrics::gather(&kernel), cx.now(), kernel.uptime());
                Ok(Reply::bare(MetricsOutput::Summary(summary)))
            }
            _ => Err(Refusal::invalid("the format must be prometheus, or none for JSON")),
        }
    }
}
