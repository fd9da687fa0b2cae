//! A whole kernel over memory, asked as the HTTP layer asks it: real barrier, real broker with the file device, a clock
//! that moves when told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coffre_ambient::{Clock, ManualClock, SystemEntropy, Wall};
use coffre_api::{Kind, Op, RawInput, VaultPath};
use coffre_audit::{Outgoing, Released, Wire};
use coffre_core::{Incoming, Kernel, Settings};
use coffre_secret::{SecretText, SecretVec};
use coffre_storage::faults::{Fault, Faulty};
use coffre_storage::{Batch, Key, Memory, Page, Store, StoreFuture};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// What a kernel answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// As `crates/http/src/status.rs` maps it.
    pub(crate) status: u16,
    /// The body; null if there is none. A refusal is `{"errors": […]}`.
    pub(crate) body: Value,
}

impl Answer {
    /// A text below a JSON pointer; empty if there is none.
    pub(crate) fn text(&self, pointer: &str) -> String {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(crate) fn token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.text("/auth/client_token")
    }

    pub(crate) fn wrapping_token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.text("/wrap_info/token")
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// A store that gives other tasks a turn around every operation, as a real one does.
pub(crate) struct Turns(Arc<Faulty<Memory>>);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Faulty::new(Memory::new())))
    }
}

impl Store for Turns {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let found = self.0.get(key).await;
            tokio::task::yield_now().await;
            found
        })
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        Box::pin(async move {
            let page = self.0.list_page(prefix, after, limit).await;
            tokio::task::yield_now().await;
            page
        })
    }

    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let done = self.0.transact(batch).await;
            tokio::task::yield_now().await;
            done
        })
    }

    fn kind(&self) -> &'static str {
        "turns"
    }
}

/// A store that can keep one write's answer back after the write was done.
#[derive(Default)]
pub(crate) struct Late {
    memory: Memory,
    /// Whether the next write is kept back.
    pub(crate) armed: AtomicBool,
    /// It was done.
    pub(crate) done: Notify,
    /// Lets its answer go.
    pub(crate) answered: Notify,
}

impl Store for Late {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.memory.get(key)
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        self.memory.list_page(prefix, after, limit)
    }

    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.memory.transact(batch).await?;
            if self.armed.swap(false, Ordering::SeqCst) {
                self.done.notify_one();
                self.answered.notified().await;
            }
            Ok(())
        })
    }

    fn kind(&self) -> &'static str {
        "late"
    }
}

/// A kernel, initialised and unsealed.
pub(crate) struct Rig {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<Faulty<Memory>>,
    pub(crate) share: Vec<u8>,
    pub(crate) root: String,
    settings: Settings,
}

/// When every rig begins.
pub(crate) const START: Wall = Wall::from_secs(1_800_000_000);

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let store = Arc::new(Faulty::new(Memory::new()));
        let kernel = kernel(&store, &clock, &settings);
        let keys = kernel.init(1, 1, None).await.unwrap();
        let share = keys.shares[0].expose().to_vec();
        kernel.submit_share(&share).await.unwrap();
        let root = keys.root_token.expose().to_owned();
        Self { kernel, clock, store, share, root, settings }
    }

    /// With a mount of every engine: `kv/` (version 1), `secret/` (version 2), and each login method at its own name.
    pub(crate) async fn furnished() -> Self {
        let rig = Self::new().await;
        rig.mount("kv", json!({"type": "kv"})).await;
        rig.mount("secret", json!({"type": "kv-v2"})).await;
        rig.mount("database", json!({"type": "database"})).await;
        for method in ["approle", "userpass", "kubernetes"] {
            rig.root(Op::Write, &format!("sys/auth/{method}"), json!({ "type": method })).await.is(204);
        }
        rig
    }

    pub(crate) async fn mount(&self, path: &str, body: Value) {
        self.root(Op::Write, &format!("sys/mounts/{path}"), body).await.is(204);
    }

    /// The process died: nothing but the storage is left. Time goes on.
    pub(crate) async fn restarted(&self) -> Self {
        self.reopened(false).await
    }

    /// The same after records were changed behind the server, which its operator accepts.
    pub(crate) async fn restarted_over_changes(&self) -> Self {
        self.reopened(true).await
    }

    async fn reopened(&self, accept_rollback: bool) -> Self {
        self.mend();
        let kernel = kernel(&self.store, &self.clock, &self.settings);
        if accept_rollback {
            kernel.barrier().accept_rollback_once();
        }
        kernel.submit_share(&self.share).await.unwrap();
        let (clock, store) = (Arc::clone(&self.clock), Arc::clone(&self.store));
        let (share, root, settings) = (self.share.clone(), self.root.clone(), self.settings.clone());
        Self { kernel, clock, store, share, root, settings }
    }

    /// A fault that was not met is taken back.
    pub(crate) fn mend(&self) {
        self.store.fail_nth(u64::MAX, Fault::Refused);
    }

    pub(crate) async fn root(&self, op: Op, path: &str, body: Value) -> Answer {
        self.ask(op, path, &self.root, body).await
    }

    /// `body` holds the query for operations without a body; an empty token is none.
    pub(crate) async fn ask(&self, op: Op, path: &str, token: &str, body: Value) -> Answer {
        answer(self.kernel.handle(incoming(op, path, token, &body)).await)
    }

    pub(crate) async fn ask_from(&self, peer: &str, op: Op, path: &str, token: &str, body: Value) -> Answer {
        let mut incoming = incoming(op, path, token, &body);
        incoming.peer = Some(SocketAddr::new(peer.parse().unwrap(), 1234));
        answer(self.kernel.handle(incoming).await)
    }

    pub(crate) async fn ask_wrapped(
        &self,
        ttl: Duration,
        op: Op,
        path: &str,
        token: &str,
        body: Value,
    ) -> Answer {
        let mut incoming = incoming(op, path, token, &body);
        incoming.wrap_ttl = Some(ttl);
        answer(self.kernel.handle(incoming).await)
    }

    /// A token made by root.
    /// Panics if none was made.
    pub(crate) async fn token(&self, body: Value) -> String {
        self.root(Op::Write, "auth/token/create", body).await.token()
    }

    /// A token made by another one.
    pub(crate) async fn child(&self, parent: &str, body: Value) -> Answer {
        self.ask(Op::Write, "auth/token/create", parent, body).await
    }

    pub(crate) async fn policy(&self, name: &str, text: &str) {
        self.root(Op::Write, &format!("sys/policies/acl/{name}"), json!({ "policy": text })).await.is(204);
    }

    /// Whether a token is let in at all (the `default` policy allows this path).
    pub(crate) async fn lives(&self, token: &str) -> bool {
        let answer = self.ask(Op::Read, "auth/token/lookup-self", token, Value::Null).await;
        assert!(matches!(answer.status, 200 | 403), "{answer:?}");
        answer.status == 200
    }

    /// Everything that is stored, as bytes.
    pub(crate) fn stored(&self) -> Vec<(String, Vec<u8>)> {
        futures_util::FutureExt::now_or_never(dump(&*self.store)).unwrap()
    }

    /// How many records lie below a prefix of the storage.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.stored().iter().filter(|(key, _)| key.contains(prefix)).count()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

