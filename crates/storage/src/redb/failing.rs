//! A disk that fails while the store is in use: what is acknowledged, what is told, and when it works again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use ::redb::backends::InMemoryBackend;
use ::redb::{Database, StorageBackend};

use super::open::{OpenRefused, Opener, checked};
use super::{CACHE, Redb};
use crate::Key;
use crate::store::{Batch, Store, StoreError};

const WELL: u8 = 0;
const FULL: u8 = 1;
const FLUSH_FAILS: u8 = 2;
const WRITE_FAILS: u8 = 3;

/// A disk in memory, with a switch and a counter of flushes.
#[derive(Clone, Debug)]
struct Disk {
    bytes: Arc<InMemoryBackend>,
    condition: Arc<AtomicU8>,
    flush_failed: Arc<AtomicU8>,
    flushes: Arc<AtomicU64>,
    room: Arc<AtomicU64>,
    openings: Arc<AtomicU64>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            bytes: Arc::default(),
            condition: Arc::default(),
            flush_failed: Arc::default(),
            flushes: Arc::default(),
            room: Arc::new(AtomicU64::new(1 << 30)),
            openings: Arc::default(),
        }
    }
}

impl Disk {
    fn turns(&self, condition: u8) {
        self.condition.store(condition, Ordering::SeqCst);
    }

    fn is(&self, condition: u8) -> bool {
        self.condition.load(Ordering::SeqCst) == condition
    }

