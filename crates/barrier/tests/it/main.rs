//! The barrier over a store in memory and on disk: ceremonies, records at rest, message numbers, views.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "test code")]

mod ceremonies;
mod integrity;
mod numbers;
mod on_disk;
mod records;
mod resplit;
mod sealing;
mod views;

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{ManualClock, SeededEntropy, SystemEntropy, Wall};
use coffre_barrier::{Barrier, Limits, View};
use coffre_secret::SecretVec;
use coffre_storage::{Key, Memory, Store};

const SEED: u64 = 20_261_122;

/// A cluster with its shares.
struct Cluster<S = Memory> {
    store: Arc<S>,
    barrier: Arc<Barrier>,
    shares: Vec<SecretVec>,
    limits: Limits,
}

fn small() -> Limits {
    Limits { drain: Duration::from_millis(100), ..Limits::default() }
}

fn barrier_over(store: Arc<dyn Store>, limits: Limits) -> Arc<Barrier> {
    let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(1_790_000_000)));
    Barrier::with_limits(store, clock, Arc::new(SystemEntropy), limits)
}

impl<S: Store> Cluster<S> {
    /// Initialised as 2 of 3, and unsealed.
    async fn over(store: S, limits: Limits) -> Self {
        let store = Arc::new(store);
        let barrier = barrier_over(Arc::clone(&store) as Arc<dyn Store>, limits);
        let shares = barrier.prepare_init(3, 2).await.unwrap().commit().await.unwrap().shares;
        let cluster = Self { store, barrier, shares, limits };
        cluster.unseal().await;
        cluster
    }

    async fn unseal(&self) {
        for share in &self.shares[..2] {
            self.barrier.submit_share(share.expose()).await.unwrap();
        }
        assert!(!self.barrier.is_sealed());
    }

    /// The same storage in a new process; sealed.
    fn restarted(self) -> Self {
        let barrier = barrier_over(Arc::clone(&self.store) as Arc<dyn Store>, self.limits);
        Self { barrier, ..self }
    }

    fn root(&self) -> View {
        self.barrier.open().unwrap().view("")
    }
}

async fn cluster() -> Cluster {
    Cluster::over(Memory::new(), small()).await
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn random(seed: u64) -> SeededEntropy {
    println!("seed {seed}");
    SeededEntropy::new(seed)
}
