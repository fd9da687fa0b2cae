//! Audit, seen from the kernel: complete, before anything leaves, and nothing without it (rows G1, G9, G10, G13;
//! invariants I1, I2, I10).

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coffre_api::Op;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::rig::{Rig, answer, canary, incoming};

async fn enable(rig: &Rig, name: &str, file: &Path) {
    let body = json!({"type": "file", "options": {"file_path": file}});
    rig.root(Op::Write, &format!("sys/audit/{name}"), body).await.is(204);
}

fn entries(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Entries by request id: how many requests and responses.
fn pairs(file: &Path) -> BTreeMap<String, (usize, usize)> {
    let mut pairs: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for entry in entries(file) {
        let id = entry["request"]["id"].as_str().unwrap_or_default().to_owned();
        let pair = pairs.entry(id).or_default();
        match entry["type"].as_str() {
            Some("request") => pair.0 += 1,
            Some("response") => pair.1 += 1,
            _ => {}
        }
    }
    pairs.remove("");
    pairs
}

#[tokio::test]
async fn g13_whatever_reached_routing_has_its_two_entries() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let rig = Rig::furnished().await;
    enable(&rig, "file", &file).await;
    let before = pairs(&file).len();
    let login = json!({"role_id": "x", "secret_id": "y"});
    let asks = [
        (Op::Write, "secret/data/a", rig.root.as_str(), json!({"data": {"k": "v"}}), 200),
        (Op::Read, "secret/data/a", "", Value::Null, 403),
        (Op::Read, "secret/data/a", "hvs.garbage", Value::Null, 403),
        (Op::Read, "secret/data/missing", rig.root.as_str(), Value::Null, 404),
        (Op::Read, "no/mount", rig.root.as_str(), Value::Null, 404),
        (Op::Read, "no/mount", "", Value::Null, 403),
        (Op::Patch, "sys/mounts", rig.root.as_str(), json!({}), 405),
        (Op::Write, "auth/approle/login", "", login, 400),
        (Op::Write, "sys/wrapping/unwrap", "", json!({"token": "x"}), 400),
        (Op::Write, "secret/data/a", rig.root.as_str(), json!({"data": 7}), 400),
        (Op::Read, "sys/internal/ui/mounts", "", Value::Null, 200),
    ];
    let count = asks.len();
    for (op, path, token, body, status) in asks {
        rig.ask(op, path, token, body).await.is(status);
    }
    let pairs = pairs(&file);
    assert_eq!(pairs.len(), before + count);
    let uneven: Vec<_> = pairs.iter().filter(|(_, pair)| **pair != (1, 1)).collect();
    // The request that enabled the device has only its answer there.
    assert!(uneven.len() <= 1, "{uneven:?}");
}

#[tokio::test]
async fn invariant_i1_the_entry_of_the_answer_is_written_when_the_answer_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let rig = Rig::furnished().await;
    enable(&rig, "file", &file).await;
    for number in 0..100 {
        let path = format!("secret/data/{number}");
        let answer = rig.root(Op::Write, &path, json!({"data": {"k": "v"}})).await.is(200);
        assert_eq!(pairs(&file).get(&answer.text("/request_id")), Some(&(1, 1)), "{path}");
    }
}

#[tokio::test]
async fn invariant_i10_no_value_and_no_token_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let rig = Rig::furnished().await;
    enable(&rig, "file", &file).await;
    let value = String::from_utf8(canary("value").expose().to_vec()).unwrap();
    rig.root(Op::Write, "secret/data/a", json!({"data": {"k": value, "n": {"deep": [value]}}})).await.is(200);
    rig.root(Op::Read, "secret/data/a", Value::Null).await.is(200);
    rig.root(Op::Write, "kv/a", json!({"k": value})).await.is(204);
    rig.root(Op::Write, "secret/data/a", json!({ "data": value })).await.is(400);
    let hour = Duration::from_secs(3_600);
    let wrapped =
        rig.ask_wrapped(hour, Op::Read, "secret/data/a", &rig.root, Value::Null).await.wrapping_token();
    rig.ask(Op::Write, "sys/wrapping/unwrap", "", json!({ "token": wrapped })).await.is(200);
    let made = rig.child(&rig.root, json!({"policies": ["default"]})).await;
    rig.ask(Op::Read, "auth/token/lookup-self", &made.token(), Value::Null).await.is(200);
    rig.ask(Op::Read, "secret/data/a", &value, Value::Null).await.is(403);
    rig.root(Op::Write, "auth/approle/role/r", json!({"token_policies": "default"})).await.is(204);
    let secret_id =
        rig.root(Op::Write, "auth/approle/role/r/secret-id", json!({})).await.text("/data/secret_id");
    let role_id = rig.root(Op::Read, "auth/approle/role/r/role-id", Value::Null).await.text("/data/role_id");
    let login = json!({"role_id": role_id, "secret_id": secret_id});
    let logged_in = rig.ask(Op::Write, "auth/approle/login", "", login).await.token();
    let log = fs::read_to_string(&file).unwrap();
    for hidden in
        [&value, &rig.root, &wrapped, &made.token(), &made.text("/auth/accessor"), &secret_id, &logged_in]
    {
        let at = log.find(hidden.as_str()).map(|at| &log[at.saturating_sub(120)..at]);
        assert!(hidden.len() > 8 && at.is_none(), "after {at:?}");
    }
    assert!(log.contains("hmac-sha256:"));
}

