//! A mount over memory, reached as the kernel reaches it: authorize, record, dispatch.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coffre_ambient::{Clock, Entropy, ManualClock, SystemEntropy, Wall};
use coffre_api::{Kind, Op, RawInput, Refusal, VaultPath};
use coffre_audit::{Broker, RequestFacts};
use coffre_barrier::{Barrier, View};
use coffre_engine::{AnyReply, Auth, Mount, MountFacts, NoRow, Shape, Surroundings, TokenGrant};
use coffre_methods::approle::AppRole;
use coffre_policy::{Acl, Caller, Policy, PolicyName, TemplateValues, TokenCaller};
use coffre_storage::{Batch, Key, Memory, Page, Store, StoreFuture};
use serde_json::Value;

/// What came back.
pub(crate) struct Answer {
    pub(crate) shape: Shape,
    pub(crate) data: Value,
    pub(crate) grant: Option<TokenGrant>,
    pub(crate) warnings: Vec<String>,
    pub(crate) wrapped_accessor: Option<String>,
}

/// Who asks.
pub(crate) enum Who {
    Nobody,
    Root,
    /// The holder of a policy with this text.
    Holder(&'static str),
}

/// A store that gives other tasks a turn around every write, and counts what it is asked.
#[derive(Default)]
pub(crate) struct Turns {
    memory: Memory,
    pub(crate) hits: AtomicUsize,
    pub(crate) misses: AtomicUsize,
}

impl Store for Turns {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let found = self.memory.get(key).await?;
            let counter = if found.is_some() { &self.hits } else { &self.misses };
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(found)
        })
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
            tokio::task::yield_now().await;
            self.memory.transact(batch).await?;
            tokio::task::yield_now().await;
            Ok(())
        })
    }

    fn kind(&self) -> &'static str {
        "turns"
    }
}

/// A mounted AppRole.
pub(crate) struct Rig {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<Turns>,
    pub(crate) peer: IpAddr,
    view: View,
    mount: Arc<Mount>,
    broker: Broker,
}

pub(crate) const START: Wall = Wall::from_secs(1_800_000_000);

impl Rig {
    pub(crate) async fn new() -> Arc<Self> {
        Arc::new(Self::fresh().await)
    }

