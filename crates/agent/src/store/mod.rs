//! The one cache of an agent: the machine of `coffre-cache`, driven by one task.
//!
//! Readers take a value that is within its bounds from a shared table and never come to the task; others ask it and wait.
//! The task tells the machine what happened and does what it answers: one request at a time for each path, one lease for
//! each role, tokens renewed and replaced before they end.

mod driver;
mod flight;
mod table;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::{Clock, Entropy};
use coffre_cache::{BreakerState, Counters, EntryView, Outcome, Refusal};
use coffre_client::{Body, Client, ErrorKind};
use coffre_secret::SecretText;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::auth::Authenticator;
use crate::config::Cache;
use crate::document::Document;
use table::Table;

/// Questions that may wait for the task.
const QUEUE: usize = 1_024;
/// Acknowledgements on their way at a time; who is refused says it again.
const ACKNOWLEDGING: usize = 32;

/// What everybody who wants secrets holds. Cloning is cheap.
#[derive(Clone)]
pub struct Store {
    table: Arc<Table>,
    clock: Arc<dyn Clock>,
    asks: mpsc::Sender<Ask>,
    changes: watch::Receiver<u64>,
    tokens: watch::Receiver<TokenNews>,
    client: Client,
    acknowledging: Arc<Semaphore>,
    ahead: Arc<AtomicI64>,
    follows: Arc<Mutex<BTreeMap<Reader, Vec<String>>>>,
}

/// Who wants paths to be kept fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// Files from templates.
    Templates,
    /// Programs that the agent looks after.
    Processes,
}

/// What is known of the token.
#[derive(Clone, Debug, Default)]
pub struct TokenNews {
    /// The newest token, if there is one.
    pub token: Option<Arc<SecretText>>,
    /// Counts logins.
    pub generation: u32,
    /// Why the last login failed, if it did.
    pub trouble: Option<String>,
    /// A wrapping token was used by somebody else: nothing can go on.
    pub stolen: Option<String>,
}

/// A value with what is left of it.
#[derive(Clone, Debug)]
pub struct Got {
    /// The whole document.
    pub document: Arc<Document>,
    /// How long it may still be used.
    pub left: Duration,
    /// Whether it could not be confirmed when that was due.
    pub degraded: bool,
}

/// What the store says about itself. No values.
#[derive(Clone, Debug)]
pub struct Report {
    /// Each path.
    pub entries: Vec<(String, EntryView)>,
    /// Whether the server is given a rest.
    pub breaker: BreakerState,
    /// What is left of the token; `None` if there is none or it does not end.
    pub token_ttl: Option<Duration>,
    /// Whether there is a token.
    pub has_token: bool,
    /// What was counted.
    pub counters: Counters,
    /// Reads answered from the table.
    pub hits: u64,
}

/// What a look past the cache found.
pub enum Peek {
    /// The document.
    There(Arc<Document>),
    /// The token may not read it.
    Denied,
    /// It is not there, or nobody answered.
    Nothing,
}

enum Ask {
    Get { path: String, reply: oneshot::Sender<Result<Got, Refusal>> },
    Touch { path: String },
    Follow { paths: Vec<String> },
    Bound { prefix: String, most: Duration },
    Report { reply: oneshot::Sender<Report> },
}

