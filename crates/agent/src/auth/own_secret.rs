//! The secret_id that an agent issues to itself, so that a restart needs nobody who delivers one.
//!
//! After a login the agent asks its own role for a secret_id with a life of a day, keeps it in a file for itself alone,
//! and replaces it after half of its life, or after each login if it is good for one only. The one before stays in the file until
//! the new one has logged in. The policy of the role must allow `update` on `auth/<mount>/role/<role>/secret-id`, and on
//! `…/secret-id-accessor/destroy` for old ones to be removed early; without the first the agent says so and goes on.
//!
//! Threat model: who reads the file can log in as the agent, from the networks that the role allows, until the secret_id
//! is replaced. Bind it (`secret_id_bound_cidrs`) and keep the folder on an encrypted disk.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, Entropy, Wall};
use coffre_client::{Body, Client, ErrorKind};
use coffre_secret::{SecretText, SecretVec};
use serde::{Deserialize, Serialize};

use crate::config::{AppRole, ConfigError, FilePlace};
use crate::file::{read_text, replace};

/// Longer lives are not asked for.
const LIFE: Duration = Duration::from_secs(86_400);
/// After a failure, not before.
const PAUSE: Duration = Duration::from_secs(300);
const FILE: &str = "secret_id.json";
const LARGEST: u64 = 64 << 10;

/// What is kept between starts.
pub(super) struct OwnSecret {
    role: Option<Role>,
    current: Option<Issued>,
    previous: Option<Issued>,
    used_single: bool,
    not_before: Duration,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

struct Role {
    /// `auth/<mount>/role/<role>`.
    path: String,
    place: FilePlace,
}

struct Issued {
    secret_id: SecretText,
    accessor: String,
    /// Wall time, in seconds.
    issued_at: u64,
    ttl: u64,
    uses: u64,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    format: &'a str,
    #[serde(borrow)]
    secret_ids: Vec<StoredOne<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredOne<'a> {
    secret_id: &'a str,
    accessor: &'a str,
    issued_at: u64,
    ttl: u64,
    uses: u64,
}

const FORMAT: &str = "coffre-agent-secret-id/1";

#[derive(Deserialize)]
struct New {
    #[serde(default)]
    secret_id_accessor: String,
    #[serde(default)]
    secret_id_ttl: u64,
    #[serde(default)]
    secret_id_num_uses: u64,
}

impl OwnSecret {
    /// Nothing is issued.
    pub(super) fn none(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            role: None,
            current: None,
            previous: None,
            used_single: false,
            not_before: Duration::ZERO,
            clock,
            entropy,
        }
    }

