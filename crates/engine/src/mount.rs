//! A mount: an engine at a path, and how a path below it finds its row.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coffre_api::{Access, Op, OpenCeremonies, VaultPath};
use coffre_barrier::View;
use coffre_policy::{MountLabel, Subject};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use crate::args::Args;
use crate::locks::Locks;
use crate::login::LockoutRule;
use crate::reply::TokenKind;
use crate::row::Meta;
use crate::serve::{AnyEngine, Engine, Routed};
use crate::trie::Found;

/// What is known of a mount without asking its engine.
#[derive(Clone, Debug, Default)]
pub struct MountFacts {
    /// With a slash at its end, `auth/` before it for login methods: `secret/`, `auth/approle/`.
    pub path: String,
    /// The type as enabled: `kv`, `approle`.
    pub kind: String,
    /// Names the mount for ever, also after a move: `kv_1a2b3c4d`.
    pub accessor: String,
    /// Names its storage.
    pub uuid: String,
    /// Lifetime when nothing else is said.
    pub default_ttl: Duration,
    /// The longest lifetime.
    pub max_ttl: Duration,
    /// When names are locked after failed logins; `None` for never.
    pub lockout: Option<LockoutRule>,
    /// What kind of token its logins give.
    pub tokens: MountTokens,
    /// Request keys that audit leaves readable.
    pub audit_non_hmac_request_keys: Vec<String>,
    /// Response keys that audit leaves readable.
    pub audit_non_hmac_response_keys: Vec<String>,
}

/// What a login method's mount says about the kind of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MountTokens {
    /// Service tokens, unless the login asks for another kind.
    #[default]
    DefaultService,
    /// Batch tokens, unless the login asks for another kind.
    DefaultBatch,
    /// Service tokens, whatever the login asks for.
    Service,
    /// Batch tokens, whatever the login asks for.
    Batch,
}

impl MountTokens {
    /// Whether a login that asks for this kind gives a batch token.
    #[must_use]
    pub const fn gives_batch(self, asked: TokenKind) -> bool {
        match self {
            Self::Service => false,
            Self::Batch => true,
            Self::DefaultService => matches!(asked, TokenKind::Batch),
            Self::DefaultBatch => matches!(asked, TokenKind::Default | TokenKind::Batch),
        }
    }
}

/// An engine at a path with its own storage.
pub struct Mount {
    facts: MountFacts,
    engine: Box<dyn AnyEngine>,
    view: Option<View>,
    locks: Arc<Locks>,
    gate: Arc<Gate>,
}

/// Who is inside a mount, and whether it still lets anybody in.
#[derive(Default)]
struct Gate {
    inside: Arc<RwLock<()>>,
    closed: AtomicBool,
}

/// Held while a request is inside a mount's engine.
pub struct MountInUse {
    _inside: OwnedRwLockReadGuard<()>,
}

/// Why a path below a mount found no row.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRow {
    /// The engine has no such path.
    Path,
    /// The engine has the path, for these operations.
    Op(Vec<Op>),
}

impl Mount {
    /// Mounts an engine; `view` is `None` only for what must answer while sealed.
    pub fn new<G: Engine>(facts: MountFacts, engine: G, view: Option<View>) -> Self {
        Self {
            facts,
            engine: Box::new(Routed::new(engine)),
            view,
            locks: Arc::default(),
            gate: Arc::default(),
        }
    }

    /// The same mount with other facts or another engine: it takes over the locks, so that requests under way on the
    /// old one and new ones still exclude each other. At the same path it takes over the gate as well; at another one it
    /// lets requests in while the old one stays closed.
    #[must_use]
    pub fn succeeding(mut self, old: &Self) -> Self {
        self.locks = Arc::clone(&old.locks);
        if self.facts.path == old.facts.path {
            self.gate = Arc::clone(&old.gate);
        }
        self
    }

    /// Lets a request in; `None` once the mount is closed, however long ago the request found it.
    pub async fn enter(&self) -> Option<MountInUse> {
        let inside = Arc::clone(&self.gate.inside).read_owned().await;
        self.is_open().then_some(MountInUse { _inside: inside })
    }

    /// Lets nobody in any more and waits for those inside, at most so long. Returns whether all have left.
    pub async fn close(&self, patience: Duration) -> bool {
        self.shut();
        tokio::time::timeout(patience, self.gate.inside.write()).await.is_ok()
    }

