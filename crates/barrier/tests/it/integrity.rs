//! Critical records that are missing, or replaced by older copies of themselves (rows H3, H6, H9), keep the server
//! sealed.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_ambient::Entropy as _;
use coffre_barrier::{BarrierError, UnsealRefused, View, ViewBatch};
use coffre_storage::Store;

use super::{Cluster, SEED, barrier_over, cluster, key, random, small};

/// As the kernel keeps them.
const CRITICAL: [&str; 8] = [
    "core/policy/deny",
    "core/mount/1",
    "core/audit/file",
    "core/token/a",
    "core/child/a/b",
    "core/identity/entity/e",
    "core/lockout/x/y",
    "core/lease/id/l",
];

async fn furnished() -> Cluster {
    let cluster = cluster().await;
    for path in CRITICAL {
        cluster.root().put(path, b"first").await.unwrap();
    }
    cluster.root().put("logical/1/x", b"first").await.unwrap();
    cluster
}

/// What a new process says when the shares are given.
async fn unseal(cluster: &Cluster) -> Result<(), UnsealRefused> {
    let barrier = barrier_over(Arc::clone(&cluster.store) as Arc<dyn Store>, small());
    for share in &cluster.shares[..2] {
        barrier.submit_share(share.expose()).await?;
    }
    assert!(!barrier.is_sealed());
    Ok(())
}

/// Its table is named, if it is one of those that the index knows.
fn assert_altered(refused: &Result<(), UnsealRefused>, table: &str) {
    let named = match refused {
        Err(UnsealRefused::Failed(BarrierError::Altered { table, .. })) => Some(table.as_str()),
        _ => None,
    };
    assert_eq!(named, Some(table), "{refused:?}");
}

fn table(path: &str) -> &str {
    path.split('/').nth(1).unwrap()
}

#[tokio::test]
async fn h6_a_critical_record_that_is_missing_keeps_the_server_sealed() {
    for path in CRITICAL {
        let cluster = furnished().await;
        unseal(&cluster).await.unwrap();
        cluster.store.delete(key(&format!("data/{path}"))).await.unwrap();
        assert_altered(&unseal(&cluster).await, table(path));
    }
    for path in ["core/seal-config", "core/root-key", "core/keyring", "core/messages", "core/integrity"] {
        let cluster = furnished().await;
        cluster.store.delete(key(path)).await.unwrap();
        unseal(&cluster).await.unwrap_err();
    }
}

#[tokio::test]
async fn h3_an_older_copy_of_a_critical_record_keeps_the_server_sealed() {
    for path in CRITICAL {
        let cluster = furnished().await;
        let at = key(&format!("data/{path}"));
        let old = cluster.store.get(&at).await.unwrap().unwrap();
        cluster.root().put(path, b"second").await.unwrap();
        let index = cluster.store.get(&key("core/integrity")).await.unwrap().unwrap();
        let new = cluster.store.get(&at).await.unwrap().unwrap();
        cluster.store.put(at.clone(), old.clone()).await.unwrap();
        assert_altered(&unseal(&cluster).await, table(path));
        // Writing over it while the server runs does not heal it.
        cluster.root().put(path, b"third").await.unwrap();
        assert_altered(&unseal(&cluster).await, table(path));
        cluster.store.put(at.clone(), new).await.unwrap();
        cluster.store.put(key("core/integrity"), index).await.unwrap();
        unseal(&cluster).await.unwrap();
        // Deleted, and put back.
        cluster.root().delete(path).await.unwrap();
        cluster.store.put(at, old).await.unwrap();
        assert_altered(&unseal(&cluster).await, table(path));
    }
}

#[tokio::test]
async fn h3_an_older_index_or_seal_does_not_fit_the_records() {
    let cluster = furnished().await;
    let before: BTreeMap<String, Vec<u8>> = cluster.store.dump().into_iter().collect();
    cluster.root().put("core/token/a", b"revoked").await.unwrap();
    cluster.barrier.open().unwrap().rotate().await.unwrap();
    for path in ["core/integrity", "core/keyring", "core/messages"] {
        let now = cluster.store.get(&key(path)).await.unwrap().unwrap();
        cluster.store.put(key(path), before[path].clone()).await.unwrap();
        unseal(&cluster).await.unwrap_err();
        cluster.store.put(key(path), now).await.unwrap();
        unseal(&cluster).await.unwrap();
    }
    // Keyring and counter of one age, but not of the records' (H9).
    for path in ["core/keyring", "core/messages"] {
        cluster.store.put(key(path), before[path].clone()).await.unwrap();
    }
    unseal(&cluster).await.unwrap_err();
}

#[tokio::test]
async fn what_is_accepted_once_is_the_truth_from_then_on() {
    let cluster = furnished().await;
    cluster.store.delete(key("data/core/policy/deny")).await.unwrap();
    unseal(&cluster).await.unwrap_err();
    let barrier = barrier_over(Arc::clone(&cluster.store) as Arc<dyn Store>, small());
    barrier.accept_rollback_once();
    for share in &cluster.shares[..2] {
        barrier.submit_share(share.expose()).await.unwrap();
    }
    barrier.open().unwrap().view("").put("core/policy/deny", b"again").await.unwrap();
    unseal(&cluster).await.unwrap();
    cluster.store.delete(key("data/core/policy/deny")).await.unwrap();
    barrier.seal().await;
    let mut last = Ok(());
    for share in &cluster.shares[..2] {
        last = barrier.submit_share(share.expose()).await.map(|_| ());
    }
    assert_altered(&last, "policy");
}

/// Any sequence of batches, several at once, with folders removed and expectations that fail: the index agrees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_follows_whatever_is_done_at_once() {
    let cluster = cluster().await;
    let random = Arc::new(random(SEED));
    for _ in 0..20 {
        let tasks = (0..8).map(|_| {
            let (view, random) = (cluster.root(), Arc::clone(&random));
            tokio::spawn(async move {
                for _ in 0..10 {
                    change(&view, &random).await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        cluster.barrier.open().unwrap().rotate().await.unwrap();
        unseal(&cluster).await.unwrap();
    }
}

async fn change(view: &View, random: &coffre_ambient::SeededEntropy) {
    let mut bytes = [0; 8];
    random.fill(&mut bytes).unwrap();
    let path = |byte: u8| format!("core/t{}/k{}", byte % 2, byte % 5);
    let [a, b, c, d, ..] = bytes;
    let mut batch = ViewBatch::new().put(path(a), b"v".to_vec()).put(path(b), b"w".to_vec());
    batch = match d % 5 {
        0 => batch.delete(path(c)),
        1 => batch.delete_prefix(format!("core/t{}/", c % 2)).put(path(c), b"x".to_vec()),
        2 => batch.expect_absent(path(c)),
        3 => batch.put(path(c), b"y".to_vec()).delete_prefix("core/t0"),
        _ => batch.put("logical/x", b"z".to_vec()),
    };
    let done = view.transact(batch).await;
    assert!(matches!(done, Ok(()) | Err(BarrierError::Exists(_))), "{done:?}");
}
