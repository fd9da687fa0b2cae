use std::sync::atomic::{AtomicU64, Ordering};

/// Hands out message numbers, each once.
///
/// Numbers below `reserved` may be used; the storage holds `reserved`, and a restart begins there. So a crash skips
/// numbers and never repeats one.
pub(crate) struct Messages {
    next: AtomicU64,
    reserved: AtomicU64,
}

impl Messages {
    /// Continues where the storage says that no number was used.
    pub(crate) const fn starting_at(reserved: u64) -> Self {
        Self { next: AtomicU64::new(reserved), reserved: AtomicU64::new(reserved) }
    }

    /// Takes `count` numbers in a row and returns the first. They must not be used before
    /// [`Messages::is_reserved`] says so.
    pub(crate) fn take(&self, count: u64) -> u64 {
        self.next.fetch_add(count, Ordering::SeqCst)
    }

    /// The number that would be given next.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// Whether all numbers below `end` are reserved in the storage.
    pub(crate) fn is_reserved(&self, end: u64) -> bool {
        end <= self.reserved.load(Ordering::SeqCst)
    }

    /// How far the reservation goes.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::SeqCst)
    }

    /// The storage holds this reservation now.
    pub(crate) fn extend_to(&self, reserved: u64) {
        self.reserved.fetch_max(reserved, Ordering::SeqCst);
    }
}