/// A named pipe; whoever drops the reader breaks it.
fn pipe(folder: &Path, name: &str) -> (PathBuf, fs::File) {
    let path = folder.join(name);
    // By a system call: a child process would hold the readers of other tests open for a moment.
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    (path, reader)
}

#[tokio::test]
async fn g9_no_device_means_no_answer_and_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "secret/data/a", json!({"data": {"k": "HIDDEN"}})).await.is(200);
    let (path, reader) = pipe(folder.path(), "pipe");
    enable(&rig, "pipe", &path).await;
    rig.root(Op::Read, "secret/data/a", Value::Null).await.is(200);
    drop(reader);
    let before = rig.stored();
    let read = rig.root(Op::Read, "secret/data/a", Value::Null).await.is(500);
    assert!(!read.body.to_string().contains("HIDDEN"));
    rig.root(Op::Write, "secret/data/a", json!({"data": {"k": "new"}})).await.is(500);
    rig.root(Op::Write, "auth/token/create", json!({})).await.is(500);
    rig.ask(Op::Read, "secret/data/a", "", Value::Null).await.is(500);
    rig.root(Op::Read, "no/mount", Value::Null).await.is(500);
    assert_eq!(rig.stored(), before);
    // What needs no device works on, and the device can be removed.
    rig.ask(Op::Read, "sys/health", "", Value::Null).await.is(200);
    rig.root(Op::Delete, "sys/audit/pipe", Value::Null).await.is(204);
    let read = rig.root(Op::Read, "secret/data/a", Value::Null).await.is(200);
    assert_eq!(read.text("/data/data/k"), "HIDDEN");
}

/// The request's entry still fits into the pipe, the answer's does not: the work was done, but nothing of it leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_i2_an_answer_whose_entry_cannot_be_written_does_not_leave() {
    const PAGE: usize = 4_096;
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "secret/data/a", json!({"data": {"k": "HIDDEN"}})).await.is(200);
    let (path, mut reader) = pipe(folder.path(), "pipe");
    enable(&rig, "pipe", &path).await;
    let mut drained = vec![0; 16 * PAGE];
    assert!(reader.read(&mut drained).unwrap() > 0);
    rig.root(Op::Read, "secret/data/a", Value::Null).await.is(200);
    let count = reader.read(&mut drained).unwrap();
    let lines: Vec<&[u8]> = drained[..count].split_inclusive(|byte| *byte == b'\n').collect();
    let [request, response] = lines.as_slice() else { panic!("two entries, not {}", lines.len()) };
    let room = request.len() + response.len() / 2;
    reader.write_all(&vec![b'\n'; 16 * PAGE - room]).unwrap();
    let answer = rig.root(Op::Read, "secret/data/a", Value::Null).await.is(500);
    assert!(!answer.body.to_string().contains("HIDDEN"));
}

#[tokio::test]
async fn g9_one_of_two_devices_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::furnished().await;
    let (path, reader) = pipe(folder.path(), "pipe");
    enable(&rig, "pipe", &path).await;
    enable(&rig, "file", &folder.path().join("audit.log")).await;
    drop(reader);
    let answer = rig.root(Op::Write, "secret/data/a", json!({"data": {"k": "v"}})).await.is(200);
    let pairs = pairs(&folder.path().join("audit.log"));
    assert_eq!(pairs.get(&answer.text("/request_id")), Some(&(1, 1)));
}

