//! Every backend passes the same suite, and the suite notices a backend that does not.
#![expect(clippy::print_stdout, reason = "the seed of a run is printed")]

use coffre_storage::conformance::{Deviation, check};
use coffre_storage::redb::{Redb, RedbOptions};
use coffre_storage::{Batch, Key, Memory, Page, Store, StoreFuture};

#[expect(clippy::disallowed_methods, reason = "a seed for tests, from who runs them")]
fn seed() -> u64 {
    let seed = std::env::var("COFFRE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122);
    println!("seed {seed}");
    seed
}

#[tokio::test]
async fn memory_conforms() {
    for history in 0..20 {
        check(&Memory::new(), seed() + history, 200).await.unwrap();
    }
}

#[tokio::test]
async fn redb_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let store = Redb::open(&directory.path().join("data"), RedbOptions::default()).unwrap();
    check(&store, seed(), 300).await.unwrap();
}

/// Ignores expectations.
struct Careless(Memory);

impl Store for Careless {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.0.get(key)
    }
    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        self.0.list_page(prefix, after, limit)
    }
    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        let steps = batch.into_steps();
        let careless = steps.into_iter().fold(Batch::new(), Batch::step);
        self.0.transact(careless)
    }
    fn kind(&self) -> &'static str {
        "careless"
    }
}

#[tokio::test]
async fn the_suite_notices_a_backend_that_ignores_expectations() {
    let found = check(&Careless(Memory::new()), seed(), 10).await;
    assert!(matches!(found, Err(Deviation::Wrong(_))), "{found:?}");
}