impl Store {
    /// Starts the task; it ends when `stop` says so or when every store is dropped.
    pub fn start(
        settings: Cache,
        client: Client,
        authenticator: Authenticator,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
        stop: watch::Receiver<bool>,
    ) -> (Self, tokio::task::JoinSet<()>) {
        let (table, own) = (Arc::new(Table::default()), client.clone());
        let (asks, asked) = mpsc::channel(QUEUE);
        let (changed, changes) = watch::channel(0);
        let (news, tokens) = watch::channel(TokenNews::default());
        let ahead = Arc::new(AtomicI64::new(0));
        let mut seed = [0_u8; 8];
        // Without randomness the waits are not spread, which harms nobody here.
        let _ = entropy.fill(&mut seed);
        let driver = driver::Driver::new(
            settings,
            u64::from_le_bytes(seed),
            client,
            authenticator,
            Arc::clone(&clock),
            driver::Outlets { table: Arc::clone(&table), changed, news, ahead: Arc::clone(&ahead) },
        );
        let mut task = tokio::task::JoinSet::new();
        task.spawn(driver.run(asked, stop));
        let acknowledging = Arc::new(Semaphore::new(ACKNOWLEDGING));
        let (follows, client) = (Arc::default(), own);
        let store = Self { table, clock, asks, changes, tokens, client, acknowledging, ahead, follows };
        (store, task)
    }

    /// The document at an API path (below `/v1/`), from the cache or from the server.
    pub async fn get(&self, path: &str) -> Result<Got, Refusal> {
        let now = self.clock.boot();
        if let Some(hit) = self.table.get(path, now) {
            if hit.touch {
                // If the queue is full there are others who say so.
                let _ = self.asks.try_send(Ask::Touch { path: path.to_owned() });
            }
            return Ok(hit.got);
        }
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Get { path: path.to_owned(), reply };
        self.asks.try_send(ask).map_err(|_| Refusal::Busy)?;
        answer.await.unwrap_or(Err(Refusal::Closed))
    }

    /// Keeps exactly these paths, and those of other readers, fresh without being read.
    pub async fn follow(&self, reader: Reader, paths: Vec<String>) {
        let paths = {
            let mut follows = self.follows.lock().unwrap_or_else(PoisonError::into_inner);
            follows.insert(reader, paths);
            follows.values().flatten().cloned().collect()
        };
        let _ = self.asks.send(Ask::Follow { paths }).await;
    }

    /// Documents below a prefix are not kept longer than this, whatever the configuration says.
    pub async fn bound(&self, prefix: &str, most: Duration) {
        let _ = self.asks.send(Ask::Bound { prefix: prefix.to_owned(), most }).await;
    }

    /// Reads a path once, past the cache: for what need not be there.
    pub async fn peek(&self, path: &str) -> Peek {
        let Some(token) = self.tokens.borrow().token.clone() else { return Peek::Nothing };
        match flight::fetch(self.client.with_token(token.duplicate()), path.to_owned()).await {
            Outcome::Fetched(fetched) => Peek::There(fetched.value),
            Outcome::Denied => Peek::Denied,
            _ => Peek::Nothing,
        }
    }

    /// Writes what a program says of a document that rotates, at an API path (below `/v1/`), and gives its version.
    ///
    /// # Errors
    /// Why the server did not take it; [`ErrorKind::RateLimited`] if too many are on their way.
    pub async fn acknowledge(&self, path: &str, body: Body) -> Result<u64, ErrorKind> {
        #[derive(serde::Deserialize)]
        struct Written {
            version: u64,
        }
        let _place = self.acknowledging.try_acquire().map_err(|_| ErrorKind::RateLimited)?;
        let token = self.tokens.borrow().token.clone().ok_or(ErrorKind::Unreachable)?;
        let client = self.client.with_token(token.duplicate());
        let written = client.write(path, body).await.map_err(|error| error.kind())?;
        let written = written.ok_or(ErrorKind::Decode)?.data::<Written>();
        written.map(|written| written.version).map_err(|error| error.kind())
    }

    /// The server's time minus ours, in seconds, as its answers had it.
    #[must_use]
    pub fn server_ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// The time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Says when a followed or read document changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Says what happens to the token.
    #[must_use]
    pub fn tokens(&self) -> watch::Receiver<TokenNews> {
        self.tokens.clone()
    }

    /// How it stands; `None` when the task has ended.
    pub async fn report(&self) -> Option<Report> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Report { reply }).await.ok()?;
        answer.await.ok()
    }
}
