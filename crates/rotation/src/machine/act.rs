use std::collections::BTreeMap;

use coffre_ambient::Wall;

use super::failure::FailureKind;
use crate::Pending;

/// Something outside of the record. Each may be done again after a crash, with the same effect as once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Draw material for this generation; nothing leaves the process.
    Prepare {
        /// Its number.
        gen_no: u64,
    },
    /// Put the pending material where it will be checked, under the record's fence.
    Apply,
    /// Try the pending material on the consumer's own path.
    Verify,
    /// Write the document that accepts the pending generation.
    Publish {
        /// Its epoch.
        epoch: u64,
    },
    /// Write the document that names the pending generation as active.
    Promote {
        /// Its epoch.
        epoch: u64,
        /// Without the generation before: it is compromised.
        drop_old: bool,
    },
    /// Write the document that names this generation as active (again), or only with a higher epoch.
    Repair {
        /// The generation.
        gen_no: u64,
        /// Its epoch.
        epoch: u64,
    },
    /// Ask the target whether the generation is in use.
    Drained {
        /// The generation.
        gen_no: u64,
    },
    /// See to it that the generation is accepted no longer; write the document without it.
    Retire {
        /// The generation.
        gen_no: u64,
        /// The document's epoch, if it changes.
        epoch: u64,
        /// Its sessions are ended as well.
        at_once: bool,
    },
    /// Try the revoked material: it must be refused (external keys).
    Revoked {
        /// The generation.
        gen_no: u64,
    },
    /// Encrypt one batch anew.
    Reencrypt {
        /// The generation to be replaced.
        gen_no: u64,
        /// Where the batch before ended.
        cursor: Option<String>,
    },
    /// Collect the evidence that nothing needs the generation any more.
    MayDestroy {
        /// The generation.
        gen_no: u64,
    },
    /// Write the document without the generation if it still stands there; then destroy every version that holds it,
    /// and read each back.
    Destroy {
        /// The generation.
        gen_no: u64,
        /// The document's epoch, if it changes.
        epoch: u64,
    },
    /// Take the pending generation back, at the target and in the document.
    Undo {
        /// The document's epoch, if it changes.
        epoch: u64,
        /// The document is written even if nothing in it changes: a late write of ours must not land any more.
        touch: bool,
    },
}

/// How an action ended.
#[derive(Debug)]
pub enum Outcome {
    /// Of `Prepare`.
    Prepared(Pending),
    /// It is done.
    Done,
    /// Of the actions that write the document: it is written, with this epoch. `0`: it did not need to change.
    Written(u64),
    /// Of `Drained`: nobody uses the generation, as far as the target can see.
    Drained,
    /// Of `Drained`: so many sessions, and a sentence about whose.
    InUse(u64, String),
    /// Of `Revoked`: whether it is refused.
    Revoked(bool),
    /// Of `Reencrypt`.
    Progress {
        /// Where the next batch begins; at most 1 KiB, no material.
        cursor: Option<String>,
        /// There is no next batch.
        done: bool,
        /// Per key id, how many values were met.
        counts: BTreeMap<String, u64>,
    },
    /// Of `MayDestroy`.
    Evidence {
        /// What is missing, one sentence each; nothing: it may.
        missing: Vec<String>,
        /// When it is worth asking again.
        ask: Option<Wall>,
        /// What is to be remembered of it; see [`Retiring::notes`](crate::Retiring::notes).
        notes: BTreeMap<String, String>,
        /// What was seen, if nothing is missing.
        certificate: BTreeMap<String, String>,
    },
    /// Of `Destroy`: no stored copy is left.
    Destroyed {
        /// The epoch of the document that was written for it; 0: none was.
        epoch: u64,
        /// Which versions of what are gone, each read back.
        gone: BTreeMap<String, String>,
    },
    /// It failed.
    Failed(FailureKind, String),
}
