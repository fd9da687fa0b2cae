use std::collections::BTreeMap;
use std::future::ready;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::Key;
use crate::store::{Batch, Page, Records, Step, Store, StoreError, StoreFuture};

/// A store that lives as long as the process: for tests and for `server -dev`.
#[derive(Debug, Default)]
pub struct Memory(RwLock<BTreeMap<String, Vec<u8>>>);

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that is stored, in order: for tests that look at what rests.
    pub fn dump(&self) -> Vec<(String, Vec<u8>)> {
        self.read().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut records = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = batch.absent().iter().find(|key| records.contains_key(key.as_str())) {
            return Err(StoreError::Exists(key.clone()));
        }
        let more = batch.testimony(&*records)?;
        for step in batch.into_steps().into_iter().chain(more) {
            match step {
                Step::Put(key, value) => {
                    records.insert(key.into_string(), value);
                }
                Step::Delete(key) => {
                    records.remove(key.as_str());
                }
                Step::DeletePrefix(prefix) => records.retain(|key, _| !key.starts_with(&prefix)),
            }
        }
        Ok(())
    }

    fn page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page {
        let records = self.read();
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut matching = records
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix));
        let keys = matching.by_ref().take(limit).cloned().collect();
        Page { keys, more: matching.next().is_some() }
    }
}

impl Records for BTreeMap<String, Vec<u8>> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(Self::get(self, key.as_str()).cloned())
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let from = self.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        Ok(from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect())
    }
}

impl Store for Memory {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(ready(Ok(self.read().get(key.as_str()).cloned())))
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        Box::pin(ready(Ok(self.page(prefix, after, limit))))
    }

    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.apply(batch) })
    }

    fn kind(&self) -> &'static str {
        "inmem"
    }
}
