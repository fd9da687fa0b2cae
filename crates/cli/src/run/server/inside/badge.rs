use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock as _, SystemClock};
use coffre_api::Op;
use coffre_client::Body;
use coffre_http::config::RotationIdentity;
use coffre_rotate::{Failure, FailureKind};
use coffre_secret::{SecretText, ct_eq};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex;

use super::door::{Answer, Ask, Door};
use super::standing::Standing;

/// Files of identities are small.
const LARGEST: u64 = 64 << 10;
/// What was refused is not tried again for so long: it would fill the audit log, and lock the role, whose wrong tries are
/// forgotten after 15 minutes without one.
const REFUSED: Duration = Duration::from_secs(20 * 60);

/// Who the engine is to the kernel: it logs in, stays logged in, and leaves.
pub(super) struct Badge {
    door: Door,
    identity: RotationIdentity,
    standing: Arc<Standing>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// Counts tokens, so that one that was replaced meanwhile is not given up twice.
    serial: u64,
    refused: Option<Refused>,
}

struct Token {
    text: SecretText,
    /// Since boot; `None` for a token that somebody else made and renews.
    renew: Option<Duration>,
}

/// The last no.
struct Refused {
    papers: Papers,
    failure: Failure,
    /// Since boot.
    until: Duration,
}

/// What the files of the identity hold: a token, or role and secret.
struct Papers(Vec<SecretText>);

impl Badge {
    /// Asks nothing yet.
    pub(super) fn new(door: Door, identity: RotationIdentity, standing: Arc<Standing>) -> Self {
        Self { door, identity, standing, held: Mutex::default() }
    }

