//! KV version 2 under concurrent callers: check and set has one winner, no write is lost, hanging up breaks nothing.

use std::sync::Arc;
use std::time::Duration;

use coffre_engines::kv::v2::KvV2;
use coffre_storage::{Batch, Key, Memory, Page, Store, StoreError, StoreFuture};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::rig::{in_memory, mount};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_check_and_sets_exactly_one_wins() {
    let rig = Arc::new(in_memory(KvV2).await);
    for round in 0..5 {
        let tasks = (0..200).map(|who| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move {
                let body = json!({ "data": { "who": who }, "options": { "cas": round } });
                (who, rig.put("data/a", body).await.status)
            })
        });
        let mut winners = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            let (who, status) = task.await.unwrap();
            assert!(status == 200 || status == 400, "{status}");
            winners.extend((status == 200).then_some(who));
        }
        assert_eq!(winners.len(), 1, "round {round}");
        let read = rig.get("data/a").await.data;
        assert_eq!(
            (&read["data"]["who"], &read["metadata"]["version"]),
            (&json!(winners[0]), &json!(round + 1))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_patches_lose_nothing() {
    let rig = Arc::new(in_memory(KvV2).await);
    rig.put("data/a", json!({ "data": {} })).await;
    let tasks = (0..100).map(|n| {
        let rig = Arc::clone(&rig);
        tokio::spawn(
            async move { rig.patch("data/a", json!({ "data": { format!("k{n}"): n } })).await.status },
        )
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), 200);
    }
    let read = rig.get("data/a").await.data;
    assert_eq!(read["data"].as_object().unwrap().len(), 100);
    assert_eq!(read["metadata"]["version"], json!(101));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_always_see_whole_versions() {
    let rig = Arc::new(in_memory(KvV2).await);
    rig.put("config", json!({ "max_versions": 2 })).await;
    rig.put("data/a", json!({ "data": { "n": 1 } })).await;
    let writer = {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move {
            for n in 2..=300 {
                rig.put("data/a", json!({ "data": { "n": n } })).await;
            }
        })
    };
    let mut seen = 0;
    while !writer.is_finished() {
        let read = rig.get("data/a").await;
        let version = read.data["metadata"]["version"].as_u64().unwrap();
        assert_eq!((read.status, &read.data["data"]["n"]), (200, &json!(version)));
        assert!(version >= seen);
        seen = version;
        if version == 1 {
            // There is none before, and 0 would ask for the latest.
            tokio::task::yield_now().await;
            continue;
        }
        // The version before may be given up at any time, but is never there by half.
        let before = rig.get(&format!("data/a?version={}", version - 1)).await;
        match before.status {
            200 => assert_eq!(before.data["data"]["n"], json!(version - 1)),
            404 => assert_eq!(before.text, ""),
            other => panic!("{other} {}", before.error),
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

/// A store that applies batches one after the other and late, also those whose caller has hung up.
struct Late {
    inner: Arc<Memory>,
    queue: UnboundedSender<(Batch, oneshot::Sender<Result<(), StoreError>>)>,
}

impl Late {
    fn new() -> Self {
        let inner = Arc::new(Memory::new());
        let (queue, mut queued) = unbounded_channel::<(Batch, oneshot::Sender<_>)>();
        let memory = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Some((batch, answer)) = queued.recv().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
                let _ = answer.send(memory.transact(batch).await);
            }
        });
        Self { inner, queue }
    }
}

impl Store for Late {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.inner.get(key)
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        self.inner.list_page(prefix, after, limit)
    }

    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.queue.send((batch, answer)).unwrap();
            answered.await.unwrap()
        })
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_who_hang_up_leave_a_consistent_secret() {
    let rig = Arc::new(mount(KvV2, Arc::new(Late::new())).await);
    for n in 0..30_u64 {
        for _ in 0..2 {
            rig.put("data/a", json!({ "data": { "n": n } })).await;
        }
        let hung_up = {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.put("destroy/a", json!({ "versions": [1, 2] })).await })
        };
        tokio::time::sleep(Duration::from_micros(n * 50)).await;
        hung_up.abort();
        // This change must start from what the storage makes of the one before.
        assert_eq!(rig.put("data/a", json!({ "data": { "n": n } })).await.status, 200);
        for version in 1..=3 {
            let read = rig.get(&format!("data/a?version={version}")).await;
            assert!(matches!(read.status, 200 | 404), "round {n}, version {version}: {}", read.error);
        }
        rig.delete("metadata/a").await;
    }
}
