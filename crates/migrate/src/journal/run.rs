//! What the lines of a journal add up to: runs, each with its steps, and how far each step has come. A step that was taken
//! back stays in the record; the next one about the same thing is another step.

use std::collections::BTreeMap;
use std::fmt;

use coffre_ambient::Wall;
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
    /// A file of the application.
    File(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(object) => object.fmt(f),
            Self::Document(place) => place.fmt(f),
            Self::File(name) => f.write_str(name),
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
    /// The line (from 1) of the journal that says so.
    pub ended_at: Option<u64>,
    /// How many variables were verified, and as which role.
    pub verified: Option<(usize, String)>,
    /// When programs were switched over, if they were.
    pub cutover: Option<CutOver>,
    /// The archive of the retired files, if there is one.
    pub(crate) archive: Option<Archived>,
}

/// The moment from which programs use the migrated documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CutOver {
    /// The line (from 1) of the journal.
    pub line: u64,
    /// When.
    pub at: Wall,
    /// The manifest document's version.
    pub version: u64,
}

/// An archive of files.
#[derive(Clone, Debug)]
pub(crate) struct Archived {
    /// Its name in the state directory.
    pub(crate) name: String,
    /// SHA-256 of its bytes.
    pub(crate) id: String,
    /// The files that it holds, each with the keyed tag of its bytes.
    pub(crate) files: BTreeMap<String, String>,
}

/// What is known of the write of a document.
#[derive(Clone, Debug)]
pub(crate) struct DocumentWrite {
    /// Each of our fields with its value's fingerprint.
    pub(crate) prints: BTreeMap<String, String>,
    /// The version that it replaces.
    pub(crate) cas: u64,
    /// How the document stood before.
    pub(crate) before: Standing,
    /// The id that stands in the version; empty in journals that are older than ids.
    pub(crate) id: String,
}

/// One step of a run.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is about.
    pub subject: Subject,
    /// The line (from 1) of the journal that announced it.
    pub line: u64,
    /// For an object: its state before and afterwards.
    pub(crate) object: Option<(Option<String>, String)>,
    /// For a document.
    pub(crate) document: Option<DocumentWrite>,
    /// For a file: keyed fingerprints of its content and of its stub.
    pub(crate) file: Option<(String, String)>,
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
    /// The step about this subject that was not taken back.
    #[must_use]
    pub fn step(&self, subject: &Subject) -> Option<&Step> {
        self.steps.iter().rfind(|step| step.subject == *subject && !step.undone)
    }

    pub(super) fn fold(runs: &mut Vec<Self>, line: u64, at: Wall, event: &Event) {
        if let Event::Begin { plan, server, app, environment } = event {
            runs.push(Self {
                plan: plan.clone(),
                server: server.clone(),
                app: app.clone(),
                environment: environment.clone(),
                steps: vec![],
                ended: None,
                ended_at: None,
                verified: None,
                cutover: None,
                archive: None,
            });
            return;
        }
        // Undoing works on the last run that is not rolled back; everything else on the last one.
        let undo =
            matches!(event, Event::UndoIntent { .. } | Event::UndoDone { .. } | Event::UndoLeft { .. })
                || matches!(event, Event::RolledTo { .. } | Event::End { outcome: Ended::RolledBack });
        let run = if undo { Self::undoable(runs) } else { runs.last_mut() };
        if let Some(run) = run {
            run.add(line, at, event);
        }
    }

    fn undoable(runs: &mut [Self]) -> Option<&mut Self> {
        runs.iter_mut().rev().find(|run| run.ended != Some(Ended::RolledBack))
    }

    fn add(&mut self, line: u64, at: Wall, event: &Event) {
        match event {
            Event::Begin { .. } | Event::Queued { .. } | Event::Rotated { .. } => {}
            Event::SetupIntent { object, before, wanted } => {
                let mut step = Step::about(Subject::Object(object.clone()), line);
                step.object = Some((before.clone(), wanted.clone()));
                self.steps.push(step);
            }
            Event::SetupDone { object } => {
                self.mark(&Subject::Object(object.clone()), |step| step.landed = Some(0));
            }
            Event::Intent { doc, fields, cas, pre, id } => {
                let mut step = Step::about(Subject::Document(doc.clone()), line);
                let (prints, id) = (fields.clone(), id.clone());
                step.document = Some(DocumentWrite { prints, cas: *cas, before: *pre, id });
                self.steps.push(step);
            }
            Event::Done { doc, version } | Event::Recovered { doc, version } => {
                self.mark(&Subject::Document(doc.clone()), |step| step.landed = Some(*version));
            }
            Event::Conflict { doc, .. } => {
                self.mark(&Subject::Document(doc.clone()), |step| step.conflict = true)
            }
            Event::Cutover { version, .. } => self.cutover = Some(CutOver { line, at, version: *version }),
            Event::Archived { archive, id, files } => {
                let (name, id) = (archive.clone(), id.clone());
                self.archive = Some(Archived { name, id, files: files.clone() });
            }
            Event::RetireIntent { file, before, after } => {
                let mut step = Step::about(Subject::File(file.clone()), line);
                step.file = Some((before.clone(), after.clone()));
                self.steps.push(step);
            }
            Event::Retired { file } => {
                self.mark(&Subject::File(file.clone()), |step| step.landed = Some(0));
            }
            Event::RolledTo { line } => self.forget_after(*line),
            Event::Verified { variables, by } => self.verified = Some((*variables, by.clone())),
            Event::UndoIntent { subject } => self.mark(subject, |step| step.undoing = true),
            Event::UndoDone { subject, version } => self.mark(subject, |step| {
                step.undone = true;
                step.restored_as = *version;
            }),
            Event::UndoLeft { subject } => self.mark(subject, |step| step.undone = true),
            Event::End { outcome } => (self.ended, self.ended_at) = (Some(*outcome), Some(line)),
        }
    }

    fn forget_after(&mut self, line: u64) {
        if self.cutover.is_some_and(|cutover| cutover.line > line) {
            self.cutover = None;
        }
        if self.ended_at.is_some_and(|ended| ended > line) {
            (self.ended, self.ended_at, self.verified) = (None, None, None);
        }
    }

    fn mark(&mut self, subject: &Subject, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.steps.iter_mut().rfind(|step| step.subject == *subject && !step.undone) {
            change(step);
        }
    }
}

impl Step {
    const fn about(subject: Subject, line: u64) -> Self {
        Self {
            subject,
            line,
            object: None,
            document: None,
            file: None,
            landed: None,
            conflict: false,
            undoing: false,
            undone: false,
            restored_as: None,
        }
    }
}
