use std::sync::Arc;

use coffre_ambient::{Clock, Entropy};
use coffre_rotation::{Happening, Settings, Target as Name};

use crate::{Kv, Target};

/// One thing that rotates: its name, how it rotates, and what its kind does in each phase.
#[derive(Clone)]
pub struct Rotating {
    /// The path of its credential document below the environment.
    pub name: Name,
    /// When and how; from the manifest.
    pub settings: Settings,
    /// What its kind does.
    pub kind: Arc<dyn Target>,
    /// The environment in which it must have gone well before, where the settings ask for it.
    pub before: Option<String>,
    /// Another environment waits until it has gone well in this one.
    pub followed: bool,
}

/// All that a [`Rotator`](crate::Rotator) works with.
pub struct Parts {
    /// The mount.
    pub kv: Arc<dyn Kv>,
    /// The environment: the first segment of every path.
    pub environment: String,
    /// Host, boot and process, for claims and the history; made unique by a random suffix.
    pub holder: String,
    /// What rotates; names are unique.
    pub targets: Vec<Rotating>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for material too.
    pub entropy: Arc<dyn Entropy>,
    /// Who is told what happened.
    pub sink: Arc<dyn Sink>,
}

/// Who is told what happened to a target: at least once, perhaps again after a crash, with the same `dedupe` key.
pub trait Sink: Send + Sync {
    /// Takes it, quickly: delivery is the sink's own business, and no failure of it holds a rotation up.
    fn tell(&self, target: &Name, happening: &Happening);
}

/// A sink that writes one log line for each event.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSink;

impl Sink for LogSink {
    fn tell(&self, target: &Name, happening: &Happening) {
        tracing::info!(
            target: "coffre_rotate::event",
            secret = %target,
            event = ?happening.event,
            phase = %happening.phase,
            generation = happening.gen_no,
            rotation = %happening.rotation,
            note = happening.note,
            "rotation"
        );
    }
}
