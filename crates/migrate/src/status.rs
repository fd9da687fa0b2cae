//! Where a migration stands, for people and scripts.

use serde::Serialize;

use crate::journal::{Ended, Journal, Queued, Run, Subject};

/// Where a migration stands, as far as the journal knows; asks no server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// All runs, oldest first.
    pub runs: Vec<RunStatus>,
    /// Variables that stood in a file in the clear and still have that value, the most exposed first.
    pub to_rotate: Vec<Queued>,
    /// Whether nothing is left to do: switched over, retired, and everything rotated.
    pub complete: bool,
    /// What to do next.
    pub next: &'static str,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunStatus {
    /// The plan's id.
    pub plan: String,
    /// The server's address.
    pub server: String,
    /// `open`, `applied`, `verified`, `switched-over`, `retired`, `given-up` or `rolled-back`.
    pub state: &'static str,
    /// Steps that are on the server.
    pub landed: usize,
    /// Steps that were announced and not confirmed.
    pub in_doubt: usize,
    /// Steps that somebody else's write kept from landing.
    pub conflicts: usize,
    /// Steps that were taken back, or left on purpose.
    pub undone: usize,
}

/// Reads the status off the journal.
#[must_use]
pub fn status(journal: &Journal) -> Status {
    let runs: Vec<RunStatus> = journal
        .runs()
        .iter()
        .map(|run| RunStatus {
            plan: run.plan.clone(),
            server: run.server.clone(),
            state: state(run),
            landed: run.steps.iter().filter(|step| step.landed.is_some()).count(),
            in_doubt: run.steps.iter().filter(|step| step.landed.is_none() && !step.conflict).count(),
            conflicts: run.steps.iter().filter(|step| step.conflict).count(),
            undone: run.steps.iter().filter(|step| step.undone).count(),
        })
        .collect();
    let to_rotate = journal.to_rotate().to_vec();
    let retired = runs.last().is_some_and(|run| run.state == "retired");
    let complete = retired && to_rotate.is_empty();
    let next = match runs.last().map(|run| run.state) {
        None | Some("rolled-back") => "run `migrate plan`, then `migrate apply`",
        Some("open") => {
            "run `migrate apply` again to go on, or `migrate rollback` to take back what was written"
        }
        Some("applied") => "run `migrate verify`",
        Some("verified") => {
            "start the application from the vault, then `migrate cutover`; `migrate rollback` takes everything back"
        }
        Some("switched-over") => {
            "when it has run long enough, `migrate retire`; `migrate rollback -to=applied` switches back"
        }
        Some("retired") if complete => "nothing: the migration is complete",
        Some("retired") => "rotate what stood in a file, and say so with `migrate rotated NAME`",
        Some(_) => "run `migrate apply`, or `migrate rollback` to take back what was written",
    };
    Status { runs, to_rotate, complete, next }
}

fn state(run: &Run) -> &'static str {
    let files = run.steps.iter().filter(|step| matches!(step.subject, Subject::File(_)) && !step.undone);
    let done = files.filter(|step| step.landed.is_some()).count();
    let retired = done > 0 && run.archive.as_ref().is_some_and(|archive| archive.files.len() == done);
    match (run.ended, &run.verified) {
        (None, _) => "open",
        (Some(Ended::Failed), _) => "given-up",
        (Some(Ended::RolledBack), _) => "rolled-back",
        (Some(Ended::Ok), _) if retired => "retired",
        (Some(Ended::Ok), _) if run.cutover.is_some() => "switched-over",
        (Some(Ended::Ok), None) => "applied",
        (Some(Ended::Ok), Some(_)) => "verified",
    }
}
