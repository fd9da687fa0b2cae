//! A store that fails when told to, to show that callers lose nothing and acknowledge nothing wrongly.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Key;
use crate::store::{Batch, Page, Store, StoreError, StoreFuture};

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and that is said.
    Refused,
    /// A write is done, but its outcome is reported as unknown; a read fails.
    DoneUnknown,
    /// A write is not done, and its outcome is reported as unknown; a read fails.
    LostUnknown,
}

/// Counts the operations of a store and makes one of them fail.
pub struct Faulty<S> {
    inner: S,
    count: AtomicU64,
    /// Number of the operation that fails, counted from 1; 0 for none.
    fails: AtomicU64,
    fault: AtomicU64,
}

impl<S: Store> Faulty<S> {
    /// Fails nothing yet.
    pub const fn new(inner: S) -> Self {
        Self { inner, count: AtomicU64::new(0), fails: AtomicU64::new(0), fault: AtomicU64::new(0) }
    }

    /// The `nth` operation from now (1 is the next one) fails, once.
    pub fn fail_nth(&self, nth: u64, fault: Fault) {
        self.fault.store(fault as u64, Ordering::SeqCst);
        self.fails.store(self.operations().saturating_add(nth), Ordering::SeqCst);
    }

    /// How many operations were begun.
    pub fn operations(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    fn due(&self) -> Option<Fault> {
        let number = self.count.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        if number != self.fails.load(Ordering::SeqCst) {
            return None;
        }
        let faults = [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown];
        faults.into_iter().find(|fault| *fault as u64 == self.fault.load(Ordering::SeqCst))
    }
}

impl<S: Store> Store for Faulty<S> {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            match self.due() {
                Some(_) => Err(StoreError::Io(injected())),
                None => self.inner.get(key).await,
            }
        })
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        Box::pin(async move {
            match self.due() {
                Some(_) => Err(StoreError::Io(injected())),
                None => self.inner.list_page(prefix, after, limit).await,
            }
        })
    }

    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            match self.due() {
                None => self.inner.transact(batch).await,
                Some(Fault::Refused) => Err(StoreError::Io(injected())),
                Some(Fault::DoneUnknown) => {
                    self.inner.transact(batch).await?;
                    Err(StoreError::Unknown(Box::new(injected())))
                }
                Some(Fault::LostUnknown) => Err(StoreError::Unknown(Box::new(injected()))),
            }
        })
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
}

fn injected() -> std::io::Error {
    std::io::Error::other("a fault was injected")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[tokio::test]
    async fn the_nth_operation_fails_as_told() {
        let store = Faulty::new(Memory::new());
        let key = Key::new("k").unwrap();
        store.fail_nth(2, Fault::Refused);
        store.put(key.clone(), vec![1]).await.unwrap();
        assert!(matches!(store.put(key.clone(), vec![2]).await, Err(StoreError::Io(_))));
        assert_eq!(store.get(&key).await.unwrap(), Some(vec![1]));
        store.fail_nth(1, Fault::DoneUnknown);
        assert!(matches!(store.put(key.clone(), vec![3]).await, Err(StoreError::Unknown(_))));
        assert_eq!(store.get(&key).await.unwrap(), Some(vec![3]));
        store.fail_nth(1, Fault::LostUnknown);
        assert!(matches!(store.put(key.clone(), vec![4]).await, Err(StoreError::Unknown(_))));
        assert_eq!(store.get(&key).await.unwrap(), Some(vec![3]));
        store.fail_nth(1, Fault::Refused);
        assert!(store.get(&key).await.is_err());
        assert_eq!(store.operations(), 8);
    }
}