#[tokio::test]
async fn g12_a_device_that_does_not_open_keeps_the_server_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let rig = Rig::furnished().await;
    enable(&rig, "file", &inner.join("audit.log")).await;
    rig.root(Op::Write, "sys/seal", Value::Null).await.is(204);
    fs::remove_dir_all(&inner).unwrap();
    assert!(rig.kernel.submit_share(&rig.share).await.is_err());
    rig.root(Op::Read, "sys/mounts", Value::Null).await.is(503);
    fs::create_dir(&inner).unwrap();
    rig.kernel.submit_share(&rig.share).await.unwrap();
    let answer = rig.root(Op::Read, "sys/mounts", Value::Null).await.is(200);
    assert_eq!(pairs(&inner.join("audit.log")).get(&answer.text("/request_id")), Some(&(1, 1)));
}

#[tokio::test]
async fn invariant_i2_a_seal_is_recorded_before_it_happens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let rig = Rig::furnished().await;
    enable(&rig, "file", &file).await;
    rig.root(Op::Write, "sys/seal", Value::Null).await.is(204);
    let sealed = entries(&file).into_iter().filter(|entry| entry["request"]["path"] == "sys/seal");
    assert_eq!(sealed.count(), 2);
}

/// What the entry of a request shows of these headers.
async fn shown(rig: &Rig, file: &Path, headers: &[(&str, &str)]) -> Value {
    let mut incoming = incoming(Op::Read, "sys/mounts", &rig.root, &Value::Null);
    let values_of = |name: &str| {
        let name = name.to_owned();
        headers.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_bytes())
    };
    incoming.headers = rig.kernel.audited_headers(values_of);
    answer(rig.kernel.handle(incoming).await).is(200);
    entries(file).pop().unwrap()["request"]["headers"].clone()
}

#[tokio::test]
async fn g6_headers_are_shown_by_rule_and_never_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let rig = Rig::furnished().await;
    enable(&rig, "file", &file).await;
    let rules = "sys/config/auditing/request-headers";
    let sent = [
        ("authorization", "CANARY-1"),
        ("cookie", "CANARY-2"),
        ("x-vault-token", "CANARY-3"),
        ("user-agent", "CANARY-4"),
        ("x-plain", "shown"),
        ("x-plain", "twice"),
        ("x-hidden", "CANARY-5"),
        ("x-other", "CANARY-6"),
    ];
    assert_eq!(shown(&rig, &file, &sent).await.as_object().unwrap().len(), 1);
    rig.root(Op::Write, &format!("{rules}/X-Plain"), json!({})).await.is(204);
    rig.root(Op::Write, &format!("{rules}/x-hidden"), json!({"hmac": true})).await.is(204);
    for name in ["authorization", "X-Vault-Token", "Cookie", "proxy-authorization", "a b"] {
        rig.root(Op::Write, &format!("{rules}/{name}"), json!({"hmac": true})).await.is(400);
    }
    let seen = shown(&rig, &file, &sent).await;
    assert_eq!(seen["x-plain"], json!(["shown", "twice"]));
    assert!(seen["x-hidden"][0].as_str().unwrap().starts_with("hmac-sha256:"), "{seen}");
    assert!(seen["user-agent"][0].as_str().unwrap().starts_with("hmac-sha256:"), "{seen}");
    assert_eq!(seen.as_object().unwrap().len(), 3, "{seen}");

    rig.kernel.seal().await;
    rig.kernel.submit_share(&rig.share).await.unwrap();
    let all = rig.root(Op::Read, rules, Value::Null).await.is(200);
    let rule = |hmac: bool| json!({ "hmac": hmac });
    let expected = json!({"user-agent": rule(true), "x-correlation-id": rule(true), "x-hidden": rule(true), "x-plain": rule(false)});
    assert_eq!((&all.body["headers"], &all.body["data"]["headers"]), (&expected, &expected));
    let one = rig.root(Op::Read, &format!("{rules}/x-plain"), Value::Null).await.is(200);
    assert_eq!(one.body["data"], json!({ "x-plain": rule(false) }));
    rig.root(Op::Delete, &format!("{rules}/x-plain"), Value::Null).await.is(204);
    rig.root(Op::Read, &format!("{rules}/x-plain"), Value::Null).await.is(400);
    assert_eq!(shown(&rig, &file, &sent).await.get("x-plain"), None);
    // Shown in clear by choice, and hashed again when the choice is taken back.
    rig.root(Op::Write, &format!("{rules}/user-agent"), json!({"hmac": false})).await.is(204);
    assert_eq!(shown(&rig, &file, &[("user-agent", "curl/8")]).await["user-agent"][0], "curl/8");
    rig.root(Op::Delete, &format!("{rules}/user-agent"), Value::Null).await.is(204);
    assert_ne!(shown(&rig, &file, &[("user-agent", "curl/8")]).await["user-agent"][0], "curl/8");
    assert!(!fs::read_to_string(&file).unwrap().contains("CANARY"));
}
