//! Message numbers and nonces: none is used twice, restarts skip and never repeat, and keys are replaced in time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coffre_barrier::{BarrierError, Limits, ViewBatch, record};
use coffre_storage::faults::{Fault, Faulty};
use coffre_storage::{Batch, Key, Memory, Page, Store, StoreFuture};

use super::{Cluster, SEED, cluster, key, random, small};

/// Remembers every record that was ever written.
#[derive(Default)]
struct Watched {
    inner: Memory,
    written: std::sync::Mutex<Vec<(String, Vec<u8>)>>,
}

impl Store for Watched {
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
        for step in batch.steps() {
            if let coffre_storage::Step::Put(key, value) = step {
                self.written.lock().unwrap().push((key.to_string(), value.clone()));
            }
        }
        self.inner.transact(batch)
    }
    fn kind(&self) -> &'static str {
        "watched"
    }
}

/// The records of views: (term, number, nonce) of each.
fn headers(store: &Watched) -> Vec<(u32, u64, Vec<u8>)> {
    let written = store.written.lock().unwrap();
    let data = written.iter().filter(|(key, _)| key.starts_with("data/"));
    data.map(|(_, bytes)| {
        let header = record::header(bytes).unwrap();
        (header.term, header.version, bytes[13..25].to_vec())
    })
    .collect()
}

fn check_uniqueness(store: &Watched, limit: u64) {
    let headers = headers(store);
    let numbers: BTreeSet<u64> = headers.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers.len(), headers.len(), "a message number was used twice");
    let nonces: BTreeSet<&Vec<u8>> = headers.iter().map(|(_, _, nonce)| nonce).collect();
    assert_eq!(nonces.len(), headers.len(), "a nonce was used twice");
    let mut per_term = BTreeMap::<u32, u64>::new();
    headers.iter().for_each(|(term, ..)| *per_term.entry(*term).or_default() += 1);
    for (term, count) in per_term {
        assert!(count <= limit, "term {term} sealed {count} messages");
    }
}

/// H7, H8: many writers, many restarts, a small limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h7_numbers_never_repeat_and_no_key_is_worn_out() {
    let limits = Limits { messages_per_key: 1_000, reserve: 64, ..small() };
    let mut cluster = Cluster::over(Watched::default(), limits).await;
    for restart in 0..20 {
        let writers = (0..8).map(|writer| {
            let view = cluster.root().sub(&format!("w{writer}/"));
            tokio::spawn(async move {
                for n in 0..40 {
                    if n % 10 == 0 {
                        let batch =
                            (0..5).fold(ViewBatch::new(), |batch, m| batch.put(format!("b{m}"), vec![n]));
                        view.transact(batch).await.unwrap();
                    } else {
                        view.put(&format!("k{n}"), &[n]).await.unwrap();
                    }
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        check_uniqueness(&cluster.store, 1_000);
        // Not sealed before: as after a crash.
        cluster = cluster.restarted();
        cluster.unseal().await;
        for writer in 0..8 {
            let found = cluster.root().get(&format!("w{writer}/k39")).await.unwrap().unwrap();
            assert_eq!(found.expose(), &[39], "restart {restart}");
        }
    }
    let status = cluster.barrier.open().unwrap().key_status().unwrap();
    assert!(status.term >= 8, "8,960 messages took {} terms of 1,000", status.term);
}

/// A reservation or a rotation that fails, at any operation, repeats no number and loses no record.
#[tokio::test]
async fn failures_at_any_operation_are_survived() {
    let random = random(SEED);
    let limits = Limits { messages_per_key: 40, reserve: 7, ..small() };
    let mut cluster = Cluster::over(Faulty::new(Watched::default()), limits).await;
    let mut model = BTreeMap::<String, u8>::new();
    for round in 0..600_u32 {
        let fault = [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown][(random.below(3)) as usize];
        if random.below(3) == 0 {
            cluster.store.fail_nth(1 + random.below(4), fault);
        }
        let (path, value) = (format!("k{}", random.below(20)), random.below(256) as u8);
        match cluster.root().put(&path, &[value]).await {
            Ok(()) => drop(model.insert(path, value)),
            // Not known: read what came of it.
            Err(_) => match cluster.root().get(&path).await {
                Ok(Some(found)) => drop(model.insert(path, found.expose()[0])),
                Ok(None) => assert!(!model.contains_key(&path)),
                Err(_) => drop(model.remove(&path)),
            },
        }
        if round % 50 == 49 {
            cluster.store.fail_nth(u64::MAX / 2, fault);
            cluster = cluster.restarted();
            cluster.unseal().await;
            for (path, value) in &model {
                assert_eq!(cluster.root().get(path).await.unwrap().unwrap().expose(), &[*value], "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_batch_that_no_key_could_seal_is_refused() {
    let limits = Limits { messages_per_key: 10, reserve: 4, ..small() };
    let cluster = Cluster::over(Memory::new(), limits).await;
    let batch = |count: u8| (0..count).fold(ViewBatch::new(), |batch, n| batch.put(format!("k{n}"), vec![n]));
    let refused = cluster.root().transact(batch(11)).await;
    assert!(matches!(refused, Err(BarrierError::BatchTooLarge(11))), "{refused:?}");
    for _ in 0..5 {
        cluster.root().transact(batch(10)).await.unwrap();
    }
    assert_eq!(cluster.root().get("k9").await.unwrap().unwrap().expose(), &[9]);
}

/// H8: the limit that operators set, also after many restarts, where numbers are skipped and never given back.
#[tokio::test]
async fn h8_a_lower_limit_makes_new_keys_before_it_is_reached() {
    let mut cluster = Cluster::over(Watched::default(), Limits { reserve: 16, ..small() }).await;
    for round in 0..10 {
        cluster.barrier.open().unwrap().limit_messages(100);
        for n in 0..150_u32 {
            cluster.root().put(&format!("{round}/{n}"), b"v").await.unwrap();
        }
        let status = cluster.barrier.open().unwrap().key_status().unwrap();
        assert!(status.messages <= 100, "{status:?}");
        assert!(status.term > round, "{status:?}");
        cluster = cluster.restarted();
        cluster.unseal().await;
    }
    check_uniqueness(&cluster.store, 100);
}

#[tokio::test]
async fn reservations_are_made_ahead_and_seldom() {
    let cluster = Cluster::over(Watched::default(), small()).await;
    for n in 0..300_u32 {
        cluster.root().put("k", &n.to_be_bytes()).await.unwrap();
    }
    let reservations = {
        let written = cluster.store.written.lock().unwrap();
        written.iter().filter(|(key, _)| key == "core/messages").count()
    };
    assert!(reservations <= 2, "{reservations} reservations for 300 writes");
}

#[tokio::test]
async fn the_default_limit_is_the_one_of_the_standard_with_a_margin() {
    let limits = Limits::default();
    assert_eq!(limits.messages_per_key, 3_865_470_566);
    assert_eq!(limits.reserve, 65_536);
    let cluster = cluster().await;
    cluster.root().put("k", b"1").await.unwrap();
    let status = cluster.barrier.open().unwrap().key_status().unwrap();
    assert_eq!(status.term, 1);
    assert!(status.messages >= 1 && status.messages < 70_000);
    assert_eq!(status.created, 1_790_000_000_000_000_000);
}

#[tokio::test]
async fn the_store_may_be_shared() {
    let cluster = cluster().await;
    let shared: Arc<dyn Store> = Arc::clone(&cluster.store) as Arc<dyn Store>;
    assert!(shared.get(&key("core/keyring")).await.unwrap().is_some());
}
