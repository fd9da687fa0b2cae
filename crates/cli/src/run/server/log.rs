//! The server's own log, on standard error. It never blocks the server: lines go through a bounded queue to a thread
//! of their own, and are dropped (and counted) when nobody takes them.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};

use coffre_core::LogSink;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const QUEUE: usize = 1_024;

/// A log that was started, for whoever may change how much it says.
pub(crate) struct Started {
    /// The level.
    pub(crate) level: String,
    /// Takes directives such as `info,coffre_audit=debug`.
    pub(crate) sink: LogSink,
}

/// Starts logging at a level.
pub(crate) fn start(level: &str, json: bool) -> Result<Started, String> {
    let level = match level.to_ascii_lowercase().as_str() {
        "err" => "error".to_owned(),
        word @ ("trace" | "debug" | "info" | "warn" | "error") => word.to_owned(),
        _ => return Err("the log level must be trace, debug, info, warn or error".into()),
    };
    let filter = EnvFilter::try_new(&level).map_err(|error| error.to_string())?;
    let writer = Queue::start().map_err(|error| format!("cannot start the log: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(writer);
    let (installed, sink): (_, LogSink) = if json {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        let sink = move |to: &str| EnvFilter::try_new(to).is_ok_and(|filter| handle.reload(filter).is_ok());
        (builder.try_init(), Box::new(sink))
    } else {
        let builder = builder.with_ansi(false).with_filter_reloading();
        let handle = builder.reload_handle();
        let sink = move |to: &str| EnvFilter::try_new(to).is_ok_and(|filter| handle.reload(filter).is_ok());
        (builder.try_init(), Box::new(sink))
    };
    installed.map_err(|error| format!("cannot start the log: {error}"))?;
    Ok(Started { level, sink })
}

#[derive(Clone)]
struct Queue {
    lines: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    fn start() -> io::Result<Self> {
        let (lines, waiting) = sync_channel::<Vec<u8>>(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        std::thread::Builder::new().name("log".into()).spawn(move || {
            let mut out = io::stderr();
            for line in waiting {
                let missing = lost.swap(0, Ordering::Relaxed);
                if missing > 0 {
                    let _ = writeln!(out, "{missing} log lines were dropped: nobody read them in time");
                }
                let _ = out.write_all(&line);
            }
        })?;
        Ok(Self { lines, dropped })
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line.to_vec()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
