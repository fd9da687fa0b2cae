use std::sync::{Arc, Mutex, PoisonError};

use coffre_core::Attached;
use coffre_rotate::Failure;
use coffre_rotate::notify::Notifier;

/// How the engine is doing, for the log and the metrics.
#[derive(Default)]
pub(super) struct Standing(Mutex<Now>);

#[derive(Default)]
struct Now {
    state: State,
    /// What was said last, so that it is said once.
    said: String,
    notifier: Option<Arc<Notifier>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    /// The server is sealed, or does not answer yet.
    #[default]
    Waiting,
    /// It rotates.
    Running,
    /// Its identity is not accepted.
    Refused,
    /// The manifest or what it names cannot be used.
    Broken,
}

impl State {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Waiting, "waiting"),
        (Self::Running, "running"),
        (Self::Refused, "refused"),
        (Self::Broken, "broken"),
    ];
}

impl Standing {
    /// It is in a state from now on.
    pub(super) fn set(&self, state: State) {
        let mut now = self.now();
        now.state = state;
        if state == State::Running {
            now.said.clear();
        }
    }

    /// Its identity is accepted, again perhaps.
    pub(super) fn accepted(&self) {
        let mut now = self.now();
        if now.state == State::Refused {
            now.state = State::Running;
            now.said.clear();
            tracing::info!("the identity of the rotation engine is accepted again");
        }
    }

    /// It has a new notifier, whose counts are shown.
    pub(super) fn notifies(&self, notifier: Arc<Notifier>) {
        self.now().notifier = Some(notifier);
    }

    /// Its identity is not accepted.
    pub(super) fn refused(&self, failure: &Failure) {
        if self.is_new(State::Refused, failure) {
            tracing::error!(%failure, "the identity of the rotation engine is refused; it is tried again");
        }
    }

    /// It cannot be put together.
    pub(super) fn broken(&self, failure: &Failure) {
        if self.is_new(State::Broken, failure) {
            tracing::error!(%failure, "the rotation engine cannot run; it is tried again");
        }
    }

    fn is_new(&self, state: State, failure: &Failure) -> bool {
        let text = failure.to_string();
        let mut now = self.now();
        now.state = state;
        let new = now.said != text;
        now.said = text;
        new
    }

    /// What metrics show; a sealed server rotates nothing.
    pub(super) fn numbers(&self, sealed: bool) -> Vec<Attached> {
        let now = self.now();
        let state = if sealed { State::Waiting } else { now.state };
        let events = now.notifier.as_ref().map(|notifier| notifier.counts().events()).unwrap_or_default();
        vec![
            Attached {
                name: "rotation_engine",
                help: "How the rotation engine inside of the server is doing: 1 for its state.",
                grows: false,
                label: "state",
                values: State::ALL.iter().map(|(one, word)| (*word, u64::from(*one == state))).collect(),
            },
            Attached {
                name: "rotation_events_total",
                help: "What happened to rotating secrets, since the engine was put together.",
                grows: true,
                label: "event",
                values: events,
            },
        ]
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