    /// Asks with our token. One that is not accepted any more is replaced once: a refusal says that nothing was done.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let (token, serial) = self.token(None).await?;
        let answer = match self.door.ask(ask, Some(token)).await {
            Err(no) if no.stale => {
                let (token, _) = self.token(Some(serial)).await?;
                self.door.ask(ask, Some(token)).await
            }
            answer => answer,
        };
        match answer {
            Err(no) if no.stale => {
                let papers = self.papers().await?;
                Err(self.refuse(&mut *self.held.lock().await, papers, self.unknown()))
            }
            answer => {
                self.standing.accepted();
                answer.map_err(|no| no.failure)
            }
        }
    }

    /// Shows the badge once, so that what is wrong with it is said before anything is rotated; warns if it may too much.
    pub(super) async fn show(&self) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Lookup {
            data: Known,
        }
        #[derive(Deserialize)]
        struct Known {
            policies: Vec<String>,
        }
        let answer = match self.ask(&Ask::new(Op::Read, "auth/token/lookup-self")).await {
            // A token may be forbidden to look at itself.
            Err(failure) if failure.kind() == FailureKind::Denied && self.holds_one().await => return Ok(()),
            answer => answer?,
        };
        let Answer::Body(body) = answer else { return Ok(()) };
        // EXPOSE: only the names of policies are taken.
        let known: Option<Lookup> = serde_json::from_slice(body.expose()).ok();
        if known.is_some_and(|known| known.data.policies.iter().any(|policy| policy == "root")) {
            tracing::warn!(
                "the rotation engine has a root token: give it one whose policy is the manifest's rotate policy"
            );
        }
        Ok(())
    }

    /// Revokes the token that was got by logging in; whoever else made one looks after it.
    pub(super) async fn leave(&self) {
        let held = self.held.lock().await.token.take();
        if let Some(token) = held.filter(|token| token.renew.is_some()) {
            self.revoke(token.text).await;
        }
    }

    /// The token; another one than that of the serial number `spent`.
    async fn token(&self, spent: Option<u64>) -> Result<(SecretText, u64), Failure> {
        let mut held = self.held.lock().await;
        let now = SystemClock.boot();
        let dead = if spent == Some(held.serial) { held.token.take() } else { None };
        let grown_old = |token: &Token| token.renew.is_some_and(|at| now >= at);
        if let Some(token) = held.token.as_ref().filter(|token| !grown_old(token)) {
            return Ok((token.text.duplicate(), held.serial));
        }
        match self.fetch(&mut held, dead.as_ref(), now).await {
            Ok(token) => {
                let text = token.text.duplicate();
                let old = held.token.replace(token);
                held.refused = None;
                held.serial += 1;
                let serial = held.serial;
                drop(held);
                if let Some(old) = old {
                    self.revoke(old.text).await;
                }
                Ok((text, serial))
            }
            // What has grown old is good until somebody says that it is not.
            Err(failure) => match &held.token {
                Some(old) => Ok((old.text.duplicate(), held.serial)),
                None => Err(failure),
            },
        }
    }

    /// A token by what the files hold now. What was refused is not tried again soon, unless they changed.
    async fn fetch(&self, held: &mut Held, dead: Option<&Token>, now: Duration) -> Result<Token, Failure> {
        let papers = self.papers().await.inspect_err(|failure| self.standing.refused(failure))?;
        if let Some(refused) = held.refused.as_ref().filter(|no| now < no.until && no.papers.are(&papers)) {
            return Err(again(&refused.failure));
        }
        let got = match (&self.identity, papers.0.as_slice()) {
            (RotationIdentity::AppRole { mount, .. }, [role, secret]) => {
                self.log_in(mount, role, secret).await
            }
            (_, [token, ..]) if dead.is_none_or(|dead| !same(&dead.text, token)) => {
                Ok(Token { text: token.duplicate(), renew: None })
            }
            _ => Err(self.unknown()),
        };
        got.map_err(|failure| match failure.kind() {
            FailureKind::Transient => failure,
            _ => self.refuse(held, papers, failure),
        })
    }

    /// Notes a no, so that it is neither asked for again at once nor overlooked.
    fn refuse(&self, held: &mut Held, papers: Papers, failure: Failure) -> Failure {
        let until = SystemClock.boot() + REFUSED;
        held.refused = Some(Refused { papers, failure: again(&failure), until });
        self.standing.refused(&failure);
        failure
    }

    /// Whether it was refused, and nothing is asked until the files change.
    pub(super) async fn is_refused(&self) -> bool {
        self.held.lock().await.refused.is_some()
    }

    async fn holds_one(&self) -> bool {
        self.held.lock().await.token.is_some()
    }

    async fn papers(&self) -> Result<Papers, Failure> {
        Ok(Papers(match &self.identity {
            RotationIdentity::TokenFile(path) => vec![read(path).await?],
            RotationIdentity::AppRole { role_id, secret_id, .. } => {
                vec![read(role_id).await?, read(secret_id).await?]
            }
        }))
    }

    async fn log_in(&self, mount: &str, role: &SecretText, secret: &SecretText) -> Result<Token, Failure> {
        #[derive(Deserialize)]
        struct Login {
            auth: Auth,
        }
        #[derive(Deserialize)]
        struct Auth {
            client_token: String,
            lease_duration: u64,
        }
        let path = format!("auth/{mount}/login");
        let fields = Body::fields([("role_id", role), ("secret_id", secret)]);
        // EXPOSE: on its way to the login, in a buffer that is wiped.
        let ask = Ask::new(Op::Write, &path).with(SecretText::from(fields.expose()));
        let answer = self.door.ask(&ask, None).await.map_err(|no| match no.failure.kind() {
            FailureKind::Transient => no.failure,
            _ => Failure::denied(format!("the rotation engine cannot log in: {}", no.failure.message()))
                .advise("Correct role_id_file, secret_id_file or approle_mount of the stanza `rotation`, or what they hold."),
        })?;
        let none = || Failure::config(format!("{path} gave no token"));
        let Answer::Body(body) = answer else { return Err(none()) };
        // EXPOSE: decoded; the token is wrapped at once.
        let login: Login = serde_json::from_slice(body.expose()).map_err(|_| none())?;
        let lasts = Duration::from_secs(login.auth.lease_duration);
        // A token without an end is not replaced, and revoked all the same.
        let renew = if lasts.is_zero() { Duration::MAX } else { SystemClock.boot() + lasts / 2 };
        Ok(Token { text: SecretText::new(login.auth.client_token), renew: Some(renew) })
    }

    /// As far as that goes: batch tokens end by themselves, and so does what is forgotten here.
    async fn revoke(&self, token: SecretText) {
        if let Err(no) = self.door.ask(&Ask::new(Op::Write, "auth/token/revoke-self"), Some(token)).await {
            tracing::debug!(failure = %no.failure, "a token of the rotation engine ends by itself");
        }
    }

    fn unknown(&self) -> Failure {
        match &self.identity {
            RotationIdentity::TokenFile(path) => {
                Failure::denied(format!("the token of the rotation engine in {} is not accepted", path.display()))
                    .advise("Write a living token with the manifest's rotate policy into the file; it is read again.")
            }
            RotationIdentity::AppRole { mount, .. } => {
                Failure::denied(format!("a new token of auth/{mount} for the rotation engine is not accepted"))
                    .advise("Tokens that are bound to networks or to one use cannot be used by the engine inside of the server.")
            }
        }
    }
}

impl Papers {
    fn are(&self, others: &Self) -> bool {
        self.0.len() == others.0.len() && self.0.iter().zip(&others.0).all(|(a, b)| same(a, b))
    }
}

fn same(a: &SecretText, b: &SecretText) -> bool {
    // EXPOSE: compared.
    ct_eq(a.expose().as_bytes(), b.expose().as_bytes())
}

fn again(failure: &Failure) -> Failure {
    Failure::new(failure.kind(), failure.message()).advise(failure.advice())
}

/// A small file's text, without white space around it.
async fn read(path: &Path) -> Result<SecretText, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::denied(format!("cannot read {}: {why}", path.display())).advise(
            "Correct the path in the stanza `rotation`, or make the file readable for the server alone.",
        )
    };
    let file = tokio::fs::File::open(path).await.map_err(|error| wrong(&error.kind()))?;
    let mut text = SecretText::default();
    file.take(LARGEST + 1).read_to_string(text.expose_mut()).await.map_err(|error| wrong(&error.kind()))?;
    // EXPOSE: the line's end is taken off; wrapped again.
    let bare = SecretText::from(text.expose().trim());
    match text.len() as u64 {
        0..=LARGEST if !bare.is_empty() => Ok(bare),
        0..=LARGEST => Err(wrong(&"it is empty")),
        _ => Err(wrong(&"it is larger than 64 KiB")),
    }
}
