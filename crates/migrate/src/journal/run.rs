use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Event;
use crate::vault::{Object, Place, Standing};

/// What a step is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A mount, policy, …
    Object(Object),
    /// A document.
    Document(Place),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(object) => object.fmt(f),
            Self::Document(place) => place.fmt(f),
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Everything of the plan is on the server.
    Ok,
    /// Given up for another plan; what was written is still there.
    Failed,
    /// Everything of ours was taken back.
    RolledBack,
}

/// One application of a plan, as far as the journal knows.
#[derive(Clone, Debug)]
pub struct Run {
    /// The plan's id.
    pub plan: String,
    /// The server's address.
    pub server: String,
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// In the order in which they were begun.
    pub steps: Vec<Step>,
    /// How it ended, if it did.
    pub ended: Option<Ended>,
    /// How many variables were verified, and as which role.
    pub verified: Option<(usize, String)>,
}

/// One step of a run.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is about.
    pub subject: Subject,
    /// For an object: its state before and afterwards.
    pub(crate) object: Option<(Option<String>, String)>,
    /// For a document: our fields' fingerprints, the version we replace and how it stood.
    pub(crate) document: Option<(BTreeMap<String, String>, u64, Standing)>,
    /// Whether it is known to have landed; a document's version, 0 for an object.
    pub landed: Option<u64>,
    /// Whether somebody else's write kept it from landing.
    pub conflict: bool,
    /// Whether taking it back was begun.
    pub(crate) undoing: bool,
    /// Whether it was taken back, or left on purpose.
    pub undone: bool,
    /// The version that brought a document's old value back.
    pub(crate) restored_as: Option<u64>,
}

impl Run {
    /// The step about this subject.
    #[must_use]
    pub fn step(&self, subject: &Subject) -> Option<&Step> {
        self.steps.iter().find(|step| step.subject == *subject)
    }

    pub(super) fn fold(runs: &mut Vec<Self>, event: &Event) {
        if let Event::Begin { plan, server, app, environment } = event {
            runs.push(Self {
                plan: plan.clone(),
                server: server.clone(),
                app: app.clone(),
                environment: environment.clone(),
                steps: vec![],
                ended: None,
                verified: None,
            });
            return;
        }
        // Undoing works on the last run that is not rolled back; everything else on the last one.
        let undo =
            matches!(event, Event::UndoIntent { .. } | Event::UndoDone { .. } | Event::UndoLeft { .. })
                || matches!(event, Event::End { outcome: Ended::RolledBack });
        let run = if undo { Self::undoable(runs) } else { runs.last_mut() };
        if let Some(run) = run {
            run.add(event);
        }
    }

    fn undoable(runs: &mut [Self]) -> Option<&mut Self> {
        runs.iter_mut().rev().find(|run| run.ended != Some(Ended::RolledBack))
    }

    fn add(&mut self, event: &Event) {
        match event {
            Event::Begin { .. } => {}
            Event::SetupIntent { object, before, wanted } => {
                let mut step = Step::about(Subject::Object(object.clone()));
                step.object = Some((before.clone(), wanted.clone()));
                self.steps.push(step);
            }
            Event::SetupDone { object } => {
                self.mark(&Subject::Object(object.clone()), |step| step.landed = Some(0));
            }
            Event::Intent { doc, fields, cas, pre } => {
                let mut step = Step::about(Subject::Document(doc.clone()));
                step.document = Some((fields.clone(), *cas, *pre));
                self.steps.push(step);
            }
            Event::Done { doc, version } | Event::Recovered { doc, version } => {
                self.mark(&Subject::Document(doc.clone()), |step| step.landed = Some(*version));
            }
            Event::Conflict { doc, .. } => {
                self.mark(&Subject::Document(doc.clone()), |step| step.conflict = true)
            }
            Event::Verified { variables, by } => self.verified = Some((*variables, by.clone())),
            Event::UndoIntent { subject } => self.mark(subject, |step| step.undoing = true),
            Event::UndoDone { subject, version } => self.mark(subject, |step| {
                step.undone = true;
                step.restored_as = *version;
            }),
            Event::UndoLeft { subject } => self.mark(subject, |step| step.undone = true),
            Event::End { outcome } => self.ended = Some(*outcome),
        }
    }

    fn mark(&mut self, subject: &Subject, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.steps.iter_mut().rfind(|step| step.subject == *subject) {
            change(step);
        }
    }
}

impl Step {
    fn about(subject: Subject) -> Self {
        Self {
            subject,
            object: None,
            document: None,
            landed: None,
            conflict: false,
            undoing: false,
            undone: false,
            restored_as: None,
        }
    }
}
