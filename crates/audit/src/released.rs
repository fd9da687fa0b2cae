use std::fmt;

use coffre_api::{Access, AuthBlock, Kind, RawJson, Refusal, WrapInfo};

use crate::receipt::AuditDown;

/// A finished answer: what goes to the client, and how audit sees it. The engine's reply implements it.
pub trait Releasable: Send + Sync {
    /// The body, as it will leave.
    fn wire(&self) -> Wire<'_>;
    /// The HTTP status, where the answer itself decides it (`sys/health`, 404 with a body); `None` is 200, or 204
    /// without a body.
    fn status(&self) -> Option<u16> {
        None
    }
    /// The parts that the audit log tells about.
    fn audit(&self) -> AuditView<'_>;
}

/// A body.
#[derive(Clone, Copy)]
pub enum Wire<'r> {
    /// None.
    Empty,
    /// JSON text.
    Json(&'r [u8]),
    /// Anything else, with its media type.
    Other(&'r str, &'r [u8]),
}

/// An answer's parts, for the log.
#[derive(Clone, Copy, Default)]
pub struct AuditView<'r> {
    /// The engine's data.
    pub data: Option<&'r RawJson>,
    /// The token that was made or renewed.
    pub auth: Option<&'r AuthBlock>,
    /// The receipt of a wrapped answer.
    pub wrap_info: Option<&'r WrapInfo>,
    /// A body that is not JSON, hashed as a whole.
    pub other: Option<&'r [u8]>,
}

/// An answer that may leave: it was recorded, or it is one of the fixed exceptions. It cannot be made outside this
/// crate, and the HTTP layer accepts nothing else.
#[must_use = "a client waits for it"]
pub struct Released(Outgoing);

/// What is in a [`Released`].
pub enum Outgoing {
    /// The answer.
    Reply(Box<dyn Releasable>),
    /// A no.
    Refused(Refusal),
    /// No audit device took an entry: 500, one fixed text, no data.
    AuditDown,
}

impl Released {
    pub(crate) fn new(answer: Result<Box<dyn Releasable>, Refusal>) -> Self {
        Self(match answer {
            Ok(reply) => Outgoing::Reply(reply),
            Err(refusal) => Outgoing::Refused(refusal),
        })
    }

    /// What is inside, to look at.
    pub const fn as_outgoing(&self) -> &Outgoing {
        &self.0
    }

    /// What is inside, to send.
    pub fn into_outgoing(self) -> Outgoing {
        self.0
    }
}

impl From<AuditDown> for Released {
    fn from(_: AuditDown) -> Self {
        Self(Outgoing::AuditDown)
    }
}

impl fmt::Debug for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Outgoing::Reply(_) => "Released(a reply)",
            Outgoing::Refused(_) => "Released(a refusal)",
            Outgoing::AuditDown => "Released(audit is down)",
        })
    }
}

/// Releases the answer of a row that anybody may call, sealed or not; such rows are answered before any device exists.
///
/// For all other rows only the refusal "sealed" passes: while sealed there is nothing to record to. Anything else
/// becomes an internal error, for it would have left unrecorded.
pub fn release_sealed(row: Access, answer: Result<Box<dyn Releasable>, Refusal>) -> Released {
    let is_sealed_row = matches!(row, Access::Sealed(_));
    let says_sealed =
        matches!(&answer, Err(refusal) if matches!(refusal.kind(), Kind::Sealed | Kind::Unavailable));
    if is_sealed_row || says_sealed {
        Released::new(answer)
    } else {
        Released(Outgoing::Refused(Refusal::bug(
            "an answer that must be recorded was sent past the audit log",
        )))
    }
}
