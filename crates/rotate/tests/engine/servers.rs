//! The same engine against real servers over HTTP: our own in memory and on redb, and any other that is on PATH. What is
//! absent is said.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_ambient::{Clock as _, SystemClock, SystemEntropy};
use coffre_client::{Body, Client};
use coffre_rotate::{ClientKv, FailureKind, Kv as _, LogSink, Manage, Parts, Rotating, Rotator};
use coffre_rotation::{Kind, Settings, Target as Name};
use coffre_secret::SecretText;
use serde_json::json;

use crate::outside::{Sim, World};
use crate::stage::{FIRST, KINDS};

struct Running {
    child: Child,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Our own program, if it was built beside this test.
fn ours() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let beside = test.parent()?.parent()?.join("coffre");
    beside.exists().then_some(beside)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().ok()?;
    let path = String::from_utf8(found.stdout).ok()?;
    (found.status.success() && !path.trim().is_empty()).then(|| PathBuf::from(path.trim()))
}

fn spawn(program: &PathBuf, args: &[String], folder: &tempfile::TempDir) -> Child {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder.path()).env("HOME", folder.path());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn dev(program: &PathBuf) -> Running {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let flags = ["server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token"].map(str::to_owned);
    let address = format!("-dev-listen-address=127.0.0.1:{port}");
    let child = spawn(program, &flags.into_iter().chain([address]).collect::<Vec<_>>(), &folder);
    let client =
        Client::builder().address(format!("http://127.0.0.1:{port}")).token(SecretText::from("root"));
    answered(Running { child, client: client.build().unwrap(), _folder: folder }).await
}

