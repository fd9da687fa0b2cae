//! What is known of a running kernel besides its tables: counters, requests under way, how much is logged.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use coffre_ambient::Clock;
use coffre_audit::Released;

use crate::in_flight::InFlight;
use crate::incoming::Incoming;
use crate::kernel::Kernel;
use crate::loggers::{LogSink, Loggers};
use crate::metrics::{Meters, Source};

/// Lives as long as the kernel, sealed or not.
pub(crate) struct Telemetry {
    pub(crate) meters: Arc<Meters>,
    in_flight: InFlight,
    loggers: OnceLock<Loggers>,
    /// Of a part beside the kernel.
    pub(crate) attached: OnceLock<Source>,
    /// Time since boot.
    started: Duration,
}

impl Telemetry {
    pub(crate) fn new(meters: Arc<Meters>, clock: &dyn Clock) -> Self {
        Self {
            meters,
            in_flight: InFlight::default(),
            loggers: OnceLock::new(),
            attached: OnceLock::new(),
            started: clock.boot(),
        }
    }
}

impl Kernel {
    /// Answers a request, from whatever door it came; it is counted and timed.
    pub async fn handle(self: &Arc<Self>, incoming: Incoming) -> Released {
        let (op, began) = (incoming.op, self.clock().boot());
        let flight = self.in_flight().enter(&incoming, self.clock().wall());
        let released = self.route_and_answer(incoming).await;
        drop(flight);
        self.meters().request(op, &released, self.clock().boot().saturating_sub(began));
        released
    }

    /// Lets `sys/loggers` change how much is logged. `usual` is the level of the configuration. The first call counts.
    pub fn connect_log(&self, usual: &str, sink: LogSink) {
        let _ = self.telemetry().loggers.set(Loggers::new(usual, sink));
    }

    pub(crate) fn loggers(&self) -> Option<&Loggers> {
        self.telemetry().loggers.get()
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.telemetry().meters
    }

    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.telemetry().in_flight
    }

    /// Since the start.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock().boot().saturating_sub(self.telemetry().started)
    }
}
