//! How the agent gets its token.
//!
//! AppRole's secret_id comes from a file, plain or behind a wrapping token that opens once. A wrapping token that does
//! not open, or that was made somewhere else, is a security event: it is reported and never tried again. After its first
//! login the agent may give itself secret_ids (see `own_secret.rs`), so that it can be started again without anybody.

mod own_secret;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, Entropy};
use coffre_client::{Auth, Client, Error, ErrorKind, Refusals, login, token, wrapping};
use coffre_secret::SecretText;

use crate::config::{AppRole, Config, ConfigError, Kubernetes, Method, SecretIdFile, Server};
use crate::file::read_text;
use own_secret::OwnSecret;

/// Identity files are small.
const LARGEST: u64 = 64 << 10;

/// A token, and what the server says of it.
pub struct LoggedIn {
    /// The token.
    pub token: SecretText,
    /// Remaining life; `None` for one that does not end.
    pub ttl: Option<Duration>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Time until the end that no renewal passes, if known.
    pub hard: Option<Duration>,
}

/// Why there is no token.
#[derive(Debug)]
pub enum NoLogin {
    /// The server could not be asked.
    Unavailable {
        /// What happened.
        what: String,
        /// What the server wants.
        retry_after: Option<Duration>,
    },
    /// The server said no, or a file is missing.
    Refused(String),
    /// A wrapping token was opened by somebody else, or is not the one that was to be delivered.
    Stolen(String),
}

/// Logs in, as often as it is asked to.
pub struct Authenticator {
    method: Method,
    client: Client,
    own: OwnSecret,
    /// Opened from a wrapping token, or read from a file that was removed.
    kept: Option<SecretText>,
    refusals: Refusals,
    clock: Arc<dyn Clock>,
}

/// The client of a configuration, without a token. Calls are not repeated by it: whoever asks does that.
pub fn client(server: &Server) -> Result<Client, Error> {
    let mut builder = Client::builder().address(&server.address).timeout(server.timeout).retries(0);
    builder = builder.danger_skip_verify(server.tls_skip_verify);
    if let Some(namespace) = &server.namespace {
        builder = builder.namespace(namespace);
    }
    if let Some(file) = &server.ca_file {
        builder = builder.ca_file(file);
    } else if let Some(folder) = &server.ca_path {
        builder = builder.ca_dir(folder);
    }
    if let (Some(cert), Some(key)) = (&server.client_cert, &server.client_key) {
        builder = builder.client_cert(cert).client_key(key);
    }
    if let Some(name) = &server.tls_server_name {
        builder = builder.tls_server_name(name);
    }
    builder.build()
}

