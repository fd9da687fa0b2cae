use std::time::Duration;

use coffre_api::{Access, Op, RawInput, Refusal, VaultPath};

use crate::{Caller, Decision, Existence, Question};

/// What a caller wants to do: the router's result, as far as policy and audit look at it.
pub trait Subject {
    /// The operation.
    fn op(&self) -> Op;
    /// The whole path, mount included.
    fn path(&self) -> &VaultPath;
    /// Who may call the endpoint at all.
    fn access(&self) -> Access;
    /// How long the answer is to stay wrapped, if the caller asked for that.
    fn wrap_ttl(&self) -> Option<Duration>;
    /// The mount that will answer, for the audit log; policy does not look at it.
    fn mount(&self) -> Option<MountLabel<'_>> {
        None
    }
}

/// What the audit log tells about a mount.
#[derive(Clone, Copy, Debug)]
pub struct MountLabel<'m> {
    /// With a slash at its end: `secret/`, `auth/approle/`.
    pub path: &'m str,
    /// `kv`, `approle`.
    pub kind: &'m str,
    /// Names the mount for ever.
    pub accessor: &'m str,
    /// Top-level request keys whose values stay readable (`audit_non_hmac_request_keys`).
    pub readable_request_keys: &'m [String],
    /// Top-level response keys whose values stay readable (`audit_non_hmac_response_keys`).
    pub readable_response_keys: &'m [String],
}

/// Proof that policy allows `T` to its caller. It owns both; only [`authorize`] makes one.
pub struct Permit<T> {
    subject: T,
    caller: Caller,
    existence: Existence,
}

/// A refused subject, handed back with its caller and the refusal so that it can be audited.
pub type Refused<T> = Box<(T, Caller, Refusal)>;

/// Why policy said no. It is the refusal's cause: for the log, never for the caller.
#[derive(Debug, thiserror::Error)]
#[error("refused by policy: {0}")]
pub struct NotPermitted(String);

/// Asks the caller's policies about the subject.
///
/// Public endpoints are open to everybody. All others need a token whose policies grant the operation's capability,
/// and `sudo` besides for [`Access::Sudo`] and [`Access::Ceremony`]. The refusal says `permission denied` and no more.
pub fn authorize<T: Subject>(
    caller: Caller,
    existence: Existence,
    raw: &RawInput,
    subject: T,
) -> Result<Permit<T>, Refused<T>> {
    let access = subject.access();
    let refused = if access.is_public() {
        None
    } else if let Some(token) = caller.as_token() {
        let question = Question {
            path: subject.path(),
            op: subject.op(),
            existence,
            needs_sudo: access.needs_sudo(),
            raw,
            wrap_ttl: subject.wrap_ttl(),
        };
        match token.acl.decide(&question) {
            Decision::Allowed(_) => None,
            Decision::Refused(why) => Some(why.to_string()),
        }
    } else {
        Some("no token was presented".to_owned())
    };
    match refused {
        None => Ok(Permit { subject, caller, existence }),
        Some(why) => Err(Box::new((subject, caller, Refusal::denied().because(NotPermitted(why))))),
    }
}

impl<T> Permit<T> {
    /// What is permitted.
    pub const fn subject(&self) -> &T {
        &self.subject
    }

    /// To whom.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What the existence check said, which told create from update.
    pub const fn existence(&self) -> Existence {
        self.existence
    }

    /// Ends the proof and gives its parts back.
    pub fn into_parts(self) -> (T, Caller, Existence) {
        (self.subject, self.caller, self.existence)
    }
}