async fn answered(running: Running) -> Running {
    for _ in 0..200 {
        if running.client.without_token().read("sys/seal-status").await.is_ok() {
            return running;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server does not answer");
}

/// Our own server with its file, initialised and unsealed.
async fn on_redb(program: &PathBuf) -> Running {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let config = format!(
        "storage \"redb\" {{ path = \"{}/store\" }}\nlistener \"tcp\" {{ address = \"127.0.0.1:{port}\"\n tls_disable = true }}\n",
        folder.path().display()
    );
    std::fs::write(folder.path().join("server.hcl"), config).unwrap();
    let child = spawn(program, &["server".to_owned(), "-config=server.hcl".to_owned()], &folder);
    let client = Client::builder().address(format!("http://127.0.0.1:{port}")).build().unwrap();
    let mut running = answered(Running { child, client, _folder: folder }).await;
    let body = Body::json(&json!({"secret_shares": 1, "secret_threshold": 1})).unwrap();
    let made: serde_json::Value =
        running.client.write("sys/init", body).await.unwrap().unwrap().body().unwrap();
    let key = Body::json(&json!({"key": made["keys"][0]})).unwrap();
    running.client.write("sys/unseal", key).await.unwrap();
    running.client = running.client.with_token(SecretText::from(made["root_token"].as_str().unwrap()));
    running
}

/// The properties of KV v2 that everything rests on.
async fn properties(kv: &ClientKv) {
    let text = |value: u32| SecretText::new(format!("{{\"n\":{value}}}"));
    kv.manage("prod/kv", Manage::Guard { max_versions: 2 }).await.unwrap();
    assert_eq!(kv.metadata("prod/kv").await.unwrap().unwrap().current, 0);
    assert!(kv.read("prod/kv", None).await.unwrap().is_none());
    assert_eq!(kv.write("prod/kv", &text(1), 0).await.unwrap(), 1);
    let refused = kv.write("prod/kv", &text(2), 0).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Conflict, "{refused}");
    for cas in 1..4 {
        assert_eq!(kv.write("prod/kv", &text(2), cas).await.unwrap(), cas + 1);
    }
    let known = kv.metadata("prod/kv").await.unwrap().unwrap();
    assert!(known.cas_required && known.max_versions == 2 && known.current == 4);
    assert_eq!(known.versions.keys().copied().collect::<Vec<_>>(), [3, 4]);
    kv.manage("prod/kv", Manage::Custom([("rot.phase".to_owned(), "IDLE".to_owned())].into())).await.unwrap();
    assert_eq!(kv.metadata("prod/kv").await.unwrap().unwrap().custom["rot.phase"], "IDLE");
    kv.manage("prod/kv", Manage::Destroy(vec![3])).await.unwrap();
    let gone = kv.read("prod/kv", Some(3)).await.unwrap().unwrap();
    assert!(gone.destroyed && gone.document.is_none());
    assert!(kv.list("prod").await.unwrap().contains(&"kv".to_owned()));
    let (told, ours) = (kv.server_time().unwrap(), SystemClock.wall());
    assert!(told.since(ours).max(ours.since(told)) < Duration::from_secs(5), "{told:?} {ours:?}");
}

fn settings(kind: Kind) -> Settings {
    let short = Duration::from_millis(20);
    let mut settings = Settings::of(kind);
    settings.token_lifetime = Some(short);
    (settings.allowance, settings.grace) = (Duration::from_millis(100), short);
    settings
}

/// A whole rotation of each kind, in real time, with short waits.
async fn rotations(client: &Client, kv: &ClientKv) {
    let policy = SecretText::from(r#"{"soft_ttl":"1s","max_stale":"1s"}"#);
    kv.write("prod/_rot/policy", &policy, 0).await.unwrap();
    for kind in KINDS {
        let name = Name::new(&format!("app/{kind}")).unwrap();
        let first = SecretText::new(format!("{{\"value\":\"{FIRST}\"}}"));
        kv.write(&format!("prod/{name}"), &first, 0).await.unwrap();
        let world = Arc::new(Mutex::new(World::default()));
        let principal = if kind == Kind::PgAlternating { "app_a" } else { "app" };
        world.lock().unwrap().accepted.entry(principal.to_owned()).or_default().insert(FIRST.to_owned());
        let (of_engine, clock) = (client.clone(), Arc::new(SystemClock));
        let parts = Parts {
            kv: Arc::new(ClientKv::new(move || of_engine.clone(), "app", Arc::clone(&clock) as _)),
            environment: "prod".to_owned(),
            holder: "host/boot/1".to_owned(),
            targets: vec![Rotating {
                name: name.clone(),
                settings: settings(kind),
                kind: Arc::new(Sim { kind, world: Arc::clone(&world), plan: Arc::default() }),
                before: None,
                followed: false,
            }],
            clock,
            entropy: Arc::new(SystemEntropy),
            sink: Arc::new(LogSink),
        };
        let engine = Rotator::new(parts).unwrap();
        match kind {
            Kind::External => engine.provide(&name, SecretText::from("brought")).await.unwrap(),
            _ => engine.now(&name, false).await.unwrap(),
        }
        for _ in 0..400 {
            engine.drive(&name, 50).await.unwrap();
            let _ = if kind == Kind::External { engine.confirm_revoked(&name).await } else { Ok(()) };
            let status = engine.status().await;
            if status[0].active == 2 && status[0].retiring.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let status = engine.status().await.remove(0);
        assert_eq!((status.active, status.phase.as_str()), (2, "IDLE"), "{kind}: {status:?}");
        let (events, holds) = engine.history(&name, 100).await.unwrap();
        assert!(holds && !events.is_empty(), "{kind}");
        let known = kv.metadata(&format!("prod/{name}")).await.unwrap().unwrap();
        assert!(known.cas_required && known.custom["rot.phase"] == "IDLE", "{kind}: {known:?}");
    }
}

async fn suite(what: &str, running: &Running) {
    let client = &running.client;
    let body = Body::json(&json!({"type": "kv", "options": {"version": "2"}})).unwrap();
    client.write("sys/mounts/app", body).await.unwrap();
    let of_kv = client.clone();
    let kv = ClientKv::new(move || of_kv.clone(), "app", Arc::new(SystemClock));
    // A fresh mount of another server may still be upgrading itself.
    for _ in 0..100 {
        if kv.list("prod").await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    properties(&kv).await;
    rotations(client, &kv).await;
    crate::say(&format!(
        "engine suite: {} kinds and the properties of KV v2, green against {what}",
        KINDS.len()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_against_every_server_there_is() {
    match ours() {
        Some(program) => {
            suite("our server in memory", &dev(&program).await).await;
            suite("our server on redb", &on_redb(&program).await).await;
        }
        None => {
            crate::say("engine suite: SKIPPED for our own server: build it with `cargo build -p coffre-cli`");
        }
    }
    for name in ["bao", "vault"] {
        match on_path(name) {
            Some(program) => suite(name, &dev(&program).await).await,
            None => crate::say(&format!("engine suite: SKIPPED for {name}: it is not on PATH")),
        }
    }
}
