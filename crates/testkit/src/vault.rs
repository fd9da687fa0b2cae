//! A kernel over memory, asked as the HTTP layer asks it.
#![expect(clippy::expect_used, reason = "a test kit: what cannot be set up ends the test with a sentence")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, ManualClock, SeededEntropy, Wall};
use coffre_api::{Kind, Op, RawInput, VaultPath};
use coffre_audit::{Outgoing, Released, Wire};
use coffre_core::{Incoming, Kernel, Linked, Settings};
use coffre_secret::SecretText;
use coffre_storage::faults::{Fault, Faulty};
use coffre_storage::{Memory, Store};
use serde_json::{Value, json};

use crate::toy::Toy;
use crate::{DatabaseServer, Target};

/// When every test begins.
pub const START: Wall = Wall::from_secs(1_800_000_000);

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// As the HTTP layer maps it.
    pub status: u16,
    /// The body; null if there is none. A refusal is `{"errors": […]}`.
    pub body: Value,
}

impl Answer {
    /// A text below a JSON pointer; empty if there is none.
    pub fn text(&self, pointer: &str) -> String {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A number below a JSON pointer; 0 if there is none.
    pub fn number(&self, pointer: &str) -> u64 {
        self.body.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    /// The same, after checking its status.
    ///
    /// # Panics
    /// With the whole answer, if the status is another one.
    #[track_caller]
    #[must_use]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// A kernel, initialised and unsealed, with a toy engine at `toy/`.
pub struct TestVault {
    /// The kernel itself.
    pub kernel: Arc<Kernel>,
    /// Its time.
    pub clock: Arc<ManualClock>,
    /// Its storage, which can be made to fail.
    pub store: Arc<Faulty<Memory>>,
    /// Where the toy engine makes its accounts.
    pub target: Arc<Target>,
    /// What the database engine reaches, at whatever address; its administrator is `admin`, with the password `first`.
    pub databases: DatabaseServer,
    /// The root token.
    pub root: String,
    share: Vec<u8>,
    seed: u64,
}

impl TestVault {
    /// With randomness from this seed.
    ///
    /// # Panics
    /// If the kernel does not start.
    pub async fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let store = Arc::new(Faulty::new(Memory::new()));
        let target = Arc::new(Target::default());
        let databases = DatabaseServer::new("admin", "first");
        let kernel = kernel(&store, &clock, (&target, &databases), seed);
        let keys = kernel.init(1, 1, None).await.expect("a fresh store takes the first records");
        // EXPOSE: the tests unseal with it again.
        let share = keys.shares.first().expect("one share was asked for").expose().to_vec();
        kernel.submit_share(&share).await.expect("the share fits");
        // EXPOSE: the tests present it.
        let root = keys.root_token.expose().to_owned();
        let vault = Self { kernel, clock, store, target, databases, root, share, seed };
        let _ = vault.root(Op::Write, "sys/mounts/toy", json!({"type": "toy"})).await.is(204);
        vault
    }

    /// The process died: nothing but the storage and the target are left. Time goes on.
    ///
    /// # Panics
    /// If the kernel does not start again.
    pub async fn restarted(&self) -> Self {
        self.mend();
        let seed = self.seed.wrapping_add(1);
        let kernel = kernel(&self.store, &self.clock, (&self.target, &self.databases), seed);
        kernel.submit_share(&self.share).await.expect("the share still fits");
        Self {
            kernel,
            clock: Arc::clone(&self.clock),
            store: Arc::clone(&self.store),
            target: Arc::clone(&self.target),
            databases: self.databases.clone(),
            root: self.root.clone(),
            share: self.share.clone(),
            seed,
        }
    }

    /// The `nth` storage operation from now fails.
    pub fn fail_nth(&self, nth: u64, fault: Fault) {
        self.store.fail_nth(nth, fault);
    }

    /// A fault that was not met is taken back.
    pub fn mend(&self) {
        self.store.fail_nth(u64::MAX, Fault::Refused);
    }

    /// Asks as root.
    pub async fn root(&self, op: Op, path: &str, body: Value) -> Answer {
        self.ask(op, path, &self.root, body).await
    }

    /// Asks with a token (empty: none). `body` holds the query for operations without a body.
    ///
    /// # Panics
    /// If `path` is none, or `body` is no object.
    pub async fn ask(&self, op: Op, path: &str, token: &str, body: Value) -> Answer {
        answer(self.kernel.handle(incoming(op, path, token, &body)).await)
    }

    /// A token made by root.
    ///
    /// # Panics
    /// If none was made.
    pub async fn token(&self, body: Value) -> String {
        self.root(Op::Write, "auth/token/create", body).await.is(200).text("/auth/client_token")
    }

    /// Writes a policy.
    ///
    /// # Panics
    /// If it was refused.
    pub async fn policy(&self, name: &str, text: &str) {
        let path = format!("sys/policies/acl/{name}");
        let _ = self.root(Op::Write, &path, json!({ "policy": text })).await.is(204);
    }

    /// A leased account of the toy engine.
    pub async fn creds(&self, token: &str, role: &str, query: Value) -> Answer {
        self.ask(Op::Read, &format!("toy/creds/{role}"), token, query).await
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Lets time pass and the background work be done, as a running server does: a round each `step` seconds.
    pub async fn live(&self, seconds: u64, step: u64) {
        for _ in 0..seconds.div_ceil(step.max(1)) {
            self.advance(step);
            self.kernel.tick().await;
        }
    }

    /// The keys of storage that contain this text.
    ///
    /// # Panics
    /// If the storage fails.
    pub async fn keys(&self, part: &str) -> Vec<String> {
        let page = self.store.list_page("", None, usize::MAX).await.expect("memory can be listed");
        page.keys.into_iter().filter(|key| key.contains(part)).collect()
    }
}

fn kernel(
    store: &Arc<Faulty<Memory>>,
    clock: &Arc<ManualClock>,
    (target, databases): (&Arc<Target>, &DatabaseServer),
    seed: u64,
) -> Arc<Kernel> {
    let store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    let target = Arc::clone(target);
    let linked = Linked::default().with_secrets(move || Toy::new(Arc::clone(&target)));
    let linked = linked.with_databases(Arc::new(databases.clone()));
    Kernel::with_engines(store, clock, Arc::new(SeededEntropy::new(seed)), Settings::default(), linked)
}

fn incoming(op: Op, path: &str, token: &str, body: &Value) -> Incoming {
    let raw = match body {
        Value::Null => RawInput::empty(),
        body if op.has_body() => {
            RawInput::from_json(SecretText::new(body.to_string())).expect("the body is an object")
        }
        body => RawInput::empty().with_query(query(body)),
    };
    Incoming {
        op,
        path: VaultPath::parse(path).expect("the path is canonical"),
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

fn answer(released: Released) -> Answer {
    match released.into_outgoing() {
        Outgoing::Reply(reply) => {
            let bytes = match reply.wire() {
                Wire::Empty => &[][..],
                Wire::Json(bytes) | Wire::Other(_, bytes) => bytes,
            };
            let body = serde_json::from_slice(bytes).unwrap_or(Value::Null);
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
