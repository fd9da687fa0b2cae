//! A broker with devices in a temporary directory, and requests for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{SystemClock, Wall};
use coffre_api::{Access, AuthBlock, Op, RawInput, RawJson, VaultPath, WrapInfo};
use coffre_audit::{
    AuditDown, AuditView, Broker, Device, DeviceError, DeviceSpec, Head, Manner, Outgoing, Releasable,
    RequestFacts, Wire,
};
use coffre_crypto::Key;
use coffre_policy::{Acl, Caller, Existence, MountLabel, Permit, Subject, TokenCaller, authorize};
use coffre_secret::SecretText;

pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) broker: Arc<Broker>,
}

pub(crate) fn key(byte: u8) -> Key {
    Key::copy_of(&[byte; 32]).unwrap()
}

pub(crate) fn spec(path: &Path, more: &[(&str, &str)]) -> DeviceSpec {
    let mut options = BTreeMap::from([("file_path".to_owned(), path.to_str().unwrap().to_owned())]);
    options.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    DeviceSpec::parse("file", &options, None).unwrap()
}

pub(crate) fn try_open(
    spec: &DeviceSpec,
    resume: Option<Head>,
    byte: u8,
) -> Result<Box<dyn Device>, DeviceError> {
    spec.open(&key(byte), resume, PATIENCE, Arc::new(SystemClock))
}

pub(crate) fn open(path: &Path, more: &[(&str, &str)], byte: u8) -> Box<dyn Device> {
    try_open(&spec(path, more), None, byte).unwrap()
}

impl World {
    /// No devices.
    pub(crate) fn new() -> Self {
        let broker = Arc::new(Broker::new(Arc::new(SystemClock), PATIENCE));
        Self { dir: tempfile::tempdir().unwrap(), broker }
    }

    /// One file device, `audit.log` under the key of ones, without a test entry.
    pub(crate) async fn with_file(more: &[(&str, &str)]) -> Self {
        let world = Self::new();
        let device = open(&world.log(), more, 1);
        world.broker.enable("file/", device, &key(1), Manner::default(), false).await.unwrap();
        world
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("audit.log")
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) struct Row {
    pub(crate) path: VaultPath,
    pub(crate) readable: Vec<String>,
}

impl Subject for Row {
    fn op(&self) -> Op {
        Op::Write
    }
    fn path(&self) -> &VaultPath {
        &self.path
    }
    fn access(&self) -> Access {
        Access::Token
    }
    fn wrap_ttl(&self) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }
    fn mount(&self) -> Option<MountLabel<'_>> {
        Some(MountLabel {
            path: "secret/",
            kind: "kv",
            accessor: "kv_1",
            readable_request_keys: &self.readable,
            readable_response_keys: &self.readable,
        })
    }
}

pub(crate) fn token() -> Arc<TokenCaller> {
    Arc::new(TokenCaller {
        acl: Arc::new(Acl::root()),
        accessor: "CANARY-accessor".into(),
        display_name: "approle".into(),
        policies: vec!["root".into()],
        token_policies: vec!["root".into()],
        token_type: "service",
        issued: Wall::from_secs(1_000),
        ..TokenCaller::default()
    })
}

pub(crate) fn permit(caller: &Arc<TokenCaller>, path: &str, raw: &RawInput) -> Permit<Row> {
    let row = Row { path: VaultPath::parse(path).unwrap(), readable: vec!["visible".into()] };
    authorize(Caller::token(Arc::clone(caller)), Existence::Missing, raw, row).ok().unwrap()
}

#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) data: Option<RawJson>,
    pub(crate) auth: Option<AuthBlock>,
    pub(crate) wrap_info: Option<WrapInfo>,
    pub(crate) other: Option<Vec<u8>>,
}

impl Releasable for Answer {
    fn wire(&self) -> Wire<'_> {
        self.data.as_ref().map_or(Wire::Empty, |data| Wire::Json(data.expose().as_bytes()))
    }
    fn audit(&self) -> AuditView<'_> {
        AuditView {
            data: self.data.as_ref(),
            auth: self.auth.as_ref(),
            wrap_info: self.wrap_info.as_ref(),
            other: self.other.as_deref(),
        }
    }
}

pub(crate) fn json(text: &str) -> RawInput {
    RawInput::from_json(SecretText::from(text)).unwrap()
}

/// One recorded request with its answer. `Err(None)` if the answer could not be recorded.
pub(crate) async fn ask(
    broker: &Broker,
    id: &str,
    raw: &RawInput,
    answer: Answer,
) -> Result<Outgoing, Option<AuditDown>> {
    let token = token();
    let presented = SecretText::from("hvs.CANARY-token");
    let facts = RequestFacts {
        id,
        token: Some(&presented),
        remote: Some("[::ffff:127.0.0.1]:4711".parse().unwrap()),
        ..RequestFacts::default()
    };
    let recorded = broker.record_request(permit(&token, "secret/data/a", raw), facts, raw).await;
    let (_admitted, receipt) = recorded.map_err(Some)?;
    match broker.release(receipt, Ok(Box::new(answer))).await.into_outgoing() {
        Outgoing::AuditDown => Err(None),
        outgoing => Ok(outgoing),
    }
}