    fn writable(&self) -> io::Result<()> {
        if self.is(FULL) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.is(WRITE_FAILS) { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.bytes.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.bytes.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?;
        self.bytes.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        if self.is(FLUSH_FAILS) {
            self.flush_failed.store(1, Ordering::SeqCst);
            return Err(io::Error::from_raw_os_error(5));
        }
        self.bytes.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.writable()?;
        self.bytes.write(offset, data)
    }
}

impl Opener for Disk {
    fn open(&self) -> Result<Database, OpenRefused> {
        self.openings.fetch_add(1, Ordering::SeqCst);
        checked(self.clone(), CACHE)
    }
    fn room(&self) -> Option<u64> {
        Some(self.room.load(Ordering::SeqCst))
    }
    fn flush_failed(&self) -> bool {
        self.flush_failed.load(Ordering::SeqCst) != 0
    }
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

async fn store_on(disk: &Disk) -> Redb {
    let store = Redb::start(Box::new(disk.clone())).unwrap();
    store.put(key("before"), vec![1]).await.unwrap();
    store
}

#[tokio::test]
async fn a_full_disk_is_told_and_gets_well_without_a_restart() {
    let disk = Disk::default();
    let store = store_on(&disk).await;
    disk.turns(FULL);
    for _ in 0..3 {
        let refused = store.put(key("big"), vec![7; 4_000_000]).await;
        assert!(matches!(refused, Err(StoreError::Full(_) | StoreError::Closed(_))), "{refused:?}");
    }
    disk.turns(WELL);
    disk.room.store(1 << 31, Ordering::SeqCst);
    store.put(key("after"), vec![2]).await.unwrap();
    assert_eq!(store.get(&key("before")).await.unwrap(), Some(vec![1]));
    assert_eq!(store.get(&key("after")).await.unwrap(), Some(vec![2]));
    assert_eq!(store.get(&key("big")).await.unwrap(), None);
}

/// S6: a disk without room costs the writes, not the reads and not the deletions.
#[tokio::test]
async fn without_room_only_writes_are_refused() {
    let disk = Disk::default();
    let store = store_on(&disk).await;
    disk.room.store(100_000, Ordering::SeqCst);
    for _ in 0..20 {
        let refused = store.put(key("k"), vec![2]).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
        assert_eq!(store.get(&key("before")).await.unwrap(), Some(vec![1]));
    }
    store.delete(key("before")).await.unwrap();
    assert_eq!(store.get(&key("before")).await.unwrap(), None);
    store.transact(Batch::new()).await.unwrap();
    disk.room.store(1 << 30, Ordering::SeqCst);
    store.put(key("k"), vec![2]).await.unwrap();
    assert_eq!(disk.openings.load(Ordering::SeqCst), 1);
}

/// A growth may need more than what is free; the store does not open itself again for each write that comes.
#[tokio::test]
async fn a_refused_growth_is_not_tried_again_before_something_changed() {
    let disk = Disk::default();
    let store = store_on(&disk).await;
    disk.turns(FULL);
    for _ in 0..20 {
        let refused = store.put(key("big"), vec![7; 4_000_000]).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    }
    assert!(disk.openings.load(Ordering::SeqCst) <= 3);
    disk.turns(WELL);
    // Whoever reads has it opened again.
    while matches!(store.get(&key("before")).await, Err(StoreError::Closed(_))) {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.get(&key("before")).await.unwrap(), Some(vec![1]));
    store.delete(key("before")).await.unwrap();
    store.put(key("after"), vec![2]).await.unwrap();
}

#[tokio::test]
async fn after_a_failed_flush_nothing_is_acknowledged() {
    let disk = Disk::default();
    let store = store_on(&disk).await;
    disk.turns(FLUSH_FAILS);
    assert!(matches!(store.put(key("lost"), vec![2]).await, Err(StoreError::Unknown(_))));
    disk.turns(WELL);
    for _ in 0..3 {
        assert!(matches!(store.put(key("later"), vec![3]).await, Err(StoreError::Closed(_))));
        assert!(matches!(store.get(&key("before")).await, Err(StoreError::Closed(_))));
    }
    drop(store);
    // A new process, with a new page cache.
    disk.flush_failed.store(0, Ordering::SeqCst);
    let store = Redb::start(Box::new(disk.clone())).unwrap();
    assert_eq!(store.get(&key("before")).await.unwrap(), Some(vec![1]));
    assert_eq!(store.get(&key("later")).await.unwrap(), None);
}

#[tokio::test]
async fn a_failed_write_is_never_acknowledged_and_the_store_opens_again() {
    let disk = Disk::default();
    let store = store_on(&disk).await;
    disk.turns(WRITE_FAILS);
    assert!(store.put(key("lost"), vec![2]).await.is_err());
    disk.turns(WELL);
    store.put(key("after"), vec![3]).await.unwrap();
    assert_eq!(store.get(&key("before")).await.unwrap(), Some(vec![1]));
}

#[tokio::test]
async fn writes_at_once_share_flushes() {
    let disk = Disk::default();
    let store = Arc::new(store_on(&disk).await);
    let before = disk.flushes.load(Ordering::SeqCst);
    let writes = (0..200_u32).map(|n| {
        let store = Arc::clone(&store);
        async move { store.put(key(&format!("k{n}")), n.to_be_bytes().to_vec()).await }
    });
    for written in futures_util::future::join_all(writes).await {
        written.unwrap();
    }
    let flushes = disk.flushes.load(Ordering::SeqCst) - before;
    assert!(flushes <= 40, "{flushes} flushes for 200 writes at once");
    for n in 0..200_u32 {
        assert_eq!(store.get(&key(&format!("k{n}"))).await.unwrap(), Some(n.to_be_bytes().to_vec()));
    }
}

#[tokio::test]
async fn in_a_shared_commit_a_refused_batch_leaves_the_others_alone() {
    let store = Arc::new(store_on(&Disk::default()).await);
    let claims = (0..50_u8).map(|n| {
        let store = Arc::clone(&store);
        async move {
            let claim = Batch::new().expect_absent(key("one")).put(key("one"), vec![n]);
            store.transact(claim.put(key(&format!("by{n}")), vec![n])).await
        }
    });
    let outcomes = futures_util::future::join_all(claims).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let page = store.list_page("by", None, 99).await.unwrap();
    assert_eq!(page.keys.len(), 1);
}
