//! An engine on a mount `secret/`, asked through the real proofs: a permit from the policies, an admission from a
//! broker without devices, then dispatch.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{ManualClock, SeededEntropy, Wall};
use coffre_api::{Kind, Op, RawInput, Refusal, VaultPath};
use coffre_audit::{Broker, RequestFacts};
use coffre_barrier::{Barrier, View};
use coffre_engine::{Engine, Mount, MountFacts, Shape, Surroundings, dispatch, exists};
use coffre_policy::{Acl, Caller, Existence, TokenCaller, authorize};
use coffre_secret::SecretText;
use coffre_storage::{Memory, Store};
use serde_json::Value;

pub(crate) const START: Wall = Wall::from_secs(1_790_000_000);

pub(crate) struct Rig {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) view: View,
    mount: Arc<Mount>,
    broker: Broker,
    entropy: Arc<SeededEntropy>,
}

/// What came back: the shape as an HTTP status, and the data as JSON.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Null if there is none.
    pub(crate) data: Value,
    /// The data's text, byte for byte.
    pub(crate) text: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) lease_duration: u64,
    /// The public message of a refusal.
    pub(crate) error: String,
}

/// A mount over this store, which must be empty.
pub(crate) async fn mount<G: Engine>(engine: G, store: Arc<dyn Store>) -> Rig {
    let clock = Arc::new(ManualClock::starting_at(START));
    let entropy = Arc::new(SeededEntropy::new(1));
    let barrier = Barrier::new(store, clock.clone(), entropy.clone());
    let new = barrier.prepare_init(1, 1).await.unwrap().commit().await.unwrap();
    barrier.submit_share(new.shares[0].expose()).await.unwrap();
    let view = barrier.open().unwrap().view("mount/");
    let facts = MountFacts {
        path: "secret/".into(),
        kind: G::KIND.into(),
        default_ttl: Duration::from_secs(2_764_800),
        ..MountFacts::default()
    };
    Rig {
        mount: Arc::new(Mount::new(facts, engine, Some(view.clone()))),
        broker: Broker::new(clock.clone(), Duration::from_secs(1)),
        clock,
        view,
        entropy,
    }
}

pub(crate) async fn in_memory<G: Engine>(engine: G) -> Rig {
    mount(engine, Arc::new(Memory::new())).await
}

impl Rig {
    /// The same storage under another engine, as after a change of the mount's version.
    pub(crate) fn turned_into<G: Engine>(self, engine: G) -> Self {
        let facts = self.mount.facts().clone();
        Self { mount: Arc::new(Mount::new(facts, engine, Some(self.view.clone()))), ..self }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Op::Read, path, "").await
    }

    pub(crate) async fn list(&self, path: &str) -> Answer {
        self.ask(Op::List, path, "").await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Op::Write, path, &body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask(Op::Patch, path, &body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Op::Delete, path, "").await
    }

    /// Asks with a body as text; a query may follow the path.
    pub(crate) async fn ask(&self, op: Op, path: &str, body: &str) -> Answer {
        self.ask_from(Some("space-1"), op, path, body).await
    }

    /// The same with the caller's private space.
    pub(crate) async fn ask_from(&self, space: Option<&str>, op: Op, path: &str, body: &str) -> Answer {
        match self.try_ask(space, op, path, body).await {
            Ok(answer) => answer,
            Err(refusal) => Answer {
                status: match refusal.kind() {
                    Kind::Invalid => 400,
                    Kind::Denied => 403,
                    Kind::Missing => 404,
                    Kind::Unsupported => 405,
                    _ => 500,
                },
                data: Value::Null,
                text: String::new(),
                warnings: Vec::new(),
                lease_duration: 0,
                error: refusal.message().to_owned(),
            },
        }
    }

    /// What the existence check says of a write.
    pub(crate) async fn existence(&self, path: &str, body: &Value) -> Existence {
        let raw = RawInput::from_json(SecretText::new(body.to_string())).unwrap();
        let path = VaultPath::parse(&format!("secret/{path}")).unwrap();
        let resolved = self.mount.resolve(Op::Write, path, None).unwrap();
        exists(&resolved, &raw, &self.surroundings(None)).await.unwrap()
    }

    async fn try_ask(&self, space: Option<&str>, op: Op, path: &str, body: &str) -> Result<Answer, Refusal> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let raw = RawInput::from_json(SecretText::from(body)).unwrap().with_query(query);
        let path = VaultPath::parse(&format!("secret/{path}")).unwrap();
        let resolved = self
            .mount
            .resolve(op, path, None)
            .map_err(|_| Refusal::new(Kind::Unsupported, "unsupported operation"))?;
        let around = self.surroundings(space);
        let existence = exists(&resolved, &raw, &around).await?;
        let token = TokenCaller { acl: Arc::new(Acl::root()), ..TokenCaller::default() };
        let permit = authorize(Caller::token(Arc::new(token)), existence, &raw, resolved);
        let permit = permit.map_err(|refused| refused.2)?;
        let (admitted, receipt) =
            self.broker.record_request(permit, RequestFacts::default(), &raw).await.unwrap();
        let reply = dispatch(&admitted, &raw, &around).await;
        drop(receipt);
        let reply = reply?;
        let status = match reply.shape {
            Shape::Data | Shape::Text(_) => 200,
            Shape::Empty if reply.warnings.is_empty() => 204,
            Shape::Empty => 200,
            Shape::Missing | Shape::MissingWith => 404,
            Shape::Accepted => 202,
            Shape::Bare(status) => status,
        };
        let text = reply.data.as_ref().map(|data| data.expose().to_owned()).unwrap_or_default();
        // Null also for numbers that a tree cannot hold; tests of those look at the text.
        let data = serde_json::from_str(&text).unwrap_or_default();
        let (warnings, lease_duration) = (reply.warnings, reply.lease_duration);
        Ok(Answer { status, data, text, warnings, lease_duration, error: String::new() })
    }

    fn surroundings(&self, space: Option<&str>) -> Surroundings {
        Surroundings {
            request_id: "request".into(),
            peer: None,
            presented: None,
            private_space: space.map(Arc::from),
            login_guard: None,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
        }
    }
}