    /// Makes the folder if it is not there, refuses one that others may use, and reads what is kept.
    pub(super) fn open(
        role: &AppRole,
        folder: &Path,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ConfigError> {
        let mut own = Self::none(clock, entropy);
        let Some(name) = &role.self_issue else { return Ok(own) };
        let unreadable = |source| ConfigError::Unreadable { path: folder.to_owned(), source };
        private_folder(folder).map_err(unreadable)?;
        let place =
            FilePlace { path: folder.join(FILE), mode: 0o600, user: None, group: None, require_tmpfs: false };
        own.role = Some(Role { path: format!("auth/{}/role/{name}", role.mount), place });
        own.load();
        Ok(own)
    }

    fn load(&mut self) {
        let Some(role) = &self.role else { return };
        let text = match read_text(&role.place.path, LARGEST) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                tracing::warn!(file = %role.place.path.display(), %error, "the agent's own secret_id cannot be read");
                return;
            }
        };
        // EXPOSE: parsed; each value is wrapped again.
        match serde_json::from_str::<Stored<'_>>(text.expose()) {
            Ok(stored) if stored.format == FORMAT => {
                let mut all = stored.secret_ids.into_iter().map(Issued::from_stored);
                (self.current, self.previous) = (all.next(), all.next());
            }
            _ => {
                tracing::warn!(file = %role.place.path.display(), "the agent's own secret_id is not in its format; it is replaced after the next login")
            }
        }
    }

    /// What to log in with, the newest first.
    pub(super) fn secret_ids(&self) -> Vec<SecretText> {
        let now = self.clock.wall();
        let all = [&self.current, &self.previous].into_iter().flatten();
        all.filter(|issued| !issued.is_over(now)).map(|issued| issued.secret_id.duplicate()).collect()
    }

    /// This one logged in.
    pub(super) fn used(&mut self, secret_id: &SecretText) {
        // EXPOSE: compared with our own.
        let one =
            self.current.as_ref().filter(|current| current.secret_id.ct_eq(secret_id.expose().as_bytes()));
        self.used_single = one.is_none_or(|one| one.uses > 0);
    }

    /// None of them logs in any more.
    pub(super) fn forget(&mut self) {
        (self.current, self.previous) = (None, None);
    }

    /// Issues a new one if there is none, if it is used up, or after half of its life.
    pub(super) async fn issue_if_due(&mut self, client: &Client) {
        let Some(role) = &self.role else { return };
        let due =
            self.used_single || self.current.as_ref().is_none_or(|issued| issued.is_due(self.clock.wall()));
        if !due || self.clock.boot() < self.not_before {
            return;
        }
        let (path, life) = (role.path.clone(), LIFE.as_secs());
        self.not_before = self.clock.boot().saturating_add(PAUSE);
        let asked =
            serde_json::json!({ "ttl": format!("{life}s"), "metadata": "{\"issued_by\":\"coffre agent\"}" });
        let Ok(body) = Body::json(&asked) else { return };
        let answer = match client.write(&format!("{path}/secret-id"), body).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(error) if matches!(error.kind(), ErrorKind::Denied) => {
                tracing::error!(
                    path,
                    "the agent may not issue a secret_id to itself, and cannot start again without a new one; its policy must allow update on {path}/secret-id"
                );
                return;
            }
            Err(error) => {
                tracing::warn!(path, %error, "no secret_id was issued; the agent tries again");
                return;
            }
        };
        let (Some(secret_id), Ok(new)) = (answer.field("secret_id"), answer.data::<New>()) else { return };
        let issued = Issued {
            secret_id,
            accessor: new.secret_id_accessor,
            issued_at: self.clock.wall().secs(),
            ttl: new.secret_id_ttl,
            uses: new.secret_id_num_uses,
        };
        self.keep(issued, client, &path).await;
    }

    /// Writes the new one beside the one before; what is older still is destroyed.
    async fn keep(&mut self, issued: Issued, client: &Client, path: &str) {
        let before = self.current.replace(issued);
        let oldest = std::mem::replace(&mut self.previous, before.filter(|_| !self.used_single));
        if let Err(error) = self.store() {
            tracing::error!(%error, "the agent's own secret_id could not be kept; a restart needs a new one");
            return;
        }
        (self.used_single, self.not_before) = (false, Duration::ZERO);
        tracing::info!("issued a secret_id to this agent for its next login");
        if let Some(oldest) = oldest {
            let accessor = SecretText::new(oldest.accessor);
            let body = Body::fields([("secret_id_accessor", &accessor)]);
            // It ends by itself; a policy need not allow this.
            let _ = client.write(&format!("{path}/secret-id-accessor/destroy"), body).await;
        }
    }

    fn store(&self) -> Result<(), crate::file::NotWritten> {
        let Some(role) = &self.role else { return Ok(()) };
        let all = [&self.current, &self.previous].into_iter().flatten();
        let stored = Stored { format: FORMAT, secret_ids: all.map(Issued::stored).collect() };
        let mut bytes = SecretVec::new(Vec::with_capacity(4_096));
        // Texts and numbers always have a JSON form.
        let _ = serde_json::to_writer(bytes.expose_mut(), &stored);
        replace(&role.place, &bytes, self.entropy.as_ref())
    }
}

impl Issued {
    fn from_stored(stored: StoredOne<'_>) -> Self {
        let StoredOne { secret_id, accessor, issued_at, ttl, uses } = stored;
        Self { secret_id: SecretText::from(secret_id), accessor: accessor.to_owned(), issued_at, ttl, uses }
    }

    fn stored(&self) -> StoredOne<'_> {
        StoredOne {
            // EXPOSE: into the agent's own file.
            secret_id: self.secret_id.expose(),
            accessor: &self.accessor,
            issued_at: self.issued_at,
            ttl: self.ttl,
            uses: self.uses,
        }
    }

    fn is_over(&self, now: Wall) -> bool {
        self.ttl > 0 && now.secs() >= self.issued_at.saturating_add(self.ttl)
    }

    fn is_due(&self, now: Wall) -> bool {
        let life = if self.ttl == 0 { LIFE.as_secs() } else { self.ttl };
        now.secs() >= self.issued_at.saturating_add(life / 2)
    }
}

/// A folder that only its owner uses, made if it is not there.
pub(crate) fn private_folder(folder: &Path) -> std::io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let about = std::fs::symlink_metadata(folder)?;
    let own = rustix::process::geteuid().as_raw();
    if !about.is_dir() || about.uid() != own || about.mode() & 0o077 != 0 {
        let what = "it must be a folder of the agent's own user with mode 0700: chown and chmod it";
        return Err(std::io::Error::other(what));
    }
    Ok(())
}
