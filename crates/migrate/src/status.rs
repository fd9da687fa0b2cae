//! Where a migration stands, for people and scripts.

use serde::Serialize;

use crate::journal::{Ended, Journal};

/// Where a migration stands, as far as the journal knows; asks no server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// All runs, oldest first.
    pub runs: Vec<RunStatus>,
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
    /// `open`, `applied`, `verified`, `given-up` or `rolled-back`.
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
            state: match (run.ended, &run.verified) {
                (None, _) => "open",
                (Some(Ended::Ok), None) => "applied",
                (Some(Ended::Ok), Some(_)) => "verified",
                (Some(Ended::Failed), _) => "given-up",
                (Some(Ended::RolledBack), _) => "rolled-back",
            },
            landed: run.steps.iter().filter(|step| step.landed.is_some()).count(),
            in_doubt: run.steps.iter().filter(|step| step.landed.is_none() && !step.conflict).count(),
            conflicts: run.steps.iter().filter(|step| step.conflict).count(),
            undone: run.steps.iter().filter(|step| step.undone).count(),
        })
        .collect();
    let next = match runs.last().map(|run| run.state) {
        None | Some("rolled-back") => "run `migrate plan`, then `migrate apply`",
        Some("open") => {
            "run `migrate apply` again to go on, or `migrate rollback` to take back what was written"
        }
        Some("applied") => "run `migrate verify`",
        Some("verified") => "start the application from the vault; `migrate rollback` takes everything back",
        Some(_) => "run `migrate apply`, or `migrate rollback` to take back what was written",
    };
    Status { runs, next }
}
