//! After a seal: no guard, no read, no write, no key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coffre_barrier::{BarrierError, Sealed, ViewBatch};
use coffre_storage::{Batch, Key, Memory, Page, Store, StoreFuture};
use tokio::sync::Semaphore;

use super::{Cluster, cluster, small};

#[tokio::test]
async fn old_handles_fail_for_ever_and_new_ones_work() {
    let cluster = cluster().await;
    let (open, view) = (cluster.barrier.open().unwrap(), cluster.root());
    let read_only = view.read_only();
    view.put("k", b"1").await.unwrap();
    drop(open.clone());
    cluster.barrier.seal().await;
    for round in 0..2 {
        assert!(matches!(view.get("k").await, Err(BarrierError::Sealed(_))));
        assert!(matches!(read_only.get("k").await, Err(BarrierError::Sealed(_))));
        assert!(matches!(view.put("k", b"2").await, Err(BarrierError::Sealed(_))));
        assert!(matches!(view.delete("k").await, Err(BarrierError::Sealed(_))));
        assert!(matches!(view.list("", None, 9).await, Err(BarrierError::Sealed(_))));
        assert!(matches!(view.scan("", None, 9).await, Err(BarrierError::Sealed(_))));
        assert!(matches!(view.transact(ViewBatch::new()).await, Err(BarrierError::Sealed(_))));
        assert_eq!(open.derive("x").unwrap_err(), Sealed);
        assert_eq!(open.key_status().unwrap_err(), Sealed);
        assert!(matches!(open.rotate().await, Err(BarrierError::Sealed(_))));
        if round == 0 {
            assert_eq!(cluster.barrier.open().unwrap_err(), Sealed);
            cluster.unseal().await;
        }
    }
    assert_eq!(cluster.root().get("k").await.unwrap().unwrap().expose(), b"1");
}

#[tokio::test]
async fn sealing_drops_the_progress_and_may_be_repeated() {
    let cluster = cluster().await;
    cluster.barrier.seal().await;
    cluster.barrier.submit_share(cluster.shares[0].expose()).await.unwrap();
    cluster.barrier.seal().await;
    assert_eq!(cluster.barrier.status().await.unwrap().progress, 0);
    cluster.unseal().await;
}

#[tokio::test]
async fn sealing_waits_for_guards_but_not_for_ever() {
    let cluster = cluster().await;
    let guard = cluster.barrier.open().unwrap();
    let sealing = tokio::spawn({
        let barrier = Arc::clone(&cluster.barrier);
        async move { barrier.seal().await }
    });
    while !cluster.barrier.is_sealed() {
        tokio::task::yield_now().await;
    }
    // A request that runs may finish; a new one may not begin; the status answers meanwhile.
    guard.view("").put("k", b"finished").await.unwrap();
    assert_eq!(cluster.barrier.open().unwrap_err(), Sealed);
    assert!(cluster.barrier.status().await.unwrap().sealed);
    assert!(!sealing.is_finished());
    drop(guard);
    tokio::time::timeout(Duration::from_millis(90), sealing).await.expect("the guard was dropped").unwrap();
    cluster.unseal().await;
    let kept = cluster.barrier.open().unwrap();
    tokio::time::timeout(Duration::from_secs(3), cluster.barrier.seal())
        .await
        .expect("it waits a bounded time");
    assert!(matches!(kept.view("").get("k").await, Err(BarrierError::Sealed(_))));
}

/// Holds writes back, and remembers whether anything was asked of it.
#[derive(Default)]
struct Slow {
    inner: Memory,
    hold: AtomicBool,
    asked: AtomicBool,
    go: Option<Arc<Semaphore>>,
}

impl Store for Slow {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.asked.store(true, Ordering::SeqCst);
        self.inner.get(key)
    }
    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        self.asked.store(true, Ordering::SeqCst);
        self.inner.list_page(prefix, after, limit)
    }
    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        self.asked.store(true, Ordering::SeqCst);
        Box::pin(async move {
            if let (true, false, Some(go)) = (self.hold.load(Ordering::SeqCst), batch.is_empty(), &self.go) {
                drop(go.acquire().await);
            }
            self.inner.transact(batch).await
        })
    }
    fn kind(&self) -> &'static str {
        "slow"
    }
}

#[tokio::test]
async fn sealing_waits_for_writes_of_background_tasks_and_then_asks_nothing_of_the_store() {
    let go = Arc::new(Semaphore::new(0));
    let slow = Slow { go: Some(Arc::clone(&go)), ..Slow::default() };
    let cluster = Cluster::over(slow, small()).await;
    cluster.root().put("before", b"1").await.unwrap();
    cluster.store.hold.store(true, Ordering::SeqCst);
    let writing = tokio::spawn({
        let view = cluster.root();
        async move { view.put("k", b"1").await }
    });
    tokio::task::yield_now().await;
    let sealing = tokio::spawn({
        let barrier = Arc::clone(&cluster.barrier);
        async move { barrier.seal().await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!sealing.is_finished(), "a write is under way");
    go.add_permits(1);
    writing.await.unwrap().unwrap();
    let view = cluster.barrier.open();
    assert!(view.is_err());
    sealing.await.unwrap();
    cluster.store.asked.store(false, Ordering::SeqCst);
    assert!(cluster.barrier.open().is_err());
    assert!(cluster.barrier.status().await.unwrap().sealed);
    assert!(!cluster.store.asked.load(Ordering::SeqCst), "sealed, and the store was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_request_ends_as_done_or_sealed_and_nothing_is_written_afterwards() {
    for _ in 0..20 {
        let cluster = cluster().await;
        let requests = (0..50_u8).map(|n| {
            let barrier = Arc::clone(&cluster.barrier);
            tokio::spawn(async move {
                let mut done = 0;
                for step in 0..20_u8 {
                    let Ok(open) = barrier.open() else { return done };
                    match open.view("").put(&format!("k{n}/{step}"), &[step]).await {
                        Ok(()) => done += 1,
                        Err(BarrierError::Sealed(_)) => return done,
                        Err(other) => panic!("{other}"),
                    }
                    tokio::task::yield_now().await;
                }
                done
            })
        });
        let requests: Vec<_> = requests.collect();
        tokio::task::yield_now().await;
        cluster.barrier.seal().await;
        let at_seal = cluster.store.dump();
        let mut done = 0_usize;
        for request in requests {
            done += request.await.unwrap();
        }
        assert!(cluster.store.dump() == at_seal, "written after the seal was answered");
        let records = at_seal.iter().filter(|(key, _)| key.starts_with("data/")).count();
        assert_eq!(records, done);
    }
}
