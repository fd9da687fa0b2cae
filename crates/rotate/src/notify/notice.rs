use std::fmt::Write as _;

use coffre_rotation::{ConsumerId, EventKind, Happening, Target};
use serde::Serialize;

/// What is told: the body of a request, the text of a mail, a line of the log. Holds no material.
#[derive(Clone, Debug, Serialize)]
pub struct Notice {
    schema: &'static str,
    project: String,
    environment: String,
    target: Target,
    #[serde(flatten)]
    happening: Happening,
}

/// Names that a mail or a log line shows at most.
const SHOWN: usize = 16;

impl Notice {
    /// About something that happened.
    #[must_use]
    pub fn new(project: &str, environment: &str, target: &Target, happening: &Happening) -> Self {
        let mut happening = happening.clone();
        happening.dedupe = key(environment, target, &happening);
        Self {
            schema: "coffre-notice/1",
            project: project.to_owned(),
            environment: environment.to_owned(),
            target: target.clone(),
            happening,
        }
    }

    /// By which a repetition is seen: for states that last the target, the state and the day (UTC), else what the event
    /// says, else rotation, event, phase and generation.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.happening.dedupe
    }

    /// What happened.
    pub(super) const fn event(&self) -> EventKind {
        self.happening.event
    }

    /// When.
    pub(super) const fn at(&self) -> coffre_ambient::Wall {
        self.happening.at
    }

    /// As JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// One line.
    pub(super) fn subject(&self) -> String {
        format!(
            "[coffre] {} ({} {}): {}",
            self.target,
            self.project,
            self.environment,
            sentence(self.event())
        )
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Happening {
            at, event, rotation, phase, gen_no, old, fingerprints, consumers, actor, note, ..
        } = &self.happening;
        let mut text = format!("{} {}.\n", self.target, sentence(*event));
        if !note.is_empty() {
            let _infallible = write!(text, "\n{note}\n");
        }
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                let _infallible = write!(text, "\n{name:<13}{value}");
            }
        };
        line("project", &self.project);
        line("environment", &self.environment);
        line("time", &at.rfc3339());
        line("phase", phase.word());
        line("rotation", rotation.as_str());
        line("generation", &gen_no.map(|number| number.to_string()).unwrap_or_default());
        line("before", &old.map(|number| number.to_string()).unwrap_or_default());
        line("fingerprints", &fingerprints.join(", "));
        line("waits for", &names(consumers));
        line("by", actor);
        text.push_str("\n\nMore: coffre rotate status; coffre rotate history ");
        text.push_str(self.target.as_str());
        text.push('\n');
        text
    }

    /// Into the log: a person's attention at `warn`, the rest at `info`.
    pub(super) fn log(&self) {
        let Happening { event, rotation, phase, gen_no, old, fingerprints, consumers, actor, note, .. } =
            &self.happening;
        let (target, environment) = (self.target.as_str(), self.environment.as_str());
        let (event, attention) = (word(*event), needs_a_person(*event));
        let (rotation, phase, consumers) = (rotation.as_str(), phase.word(), names(consumers));
        let fingerprints = fingerprints.join(",");
        if attention {
            tracing::warn!(
                environment, secret = target, event, rotation, phase, gen_no, old, %fingerprints, %consumers, %actor, %note,
                "rotation"
            );
        } else {
            tracing::info!(
                environment, secret = target, event, rotation, phase, gen_no, old, %fingerprints, %consumers, %actor, %note,
                "rotation"
            );
        }
    }
}

/// The word on the wire.
pub(super) const fn word(event: EventKind) -> &'static str {
    match event {
        EventKind::Due => "due",
        EventKind::Started => "started",
        EventKind::Phase => "phase",
        EventKind::GateWaiting => "gate_waiting",
        EventKind::Promoted => "promoted",
        EventKind::Retired => "retired",
        EventKind::Destroyed => "destroyed",
        EventKind::Halted => "halted",
        EventKind::Overdue => "overdue",
        EventKind::Drift => "drift",
        EventKind::Undo => "undo",
        EventKind::Rollback => "rollback",
        EventKind::Resumed => "resumed",
        EventKind::Provided => "provided",
        EventKind::Revoked => "revoked",
        EventKind::Abandoned => "abandoned",
        EventKind::EpochReset => "epoch_reset",
        EventKind::TakenOver => "taken_over",
        EventKind::Revealed => "revealed",
        EventKind::Escrowed => "escrowed",
    }
}

const fn sentence(event: EventKind) -> &'static str {
    match event {
        EventKind::Due => "must be changed soon",
        EventKind::Started => "begins to rotate",
        EventKind::Phase => "entered a phase",
        EventKind::GateWaiting => "waits for consumers",
        EventKind::Promoted => "has a new credential in use",
        EventKind::Retired => "no longer accepts the old credential",
        EventKind::Destroyed => "has no copy of the old credential left",
        EventKind::Halted => "stopped rotating and needs a person; the active credential stays valid",
        EventKind::Overdue => "is past its deadline",
        EventKind::Drift => "differs between the vault and the place where it is used",
        EventKind::Undo => "had a rotation undone before its new credential was used",
        EventKind::Rollback => "uses the credential from before again",
        EventKind::Resumed => "goes on rotating",
        EventKind::Provided => "was given a new credential by a person",
        EventKind::Revoked => "had its old credential revoked by a person",
        EventKind::Abandoned => "gave up new material and made other",
        EventKind::EpochReset => "had its epoch confirmed after a restored server",
        EventKind::TakenOver => "is rotated by another rotator now",
        EventKind::Revealed => "had an earlier credential read by a person",
        EventKind::Escrowed => "had a copy of an old key sealed to the offline recovery key",
    }
}

const fn lasts(event: EventKind) -> bool {
    matches!(
        event,
        EventKind::Due | EventKind::Overdue | EventKind::Halted | EventKind::Drift | EventKind::GateWaiting
    )
}

const fn needs_a_person(event: EventKind) -> bool {
    matches!(event, EventKind::Overdue | EventKind::Halted | EventKind::Drift)
}

fn key(environment: &str, target: &Target, happening: &Happening) -> String {
    let event = word(happening.event);
    let rotation = happening.rotation.as_str();
    if lasts(happening.event) {
        let stamp = happening.at.rfc3339();
        let day = stamp.get(..10).unwrap_or_default();
        return format!("{environment}/{target}/{event}/{rotation}/{day}");
    }
    if !happening.dedupe.is_empty() {
        return format!("{environment}/{target}/{}", happening.dedupe);
    }
    let number = happening.gen_no.unwrap_or(0);
    format!("{environment}/{target}/{event}/{rotation}/{}/{number}", happening.phase.word())
}

fn names(consumers: &[ConsumerId]) -> String {
    let mut shown: Vec<String> = consumers.iter().take(SHOWN).map(ToString::to_string).collect();
    if consumers.len() > SHOWN {
        shown.push(format!("and {} more", consumers.len() - SHOWN));
    }
    shown.join(", ")
}
