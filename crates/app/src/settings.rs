use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, Entropy, SystemClock, SystemEntropy};
use coffre_cache::Local;
use coffre_client::Client;
use coffre_source::connect;

use crate::error::{Error, ErrorKind};

/// Gives the value of an environment variable, if it is set.
pub(crate) type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// One attempt at the server, unless `VAULT_CLIENT_TIMEOUT` says otherwise.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Everything that [`Secrets::open`](crate::Secrets::open) depends on.
///
/// Variables named here without a prefix are read as `COFFRE_…`, `BAO_…` or `VAULT_…`, in this order: `ADDR` (also
/// `unix:///…`, the agent of this host), `NAMESPACE`, `CACERT` and the other settings of TLS, the identity (`ROLE_ID` and
/// `SECRET_ID` or `WRAPPED_SECRET_ID`, each also as `…_FILE`; `KUBERNETES_ROLE`; `TOKEN`), `MANIFEST`, `WAIT`,
/// `MAX_STALE`, `SOFT_TTL`, `PRODUCTION_HOSTS`. With their whole names: `COFFRE_ENV`, `FLASK_ENV`, `APP_ENV`,
/// `USE_VAULT`, `COFFRE_SOURCE`.
#[derive(Clone)]
pub struct Settings {
    pub(crate) lookup: Lookup,
    pub(crate) directory: PathBuf,
    pub(crate) manifest: Option<PathBuf>,
    pub(crate) env_file: Option<PathBuf>,
    pub(crate) wait: Duration,
    pub(crate) bounds: Local,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether that is the system's own.
    pub(crate) system_clock: bool,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Settings {
    /// Settings from variables. `lookup` gives the value of a variable; it is asked again later (after a fork, for
    /// instance), so it owns what it needs. The manifest is looked for in `directory` and above.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if a variable holds what it cannot.
    pub fn from_lookup(
        lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        directory: impl Into<PathBuf>,
    ) -> Result<Self, Error> {
        let lookup: Lookup = Arc::new(lookup);
        let stated = |name: &str| connect::prefixed(&*lookup, name);
        let duration = |name: &str| {
            let Some(text) = stated(name) else { return Ok(None) };
            connect::duration(&text).map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Invalid, format!("COFFRE_{name}: {text:?} is no duration such as 30s"))
            })
        };
        let wait = duration("WAIT")?.unwrap_or(Duration::from_secs(60));
        let bounds = Local { soft: duration("SOFT_TTL")?, hard: duration("MAX_STALE")?, wait: None };
        let manifest = stated("MANIFEST").map(PathBuf::from);
        Ok(Self {
            directory: directory.into(),
            manifest,
            env_file: None,
            wait,
            bounds,
            clock: Arc::new(SystemClock),
            system_clock: true,
            entropy: Arc::new(SystemEntropy),
            lookup,
        })
    }

    /// The manifest, instead of `COFFRE_MANIFEST` or the nearest `coffre.toml`.
    #[must_use]
    pub fn manifest(mut self, path: impl Into<PathBuf>) -> Self {
        self.manifest = Some(path.into());
        self
    }

    /// The `.env` file, instead of the one beside the manifest. It is opened only where the rule allows.
    #[must_use]
    pub fn env_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.env_file = Some(path.into());
        self
    }

    /// How long to wait at start for a server that does not answer; 60 s by default.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Age from which a value is asked for again; 300 s, or what the server's policy says.
    #[must_use]
    pub fn soft_ttl(mut self, soft: Duration) -> Self {
        self.bounds.soft = Some(soft);
        self
    }

    /// Age from which a value is never used; 3600 s, or what the server's policy says, which cannot be exceeded.
    #[must_use]
    pub fn max_stale(mut self, hard: Duration) -> Self {
        self.bounds.hard = Some(hard);
        self
    }

    /// How long a call waits for a value that is not cached; 2 s by default, 600 s at most.
    #[must_use]
    pub fn budget(mut self, budget: Duration) -> Self {
        self.bounds.wait = Some(budget);
        self
    }

    /// Another clock. One that moves in leaps needs [`Secrets::wake`](crate::Secrets::wake) after each.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self.system_clock = false;
        self
    }

    /// Another source of randomness for jitter.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// The value of a variable of ours, whatever its prefix.
    pub(crate) fn stated(&self, name: &str) -> Option<String> {
        connect::prefixed(&*self.lookup, name)
    }

    /// The client, if there is an address. It has no token yet and repeats nothing by itself.
    pub(crate) fn client(&self) -> Result<Option<Client>, Error> {
        let stated = |name: &str| self.stated(name);
        if connect::address(&stated).is_none() {
            return Ok(None);
        }
        let builder = connect::builder(&stated).map_err(|text| Error::new(ErrorKind::Invalid, text))?;
        let client = builder.retries(0).entropy(Arc::clone(&self.entropy)).build().map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("the connection's settings: {error}")).caused_by(error)
        })?;
        let client = if stated("CLIENT_TIMEOUT").is_some() { client } else { client.with_timeout(ATTEMPT) };
        if !client.verifies_tls() && client.address().starts_with("https:") {
            tracing::warn!(
                "the server's certificate is not verified (VAULT_SKIP_VERIFY): whoever is in between can read everything"
            );
        }
        Ok(Some(client))
    }

    /// A number that differs in each instance and process.
    pub(crate) fn seed(&self) -> u64 {
        let mut seed = [0_u8; 8];
        // Without randomness the spread is the same everywhere, which is the only harm.
        let _ = self.entropy.fill(&mut seed);
        u64::from_le_bytes(seed)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("directory", &self.directory)
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}
