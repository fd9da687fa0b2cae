//! Initialising, unsealing and sealing: which shares are taken, what is refused, and that keys go with the seal.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, ManualClock, SystemClock, SystemEntropy, Wall};
use coffre_barrier::{
    Barrier, BarrierError, InitRefused, Limits, Sealed, UnsealRefused, share_counts, share::BadShare,
};
use coffre_secret::SecretVec;
use coffre_storage::{Key, Memory, Store};

fn barrier_over(store: &Arc<Memory>) -> Arc<Barrier> {
    let limits = Limits { drain: Duration::from_millis(200), ..Limits::default() };
    let store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
    Barrier::with_limits(store, Arc::new(SystemClock), Arc::new(SystemEntropy), limits)
}

async fn initialised(shares: u8, threshold: u8) -> (Arc<Memory>, Arc<Barrier>, Vec<SecretVec>) {
    let store = Arc::new(Memory::new());
    let barrier = barrier_over(&store);
    let mut new = barrier.prepare_init(shares, threshold).await.unwrap();
    new.put("first", b"record").unwrap();
    let shares = new.commit().await.unwrap().shares;
    (store, barrier, shares)
}

async fn unseal(barrier: &Barrier, shares: &[SecretVec]) {
    for share in shares {
        barrier.submit_share(share.expose()).await.unwrap();
    }
    assert!(!barrier.is_sealed());
}

#[tokio::test]
async fn the_life_of_a_cluster() {
    let (store, barrier, shares) = initialised(5, 3).await;
    let status = barrier.status().await.unwrap();
    assert!(status.initialized && status.sealed);
    assert_eq!((status.shares, status.threshold, status.progress), (5, 3, 0));
    assert_eq!((status.cluster_id, status.nonce.as_str()), (None, ""));
    assert_eq!(barrier.open().unwrap_err(), Sealed);
    unseal(&barrier, shares.get(1..4).unwrap()).await;
    let view = barrier.open().unwrap().view("");
    assert_eq!(view.get("first").await.unwrap().unwrap().expose(), b"record");
    view.put("second", b"later").await.unwrap();
    barrier.seal().await;
    assert!(matches!(view.get("first").await, Err(BarrierError::Sealed(_))));
    let again = barrier_over(&store);
    unseal(&again, shares.get(..3).unwrap()).await;
    let view = again.open().unwrap().view("");
    assert_eq!(view.get("second").await.unwrap().unwrap().expose(), b"later");
}