async fn dump(store: &dyn Store) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_page("", after.as_deref(), 500).await.unwrap();
        for key in &page.keys {
            let value = store.get(&Key::new(key.clone()).unwrap()).await.unwrap();
            all.push((key.clone(), value.unwrap()));
        }
        after = page.keys.last().cloned();
        if !page.more {
            return all;
        }
    }
}

fn kernel(store: &Arc<Faulty<Memory>>, clock: &Arc<ManualClock>, settings: &Settings) -> Arc<Kernel> {
    let store: Arc<dyn Store> = Arc::new(Turns(Arc::clone(store)));
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Kernel::new(store, clock, Arc::new(SystemEntropy), settings.clone())
}

pub(crate) fn incoming(op: Op, path: &str, token: &str, body: &Value) -> Incoming {
    let raw = match body {
        Value::Null => RawInput::empty(),
        body if op.has_body() => RawInput::from_json(SecretText::new(body.to_string())).unwrap(),
        body => RawInput::empty().with_query(query(body)),
    };
    Incoming {
        op,
        path: VaultPath::parse(path).unwrap(),
        trailing_slash: path.ends_with('/'),
        token: (!token.is_empty()).then(|| SecretText::from(token)),
        wrap_ttl: None,
        raw,
        headers: Vec::new(),
        open: coffre_api::OpenCeremonies::default(),
        peer: Some(SocketAddr::from(([127, 0, 0, 1], 1234))),
    }
}

fn query(body: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    body.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

pub(crate) fn answer(released: Released) -> Answer {
    match released.into_outgoing() {
        Outgoing::Reply(reply) => {
            let bytes = match reply.wire() {
                Wire::Empty => &[][..],
                Wire::Json(bytes) | Wire::Other(_, bytes) => bytes,
            };
            let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(bytes).unwrap() };
            let usual = if bytes.is_empty() { 204 } else { 200 };
            Answer { status: reply.status().unwrap_or(usual), body }
        }
        Outgoing::Refused(refusal) => {
            Answer { status: status(refusal.kind()), body: json!({ "errors": [refusal.message()] }) }
        }
        Outgoing::AuditDown => Answer { status: 500, body: json!({ "errors": ["audit is down"] }) },
    }
}

const fn status(kind: Kind) -> u16 {
    match kind {
        Kind::Invalid => 400,
        Kind::Unauthenticated | Kind::Denied => 403,
        Kind::Missing => 404,
        Kind::Unsupported => 405,
        Kind::TooLarge => 413,
        Kind::MediaType => 415,
        Kind::Busy => 429,
        Kind::Upstream => 502,
        Kind::Sealed | Kind::Unavailable => 503,
        Kind::Failed | Kind::Bug => 500,
    }
}

/// A text that is found again wherever it leaks.
pub(crate) fn canary(name: &str) -> SecretVec {
    SecretVec::new(format!("CANARY-{name}-7f3a9c51").into_bytes())
}
