//! The library's events as records of Python's `logging`, logger `coffre`. They hold names, paths and versions; the
//! library puts no value into an event.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::courier::{self, Parcel};

/// Python's numbers for the levels (`logging` documentation, "Logging Levels").
const INFO: i32 = 20;

/// From which level on records are made at all. Asking the logger would need the interpreter's lock.
static THRESHOLD: AtomicI32 = AtomicI32::new(INFO);

static INSTALLED: OnceLock<bool> = OnceLock::new();

/// Installs the bridge, once for the process, and asks the logger what it wants to hear.
pub(crate) fn install(py: Python<'_>) {
    INSTALLED.get_or_init(|| tracing::subscriber::set_global_default(Bridge).is_ok());
    let level =
        logger(py).and_then(|logger| logger.call_method0(intern!(py, "getEffectiveLevel"))?.extract::<i32>());
    // An unusual logger costs details, not warnings.
    THRESHOLD.store(level.unwrap_or(INFO).min(INFO), Ordering::Relaxed);
}

struct Bridge;

impl Subscriber for Bridge {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if ours(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ours(metadata) && number(*metadata.level()) >= THRESHOLD.load(Ordering::Relaxed)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = number(*event.metadata().level());
        let mut read = Fields::default();
        event.record(&mut read);
        courier::send(Parcel::Record(Box::new(move |py, dropped| {
            // A handler that raises is the application's; `logging` has its own way to say so.
            let _ = log(py, level, &read, dropped);
        })));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Events of this workspace alone: what transports say about their traffic is not ours to vouch for.
fn ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target().starts_with("coffre")
}

fn number(level: Level) -> i32 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => INFO,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "logging"))?.call_method1(intern!(py, "getLogger"), (intern!(py, "coffre"),))
}

fn log(py: Python<'_>, level: i32, read: &Fields, dropped: usize) -> PyResult<()> {
    let logger = logger(py)?;
    if !logger.call_method1(intern!(py, "isEnabledFor"), (level,))?.is_truthy()? {
        return Ok(());
    }
    let mut text = read.message.clone();
    let fields = PyDict::new(py);
    for (at, (name, value)) in read.others.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(text, "{}{name}={value}", if at == 0 { " (" } else { ", " });
        fields.set_item(name, value)?;
    }
    if !read.others.is_empty() {
        text.push(')');
    }
    if dropped > 0 {
        let _ = write!(text, " [{dropped} records before this were dropped]");
    }
    let extra = PyDict::new(py);
    extra.set_item("coffre", fields)?;
    let named = PyDict::new(py);
    named.set_item("extra", extra)?;
    logger.call_method(intern!(py, "log"), (level, text), Some(&named)).map(drop)
}

/// What an event says: its message, and its other fields as text.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.push((field.name(), text));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.others.push((field.name(), value.to_owned()));
        }
    }
}
