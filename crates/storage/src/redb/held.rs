use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// The granularity of what is kept in memory, in bytes.
const BLOCK: usize = 4_096;

/// A backend whose writes are kept in memory until they are let go: opening and checking a database writes to it,
/// and a file that is refused shall stay as it is.
///
/// When let go, the same writes, resizings and flushes are done in the same order, so a crash in between looks like
/// a crash in between to the next recovery.
pub(super) struct Held<B>(Arc<Shared<B>>);

/// Lets the writes of a [`Held`] go.
pub(super) struct Release<B>(Arc<Shared<B>>);

struct Shared<B> {
    inner: B,
    released: AtomicBool,
    pending: Mutex<Pending>,
}

/// What was written so far.
struct Pending {
    len: u64,
    /// Below this the backend still holds what counts, unless a block says otherwise.
    valid: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
    log: Vec<Operation>,
}

enum Operation {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

impl<B: StorageBackend> Held<B> {
    pub(super) fn new(inner: B) -> io::Result<(Self, Release<B>)> {
        let len = inner.len()?;
        let pending = Pending { len, valid: len, blocks: BTreeMap::new(), log: Vec::new() };
        let shared =
            Arc::new(Shared { inner, released: AtomicBool::new(false), pending: Mutex::new(pending) });
        Ok((Self(Arc::clone(&shared)), Release(shared)))
    }
}

impl<B: StorageBackend> Release<B> {
    /// Does everything that was held back. After an error the backend is as after a crash.
    pub(super) fn release(self) -> io::Result<()> {
        let mut pending = self.0.pending();
        for operation in pending.log.drain(..) {
            match operation {
                Operation::Write(offset, data) => self.0.inner.write(offset, &data)?,
                Operation::SetLen(len) => self.0.inner.set_len(len)?,
                Operation::Sync => self.0.inner.sync_data()?,
            }
        }
        pending.blocks.clear();
        self.0.released.store(true, Ordering::Release);
        Ok(())
    }
}

impl<B> Shared<B> {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }
}

impl Pending {
    fn read(&self, inner: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.saturating_add(wide(out.len())) > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let from_inner = usize::try_from(self.valid.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (old, fresh) = out.split_at_mut(from_inner.min(out.len()));
        if !old.is_empty() {
            inner.read(offset, old)?;
        }
        fresh.fill(0);
        for (block, at, within) in pieces(offset, out.len()) {
            if let (Some(held), Some(out)) = (self.blocks.get(&block), out.get_mut(at.clone())) {
                out.copy_from_slice(held.get(within).unwrap_or_default());
            }
        }
        Ok(())
    }

    fn write(&mut self, inner: &dyn StorageBackend, offset: u64, data: &[u8]) -> io::Result<()> {
        self.len = self.len.max(offset.saturating_add(wide(data.len())));
        for (block, at, within) in pieces(offset, data.len()) {
            if !self.blocks.contains_key(&block) {
                let mut bytes = Box::new([0; BLOCK]);
                let start = block.saturating_mul(wide(BLOCK));
                let known = usize::try_from(self.valid.saturating_sub(start)).unwrap_or(BLOCK).min(BLOCK);
                if known > 0 {
                    inner.read(start, bytes.get_mut(..known).unwrap_or_default())?;
                }
                self.blocks.insert(block, bytes);
            }
            let held = self.blocks.get_mut(&block).and_then(|bytes| bytes.get_mut(within));
            if let (Some(held), Some(data)) = (held, data.get(at)) {
                held.copy_from_slice(data);
            }
        }
        self.log.push(Operation::Write(offset, data.to_vec()));
        Ok(())
    }

    fn set_len(&mut self, len: u64) {
        self.len = len;
        self.valid = self.valid.min(len);
        // What lies behind the end reads as zero if the end moves back.
        let last = len / wide(BLOCK);
        self.blocks.retain(|block, _| *block <= last);
        if let Some(bytes) = self.blocks.get_mut(&last) {
            let keep = usize::try_from(len % wide(BLOCK)).unwrap_or(0);
            bytes.get_mut(keep..).unwrap_or_default().fill(0);
        }
        self.log.push(Operation::SetLen(len));
    }
}

impl<B: StorageBackend> StorageBackend for Held<B> {
    fn len(&self) -> io::Result<u64> {
        if self.0.is_released() { self.0.inner.len() } else { Ok(self.0.pending().len) }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.is_released() {
            return self.0.inner.read(offset, out);
        }
        self.0.pending().read(&self.0.inner, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.0.is_released() {
            return self.0.inner.set_len(len);
        }
        self.0.pending().set_len(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.0.is_released() {
            return self.0.inner.sync_data();
        }
        self.0.pending().log.push(Operation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.0.is_released() {
            return self.0.inner.write(offset, data);
        }
        self.0.pending().write(&self.0.inner, offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.inner.close()
    }
}

impl<B> fmt::Debug for Held<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[held: {}]", !self.0.is_released())
    }
}

/// The blocks that a range touches: the block, the part of the range, the part of the block.
fn pieces(
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= len {
            return None;
        }
        let position = offset.saturating_add(wide(at));
        let within = usize::try_from(position % wide(BLOCK)).unwrap_or(0);
        let count = (BLOCK - within).min(len - at);
        let piece = (position / wide(BLOCK), at..at + count, within..within + count);
        at += count;
        Some(piece)
    })
}

const fn wide(len: usize) -> u64 {
    len as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    fn contents(backend: &dyn StorageBackend) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(backend.len().unwrap()).unwrap()];
        backend.read(0, &mut bytes).unwrap();
        bytes
    }

    fn act(backend: &dyn StorageBackend, (kind, offset, len): (u8, u64, usize)) {
        match kind {
            0 => backend.set_len(offset).unwrap(),
            1 => backend.sync_data().unwrap(),
            // redb never writes behind the end.
            _ if offset + wide(len) <= backend.len().unwrap() => {
                backend.write(offset, &vec![kind; len]).unwrap();
            }
            _ => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Held, it looks like a plain backend while the one below does not change; let go, they are the same.
        #[test]
        fn held_and_let_go_look_like_a_plain_backend(
            before in proptest::collection::vec((0_u8..6, 0_u64..20_000, 0_usize..9_000), 0..12),
            during in proptest::collection::vec((0_u8..6, 0_u64..20_000, 0_usize..9_000), 0..12),
        ) {
            let (plain, below) = (InMemoryBackend::new(), Arc::new(InMemoryBackend::new()));
            for action in before {
                act(&plain, action);
                act(&*below, action);
            }
            let untouched = contents(&*below);
            let (held, release) = Held::new(Through(Arc::clone(&below))).unwrap();
            for action in during {
                act(&plain, action);
                act(&held, action);
                prop_assert_eq!(contents(&plain), contents(&held));
            }
            prop_assert_eq!(untouched, contents(&*below));
            release.release().unwrap();
            prop_assert_eq!(contents(&plain), contents(&*below));
            prop_assert_eq!(contents(&plain), contents(&held));
        }
    }

    #[derive(Debug)]
    struct Through(Arc<InMemoryBackend>);

    impl StorageBackend for Through {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }
    }
}
