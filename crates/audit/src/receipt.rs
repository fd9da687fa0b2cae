use std::fmt;
use std::sync::Arc;

use coffre_api::Op;
use coffre_policy::{Caller, Existence};

use crate::broker::{Enrolled, abandon};
use crate::device::DeviceError;

/// Proof that a permitted request was recorded. It owns the request; an engine is called with nothing less.
pub struct Admitted<T> {
    subject: T,
    caller: Caller,
    existence: Existence,
}

impl<T> Admitted<T> {
    pub(crate) const fn new(subject: T, caller: Caller, existence: Existence) -> Self {
        Self { subject, caller, existence }
    }

    /// What was permitted and recorded.
    pub const fn subject(&self) -> &T {
        &self.subject
    }

    /// Who asked.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What the existence check said.
    pub const fn existence(&self) -> Existence {
        self.existence
    }

    /// Ends the proof and gives its parts back.
    pub fn into_parts(self) -> (T, Caller) {
        (self.subject, self.caller)
    }
}

/// The obligation to record an answer: [`crate::Broker::release`] takes it. If it is dropped instead (the client went
/// away, a handler panicked), an entry says that the request was abandoned.
#[must_use = "give it to Broker::release, or the log will say that the request was abandoned"]
pub struct Receipt {
    pub(crate) recordings: Vec<Recording>,
    pub(crate) readable_response_keys: Vec<String>,
    pub(crate) op: Op,
    /// Whether the request passes also if no device takes it.
    pub(crate) optional: bool,
    /// What the devices said when it passed so.
    pub(crate) unrecorded: Option<AuditDown>,
    /// Whether an answer is still owed.
    pub(crate) owed: bool,
}

/// What one device took of the request.
pub(crate) struct Recording {
    pub(crate) device: Arc<Enrolled>,
    /// The `auth` and `request` members, hashed for this device; the answer's entry repeats them.
    pub(crate) about: Vec<u8>,
}

impl Receipt {
    /// What each device said if none took the request and it passed all the same (it mends audit itself); for the
    /// server's log.
    pub const fn unrecorded(&self) -> Option<&AuditDown> {
        self.unrecorded.as_ref()
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.owed {
            abandon(self);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({} devices)", self.recordings.len())
    }
}

/// Devices are enabled and none of them took the entry. The request stops here; turn it into a [`crate::Released`].
#[derive(Debug)]
pub struct AuditDown {
    pub(crate) failures: Vec<(String, DeviceError)>,
}

impl AuditDown {
    /// Each device with what it said, for the server's log.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &DeviceError)> {
        self.failures.iter().map(|(name, error)| (name.as_str(), error))
    }
}

impl fmt::Display for AuditDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no audit device could record the request; mend or disable the failing device:")?;
        for (name, error) in &self.failures {
            write!(f, " [{name}: {error}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for AuditDown {}
