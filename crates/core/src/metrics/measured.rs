use std::sync::Arc;

use coffre_ambient::Clock;
use coffre_storage::{Batch, Key, Page, Store, StoreError, StoreFuture};

use super::meters::{Meters, StorageOp};

/// A storage whose operations are counted and timed.
pub(crate) struct Measured {
    inner: Arc<dyn Store>,
    meters: Arc<Meters>,
    clock: Arc<dyn Clock>,
}

impl Measured {
    pub(crate) fn new(inner: Arc<dyn Store>, meters: Arc<Meters>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, meters, clock }
    }

    async fn timed<T>(&self, op: StorageOp, work: StoreFuture<'_, T>) -> Result<T, StoreError> {
        let began = self.clock.boot();
        let done = work.await;
        self.meters.storage(op, self.clock.boot().saturating_sub(began), done.is_err());
        done
    }
}

impl Store for Measured {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(self.timed(StorageOp::Get, self.inner.get(key)))
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        Box::pin(self.timed(StorageOp::List, self.inner.list_page(prefix, after, limit)))
    }

    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        Box::pin(self.timed(StorageOp::Write, self.inner.transact(batch)))
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
}