    pub(crate) async fn fresh() -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let store = Arc::new(Turns::default());
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let barrier =
            Barrier::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&clock) as Arc<dyn Clock>, entropy);
        let shares = barrier.prepare_init(1, 1).await.unwrap().commit().await.unwrap().shares;
        barrier.submit_share(shares[0].expose()).await.unwrap();
        let view = barrier.open().unwrap().view("auth/x/");
        Self::over(view, store, clock)
    }

    /// The server after a crash: nothing but the storage is left.
    pub(crate) fn restarted(&self) -> Self {
        Self::over(self.view.clone(), Arc::clone(&self.store), Arc::clone(&self.clock))
    }

    fn over(view: View, store: Arc<Turns>, clock: Arc<ManualClock>) -> Self {
        let facts = MountFacts {
            path: "auth/approle/".into(),
            kind: "approle".into(),
            default_ttl: Duration::from_secs(3_600),
            max_ttl: Duration::from_secs(86_400),
            ..MountFacts::default()
        };
        let mount = Arc::new(Mount::new(facts, AppRole::default(), Some(view.clone())));
        let broker = Broker::new(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_secs(1));
        Self { clock, store, peer: "127.0.0.1".parse().unwrap(), view, mount, broker }
    }

    pub(crate) async fn ask(&self, who: Who, op: Op, path: &str, body: Value) -> Result<Answer, Refusal> {
        let path = VaultPath::parse(&format!("auth/approle/{path}")).unwrap();
        let resolved = self.mount.resolve(op, path, None).map_err(|no| match no {
            NoRow::Path => Refusal::missing(),
            NoRow::Op(_) => Refusal::new(Kind::Unsupported, "unsupported operation"),
        })?;
        let raw = raw_input(op, &body);
        let around = self.surroundings();
        let existence = coffre_engine::exists(&resolved, &raw, &around).await?;
        let permit = coffre_policy::authorize(caller(&who), existence, &raw, resolved);
        let permit = permit.map_err(|refused| refused.2)?;
        let (admitted, receipt) =
            self.broker.record_request(permit, RequestFacts::default(), &raw).await.unwrap();
        let reply = coffre_engine::dispatch(&admitted, &raw, &around).await;
        drop(receipt);
        reply.map(answer)
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            request_id: "test".into(),
            peer: Some(self.peer),
            presented: None,
            private_space: None,
            login_guard: None,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::new(SystemEntropy),
        }
    }

    pub(crate) async fn write(&self, path: &str, body: Value) -> Result<Answer, Refusal> {
        self.ask(Who::Root, Op::Write, path, body).await
    }

    pub(crate) async fn read(&self, path: &str) -> Result<Answer, Refusal> {
        self.ask(Who::Root, Op::Read, path, Value::Null).await
    }

    pub(crate) async fn list(&self, path: &str) -> Result<Answer, Refusal> {
        self.ask(Who::Root, Op::List, path, Value::Null).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Answer, Refusal> {
        self.ask(Who::Root, Op::Delete, path, Value::Null).await
    }

    pub(crate) async fn login(&self, role_id: &str, secret_id: &str) -> Result<TokenGrant, Refusal> {
        let body = serde_json::json!({ "role_id": role_id, "secret_id": secret_id });
        self.ask(Who::Nobody, Op::Write, "login", body).await.map(|answer| answer.grant.unwrap())
    }

    /// The id of a role.
    pub(crate) async fn role_id(&self, role: &str) -> String {
        text(&self.read(&format!("role/{role}/role-id")).await.unwrap().data["role_id"])
    }

    /// A new secret id and its accessor.
    pub(crate) async fn secret_id(&self, role: &str, options: Value) -> (String, String) {
        let made = self.write(&format!("role/{role}/secret-id"), options).await.unwrap().data;
        (text(&made["secret_id"]), text(&made["secret_id_accessor"]))
    }

    /// All keys of the mount's storage.
    pub(crate) async fn keys(&self) -> Vec<String> {
        self.view.scan("", None, 100_000).await.unwrap().names
    }

    /// All records of the mount's storage, as the method wrote them.
    pub(crate) async fn plain_records(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for key in self.keys().await {
            let record = self.view.get(&key).await.unwrap().unwrap();
            all.push((key, record.expose().clone()));
        }
        all
    }

    /// Each accessor leads to a secret id and each secret id has an accessor.
    pub(crate) async fn assert_no_dangling(&self) {
        let keys = self.keys().await;
        let count = |prefix: &str| keys.iter().filter(|key| key.starts_with(prefix)).count();
        assert_eq!(count("secret-id/"), count("accessor/"), "{keys:?}");
    }
}

fn raw_input(op: Op, body: &Value) -> RawInput {
    if op.has_body() {
        return RawInput::from_json(body.to_string().into()).unwrap();
    }
    let pairs = body.as_object().into_iter().flatten();
    RawInput::empty().with_query(pairs.map(|(name, value)| (name.clone(), text(value))).collect())
}

fn caller(who: &Who) -> Caller {
    let acl = match who {
        Who::Nobody => return Caller::anonymous("the test"),
        Who::Root => Acl::root(),
        Who::Holder(policy) => {
            let policy = Policy::parse(PolicyName::parse("test").unwrap(), policy).unwrap();
            Acl::compile(&[Arc::new(policy)], &TemplateValues::none())
        }
    };
    Caller::token(Arc::new(TokenCaller { acl: Arc::new(acl), ..TokenCaller::default() }))
}

fn answer(reply: AnyReply) -> Answer {
    let data = reply.data.as_ref().map_or(Value::Null, |data| serde_json::from_str(data.expose()).unwrap());
    let grant = match reply.auth {
        Some(Auth::Grant(grant)) => Some(*grant),
        _ => None,
    };
    Answer {
        shape: reply.shape,
        data,
        grant,
        warnings: reply.warnings,
        wrapped_accessor: reply.wrapped_accessor,
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The kind and message of a refusal, as the caller reads them.
pub(crate) fn refused<T>(result: Result<T, Refusal>) -> (Kind, String) {
    match result {
        Ok(_) => panic!("was not refused"),
        Err(refusal) => (refusal.kind(), refusal.message().to_owned()),
    }
}
