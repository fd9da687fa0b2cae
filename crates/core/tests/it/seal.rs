//! Init, unseal, seal (rows F5, F6, F8; invariant I9).

use std::sync::Arc;

use coffre_ambient::{Clock, ManualClock, SystemEntropy};
use coffre_api::{BoxFuture, Op};
use coffre_core::{Kernel, Settings};
use coffre_storage::{Batch, Key, Memory, Page, Store, StoreFuture};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::rig::{Answer, Late, Rig, START, Turns, answer, incoming};

fn fresh(store: Arc<dyn Store>) -> Arc<Kernel> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(START));
    Kernel::new(store, clock, Arc::new(SystemEntropy), Settings::default())
}

async fn ask(kernel: &Arc<Kernel>, op: Op, path: &str, token: &str, body: Value) -> Answer {
    answer(kernel.handle(incoming(op, path, token, &body)).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f6_of_20_inits_at_once_exactly_one_succeeds_and_its_keys_work() {
    for _ in 0..5 {
        let store: Arc<dyn Store> = Arc::new(Turns::new());
        // Two processes on one storage.
        let kernels = [fresh(Arc::clone(&store)), fresh(store)];
        let inits: Vec<_> = (0..20)
            .map(|number: usize| {
                let kernel = Arc::clone(&kernels[number % 2]);
                let body = json!({"secret_shares": 3, "secret_threshold": 2});
                tokio::spawn(async move { ask(&kernel, Op::Write, "sys/init", "", body).await })
            })
            .collect();
        let mut keys = Vec::new();
        for init in inits {
            let answer = init.await.unwrap();
            match answer.status {
                200 => keys.push(answer),
                status => assert_eq!(status, 400, "{answer:?}"),
            }
        }
        assert_eq!(keys.len(), 1);
        for share in [0, 2] {
            let body = json!({"key": keys[0].body["keys"][share]});
            ask(&kernels[0], Op::Write, "sys/unseal", "", body).await.is(200);
        }
        let root = keys[0].text("/root_token");
        ask(&kernels[0], Op::Read, "sys/mounts", &root, Value::Null).await.is(200);
    }
}

#[tokio::test]
async fn f5_odd_share_counts_are_refused() {
    for (shares, threshold) in [(1, 2), (3, 1), (0, 0), (256, 2), (-1, -1), (3, 0), (2, 3)] {
        let kernel = fresh(Arc::new(Memory::new()));
        let body = json!({"secret_shares": shares, "secret_threshold": threshold});
        ask(&kernel, Op::Write, "sys/init", "", body).await.is(400);
        let status = ask(&kernel, Op::Read, "sys/init", "", Value::Null).await;
        assert_eq!(status.body["initialized"], false);
    }
}

#[tokio::test]
async fn invariant_i9_sealed_answers_only_what_says_so() {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "sys/seal", Value::Null).await.is(204);
    for (op, path) in [
        (Op::Read, "sys/mounts"),
        (Op::Read, "secret/data/a"),
        (Op::Write, "auth/approle/login"),
        (Op::Write, "sys/wrapping/unwrap"),
        (Op::Read, "sys/internal/ui/mounts"),
        (Op::Write, "sys/seal"),
        (Op::Read, "no/such/path"),
    ] {
        rig.root(op, path, Value::Null).await.is(503);
    }
    let status = rig.ask(Op::Read, "sys/seal-status", "", Value::Null).await.is(200);
    assert_eq!(status.body["sealed"], true);
    rig.ask(Op::Read, "sys/health", "", Value::Null).await.is(503);
    rig.kernel.submit_share(&rig.share).await.unwrap();
    rig.root(Op::Read, "sys/mounts", Value::Null).await.is(200);
    rig.ask(Op::Read, "sys/health", "", Value::Null).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f8_after_the_answer_to_seal_nothing_is_read_or_written() {
    for round in 0..20 {
        let rig = Arc::new(Rig::furnished().await);
        let users: Vec<_> = (0..50)
            .map(|number| {
                let rig = Arc::clone(&rig);
                tokio::spawn(async move {
                    for turn in 0..200 {
                        let path = format!("secret/data/{number}-{turn}");
                        let body = json!({"data": {"k": "v"}});
                        let status = rig.root(Op::Write, &path, body).await.status;
                        assert!(matches!(status, 200 | 503), "{status}");
                        if status == 503 {
                            return;
                        }
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        rig.root(Op::Write, "sys/seal", Value::Null).await.is(204);
        assert!(rig.kernel.active().is_none(), "round {round}");
        assert!(rig.kernel.barrier().is_sealed(), "round {round}");
        let rested = rig.stored();
        rig.root(Op::Write, "secret/data/late", json!({"data": {}})).await.is(503);
        for user in users {
            user.await.unwrap();
        }
        assert_eq!(rig.stored(), rested, "round {round}");
    }
}

/// A store that holds `transact` back while its gate is shut.
struct Gated {
    memory: Memory,
    gate: Semaphore,
}

impl Store for Gated {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.memory.get(key)
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        Box::pin(async move {
            // The index is compared before the barrier opens; what is held back are the kernel's own tables.
            let is_table = prefix != "data/core/";
            let _open = if is_table { self.gate.acquire().await.ok() } else { None };
            self.memory.list_page(prefix, after, limit).await
        })
    }

    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        let done: BoxFuture<'_, _> = self.memory.transact(batch);
        done
    }

    fn kind(&self) -> &'static str {
        "gated"
    }
}

#[tokio::test]
async fn invariant_i9_until_the_tables_are_read_the_server_says_that_it_is_sealed() {
    let store = Arc::new(Gated { memory: Memory::new(), gate: Semaphore::new(1) });
    let kernel = fresh(Arc::clone(&store) as Arc<dyn Store>);
    let keys = kernel.init(1, 1, None).await.unwrap();
    let held = store.gate.acquire().await.unwrap();
    let share = keys.shares[0].expose().to_vec();
    let opening = tokio::spawn({
        let kernel = Arc::clone(&kernel);
        async move { kernel.submit_share(&share).await.map(|status| status.sealed) }
    });
    while kernel.barrier().is_sealed() {
        tokio::task::yield_now().await;
    }
    let status = ask(&kernel, Op::Read, "sys/seal-status", "", Value::Null).await;
    let health = ask(&kernel, Op::Read, "sys/health", "", Value::Null).await;
    assert_eq!((status.body["sealed"].clone(), health.status), (json!(true), 503));
    drop(held);
    assert!(!opening.await.unwrap().unwrap());
    let status = ask(&kernel, Op::Read, "sys/seal-status", "", Value::Null).await;
    assert_eq!(status.body["sealed"], false);
}

#[tokio::test]
async fn invariant_i9_a_storage_that_hangs_does_not_keep_the_keys_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Late::default());
    let kernel = fresh(Arc::clone(&store) as Arc<dyn Store>);
    let root = kernel.start_dev(None).await.unwrap().root_token.expose().to_owned();
    let body = json!({"type": "file", "options": {"file_path": folder.path().join("audit.log")}});
    ask(&kernel, Op::Write, "sys/audit/file", &root, body).await.is(204);
    store.armed.store(true, std::sync::atomic::Ordering::SeqCst);
    tokio::time::pause();
    let sealed = tokio::time::timeout(std::time::Duration::from_secs(60), kernel.seal()).await;
    assert!(sealed.is_ok() && kernel.barrier().is_sealed());
}
