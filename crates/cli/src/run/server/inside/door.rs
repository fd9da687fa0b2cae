use std::sync::Arc;
use std::time::Duration;

use coffre_api::{Kind, Op, OpenCeremonies, RawInput, VaultPath};
use coffre_audit::{Outgoing, Released, Wire};
use coffre_core::{Incoming, Kernel};
use coffre_rotate::{Failure, FailureKind};
use coffre_secret::{SecretText, SecretVec};

/// The longest that one request may take. A change goes on behind it, as it does when a client over HTTP goes away.
const LONGEST: Duration = Duration::from_secs(20);

/// The kernel's door for the engine: what comes in here is authorised, recorded and counted as what comes over HTTP is.
/// It has no address, so tokens that are bound to networks are refused.
#[derive(Clone)]
pub(super) struct Door(pub(super) Arc<Kernel>);

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) op: Op,
    /// Below `/v1/`.
    pub(super) path: &'a str,
    pub(super) query: Vec<(String, String)>,
    /// JSON text.
    pub(super) body: Option<SecretText>,
}

/// An answer that is none of a refusal.
pub(super) enum Answer {
    /// Also what comes with a 404: a version that was deleted.
    Body(SecretVec),
    /// Nothing is there, or there is nothing to say.
    Nothing,
}

/// A no.
pub(super) struct No {
    /// The token is not known (any more).
    pub(super) stale: bool,
    pub(super) failure: Failure,
}

impl<'a> Ask<'a> {
    /// Without arguments.
    pub(super) const fn new(op: Op, path: &'a str) -> Self {
        Self { op, path, query: Vec::new(), body: None }
    }

    /// With a body of JSON text.
    pub(super) fn with(self, body: SecretText) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(super) const fn word(&self) -> &'static str {
        match self.op {
            Op::Read => "read",
            Op::List => "list",
            Op::Delete => "delete",
            _ => "write",
        }
    }
}

impl Door {
    /// One request, with a token or, for logins, without.
    pub(super) async fn ask(&self, ask: &Ask<'_>, token: Option<SecretText>) -> Result<Answer, No> {
        let held = token.as_ref().map(SecretText::duplicate);
        let incoming = incoming(ask, token)?;
        let kernel = Arc::clone(&self.0);
        // A task of its own: a change that is dropped half-way would leave work that nobody finishes, and a panic ends
        // the request alone.
        let handled = tokio::spawn(async move { kernel.handle(incoming).await });
        let open = |why: &str| transient(format!("cannot {} {}: {why}", ask.word(), ask.path));
        let answer = match tokio::time::timeout(LONGEST, handled).await {
            Ok(Ok(released)) => read(ask, released),
            Ok(Err(_)) => Err(open("the request ended with a panic")),
            Err(_) => Err(open("the server took too long")),
        };
        match (answer, held) {
            (Err(no), Some(token)) if no.failure.kind() == FailureKind::Denied => {
                // A server that is sealed meanwhile knows nobody, which says nothing of the token.
                let stale = !self.0.knows_token(&token).await && !self.0.barrier().is_sealed();
                Err(No { stale, ..no })
            }
            (answer, _) => answer,
        }
    }
}

fn incoming(ask: &Ask<'_>, token: Option<SecretText>) -> Result<Incoming, No> {
    let wrong = |what: &str| No::of(Failure::config(format!("{}: {what}", ask.path)));
    let raw = match &ask.body {
        Some(body) => RawInput::from_json(body.duplicate())
            .map_err(|_| wrong("the document is larger or deeper than this server takes"))?,
        None => RawInput::empty(),
    };
    Ok(Incoming {
        op: ask.op,
        path: VaultPath::parse(ask.path).map_err(|_| wrong("this is not a path of a server"))?,
        trailing_slash: ask.op == Op::List,
        token,
        wrap_ttl: None,
        raw: raw.with_query(ask.query.clone()),
        headers: Vec::new(),
        open: OpenCeremonies::default(),
        peer: None,
    })
}

fn read(ask: &Ask<'_>, released: Released) -> Result<Answer, No> {
    match released.into_outgoing() {
        Outgoing::Reply(reply) => Ok(match reply.wire() {
            Wire::Json(bytes) => Answer::Body(SecretVec::new(bytes.to_vec())),
            Wire::Empty | Wire::Other(..) => Answer::Nothing,
        }),
        Outgoing::Refused(refusal) if refusal.kind() == Kind::Missing => Ok(Answer::Nothing),
        Outgoing::Refused(refusal) => {
            let said = format!("cannot {} {}: {}", ask.word(), ask.path, refusal.message());
            Err(No::of(failure(refusal.kind(), said)))
        }
        // The change may have been made before its entry could not be written.
        Outgoing::AuditDown => Err(transient("the audit log cannot be written".to_owned())),
    }
}

/// As a client over HTTP would class it.
fn failure(kind: Kind, said: String) -> Failure {
    match kind {
        Kind::Invalid if said.contains("check-and-set parameter did not match") => Failure::conflict(said),
        Kind::Unauthenticated | Kind::Denied => Failure::denied(said),
        Kind::Busy | Kind::Upstream | Kind::Sealed | Kind::Unavailable | Kind::Bug => {
            Failure::transient(said)
        }
        _ => Failure::config(said),
    }
}

fn transient(said: String) -> No {
    No::of(Failure::transient(said))
}

impl No {
    fn of(failure: Failure) -> Self {
        Self { stale: false, failure }
    }
}