impl Authenticator {
    /// For a configuration; reads what was kept from before.
    pub fn open(
        config: &Config,
        client: Client,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ConfigError> {
        let own = match (&config.auth, &config.state) {
            (Method::AppRole(role), Some(folder)) => {
                OwnSecret::open(role, folder, Arc::clone(&clock), entropy)?
            }
            _ => OwnSecret::none(Arc::clone(&clock), entropy),
        };
        Ok(Self {
            method: config.auth.clone(),
            client,
            own,
            kept: None,
            refusals: Refusals::default(),
            clock,
        })
    }

    /// Whether the token was made for this agent, so that the agent renews and ends it.
    #[must_use]
    pub fn owns_tokens(&self) -> bool {
        !matches!(self.method, Method::TokenFile(_))
    }

    /// One attempt.
    pub async fn log_in(&mut self) -> Result<LoggedIn, NoLogin> {
        match self.method.clone() {
            Method::AppRole(role) => {
                let auth = self.approle(&role).await?;
                self.complete(auth).await
            }
            Method::Kubernetes(Kubernetes { mount, role, token_file }) => {
                let jwt = trimmed(&token_file)?;
                let auth = login::kubernetes(&self.client, &mount, &role, &jwt).await.map_err(no_login)?;
                self.complete(auth).await
            }
            Method::TokenFile(file) => {
                let token = trimmed(&file)?;
                let found =
                    token::lookup(&self.client.with_token(token.duplicate())).await.map_err(no_login)?;
                let ttl = (found.ttl > 0).then(|| Duration::from_secs(found.ttl));
                // Its owner keeps it alive and puts the next one there.
                Ok(LoggedIn { token, ttl, renewable: false, hard: ttl })
            }
        }
    }

    /// Adds what only a look-up tells: the end that no renewal passes.
    async fn complete(&self, auth: Auth) -> Result<LoggedIn, NoLogin> {
        let client = self.client.with_token(auth.client_token.duplicate());
        let ttl = (auth.lease_duration > 0).then(|| Duration::from_secs(auth.lease_duration));
        // Without an answer the token is as good as the login said.
        let hard =
            token::lookup(&client).await.ok().filter(|found| found.explicit_max_ttl > 0).map(|found| {
                let end = found.creation_time.saturating_add(found.explicit_max_ttl);
                Duration::from_secs(end.saturating_sub(self.clock.wall().secs()))
            });
        Ok(LoggedIn { token: auth.client_token, ttl, renewable: auth.renewable, hard })
    }

    /// What was issued to this agent first, then what is in memory, then what lies in the configured file.
    async fn approle(&mut self, role: &AppRole) -> Result<Auth, NoLogin> {
        let role_id = trimmed(&role.role_id)?;
        let mut refused = None;
        for own in self.own.secret_ids() {
            match login::approle(&self.client, &role.mount, &role_id, Some(&own)).await.map_err(no_login) {
                Ok(auth) => {
                    self.own.used(&own);
                    return Ok(auth);
                }
                Err(NoLogin::Refused(what)) => refused = Some(what),
                Err(other) => return Err(other),
            }
        }
        if let Some(what) = &refused {
            tracing::warn!(what, "the secret_id that the agent issued to itself is not taken any more");
            self.own.forget();
        }
        let secret_id = match (self.kept.take(), &role.secret_id) {
            (Some(kept), _) => Some(kept),
            (None, Some(file)) if refused.is_none() || file.file.exists() => {
                Some(self.delivered(role, file).await?)
            }
            (None, Some(_)) => return Err(NoLogin::Refused(refused.unwrap_or_default())),
            (None, None) => None,
        };
        let result = match self.waits(role, secret_id.as_ref()) {
            Some(wait) => Err(wait),
            None => self.approle_with(&role.mount, &role_id, secret_id.as_ref()).await,
        };
        if result.is_ok()
            && let Some(file) =
                role.secret_id.as_ref().filter(|file| file.remove && file.wrapped_at.is_none())
        {
            remove(&file.file);
        }
        // What was opened once is kept in memory: it may be good for more than one login.
        let removed = role.secret_id.as_ref().is_some_and(|file| file.remove || file.wrapped_at.is_some());
        self.kept = secret_id.filter(|_| removed);
        result
    }

    async fn approle_with(
        &mut self,
        mount: &str,
        role_id: &SecretText,
        secret_id: Option<&SecretText>,
    ) -> Result<Auth, NoLogin> {
        let result = login::approle(&self.client, mount, role_id, secret_id).await;
        match &result {
            Ok(_) => self.refusals.accepted(),
            Err(error) if error.status() == Some(400) => {
                self.refusals.refused(secret_id.unwrap_or(role_id), self.clock.boot());
            }
            Err(_) => {}
        }
        result.map_err(no_login)
    }

    /// Why this secret_id is not sent now.
    fn waits(&self, role: &AppRole, secret_id: Option<&SecretText>) -> Option<NoLogin> {
        let wait = self.refusals.wait(secret_id?, self.clock.boot())?;
        let place = role.secret_id.as_ref().map_or_else(String::new, |file| file.file.display().to_string());
        Some(NoLogin::Refused(format!(
            "the server has refused this secret_id; it is tried again in {} minutes, since more tries would lock the role \
             for everybody. Another one in {place} is tried at once",
            wait.as_secs().div_ceil(60)
        )))
    }

    /// The secret_id of the configured file.
    async fn delivered(&self, role: &AppRole, file: &SecretIdFile) -> Result<SecretText, NoLogin> {
        let content = trimmed(&file.file)?;
        let Some(expected) = &file.wrapped_at else { return Ok(content) };
        let opened =
            wrapping::unwrap(&self.client, &content, |path| path.trim_matches('/') == expected).await;
        let opened = opened.map_err(|error| match error.kind() {
            ErrorKind::Denied => NoLogin::Stolen(format!(
                "the wrapping token in {} does not give the secret_id of {}: {error}. {}",
                file.file.display(),
                role.mount,
                error.advice()
            )),
            _ => no_login(error),
        })?;
        if file.remove {
            remove(&file.file);
        }
        let secret_id = opened.and_then(|answer| answer.field("secret_id"));
        secret_id.ok_or_else(|| {
            NoLogin::Refused(
                "what was wrapped holds no secret_id; wrap the answer of the role's secret-id endpoint"
                    .to_owned(),
            )
        })
    }

    /// Gives the agent a secret_id of its own where that is configured and due.
    pub async fn issue_own(&mut self, token: &SecretText) {
        let client = self.client.with_token(token.duplicate());
        self.own.issue_if_due(&client).await;
    }
}

/// A small file with one word. Where it is missing, somebody has to put it there: asking again at once is of no use.
fn trimmed(path: &Path) -> Result<SecretText, NoLogin> {
    let text = read_text(path, LARGEST);
    let text = text.map_err(|error| NoLogin::Refused(format!("cannot read {}: {error}", path.display())))?;
    // EXPOSE: trimmed; wrapped again.
    let word = SecretText::from(text.expose().trim());
    if word.is_empty() {
        return Err(NoLogin::Refused(format!("{} is empty", path.display())));
    }
    Ok(word)
}

fn remove(file: &Path) {
    match std::fs::remove_file(file) {
        Ok(()) => tracing::info!(file = %file.display(), "removed the file after reading it"),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the file could not be removed after reading it")
        }
    }
}

fn no_login(error: Error) -> NoLogin {
    let what = format!("{error}. {}", error.advice());
    let transient = error.retryable()
        || matches!(error.kind(), ErrorKind::Tls | ErrorKind::Decode | ErrorKind::Redirected);
    if transient {
        NoLogin::Unavailable { what, retry_after: error.retry_after() }
    } else {
        NoLogin::Refused(what)
    }
}