    /// Lets nobody in any more, without waiting.
    pub fn shut(&self) {
        self.gate.closed.store(true, Ordering::SeqCst);
    }

    /// Lets requests in again.
    pub fn reopen(&self) {
        self.gate.closed.store(false, Ordering::SeqCst);
    }

    /// Whether requests are let in.
    pub fn is_open(&self) -> bool {
        !self.gate.closed.load(Ordering::SeqCst)
    }

    /// Its facts.
    pub const fn facts(&self) -> &MountFacts {
        &self.facts
    }

    /// Its storage.
    pub const fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// Its locks.
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    /// Its engine.
    pub fn engine(&self) -> &dyn AnyEngine {
        &*self.engine
    }

    /// Finds the row for a whole path that lies at or below this mount.
    pub fn resolve(
        self: &Arc<Self>,
        op: Op,
        path: VaultPath,
        wrap_ttl: Option<Duration>,
    ) -> Result<Resolved, NoRow> {
        let start = path.as_str().len() - path.below(&self.facts.path).ok_or(NoRow::Path)?.len();
        let rest = path.as_str().get(start..).unwrap_or_default();
        match self.engine.find(op, rest) {
            Found::Row { row, captures } => {
                let meta = self.engine.meta(row).ok_or(NoRow::Path)?;
                let path = fold(path, start, &captures, self.engine.folded());
                Ok(Resolved {
                    mount: Arc::clone(self),
                    path,
                    start,
                    op,
                    row,
                    meta,
                    captures,
                    wrap_ttl,
                    open: OpenCeremonies::default(),
                })
            }
            Found::WrongOp(ops) => Err(NoRow::Op(ops)),
            Found::Nothing => Err(NoRow::Path),
        }
    }
}

/// Lowers the ASCII letters of the named captures; no byte moves.
fn fold(path: VaultPath, start: usize, captures: &[(&str, Range<usize>)], folded: &[&str]) -> VaultPath {
    if folded.is_empty() {
        return path;
    }
    let mut text = path.as_str().to_owned();
    for (_, span) in captures.iter().filter(|(name, _)| folded.contains(name)) {
        if let Some(part) = text.get_mut(start + span.start..start + span.end) {
            part.make_ascii_lowercase();
        }
    }
    VaultPath::parse(&text).unwrap_or(path)
}

/// A request that found its row.
pub struct Resolved {
    mount: Arc<Mount>,
    path: VaultPath,
    start: usize,
    op: Op,
    row: usize,
    meta: &'static Meta,
    captures: Vec<(&'static str, Range<usize>)>,
    wrap_ttl: Option<Duration>,
    open: OpenCeremonies,
}

impl Resolved {
    /// Where it goes.
    pub fn mount(&self) -> &Mount {
        &self.mount
    }

    /// The whole path.
    pub const fn path(&self) -> &VaultPath {
        &self.path
    }

    /// What it does.
    pub const fn op(&self) -> Op {
        self.op
    }

    /// The same, behind a listener that opens these ceremonies.
    #[must_use]
    pub fn behind(mut self, open: OpenCeremonies) -> Self {
        self.open = open;
        self
    }

    /// The row's facts.
    pub const fn meta(&self) -> &'static Meta {
        self.meta
    }

    pub(crate) const fn row(&self) -> usize {
        self.row
    }

    pub(crate) fn args<'a>(&'a self, raw: &'a coffre_api::RawInput) -> Args<'a> {
        let rest = self.path.as_str().get(self.start..).unwrap_or_default();
        Args { meta: self.meta, rest, captures: &self.captures, raw }
    }
}

impl Subject for Resolved {
    fn op(&self) -> Op {
        self.op
    }

    fn path(&self) -> &VaultPath {
        &self.path
    }

    fn access(&self) -> Access {
        self.meta.access.behind(self.open)
    }

    fn wrap_ttl(&self) -> Option<Duration> {
        self.wrap_ttl
    }

    fn mount(&self) -> Option<MountLabel<'_>> {
        let facts = self.mount.facts();
        Some(MountLabel {
            path: &facts.path,
            kind: &facts.kind,
            accessor: &facts.accessor,
            readable_request_keys: &facts.audit_non_hmac_request_keys,
            readable_response_keys: &facts.audit_non_hmac_response_keys,
        })
    }
}
