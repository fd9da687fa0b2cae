//! Locking memory against swap and core dumps: the only file of the workspace that may hold `unsafe`.
//!
//! Both calls are best effort. `RLIMIT_MEMLOCK` is often 64 KiB, and a container may forbid `mlock` altogether;
//! what protects then is that the process is not dumpable and that operators run without swap (see `SECURITY.md`).
//!
//! `mlock` works on whole pages, and pages hold neighbours: `munlock` of one key would unlock a neighbour's page.
//! So a page, once locked, stays locked for the life of the process ([`unlock`] only ends our bookkeeping). Keys
//! are few (a keyring, some audit keys), and the allocator reuses their pages.

use std::sync::atomic::{AtomicUsize, Ordering};

static LOCKED: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// Asks the system to keep these bytes out of swap.
pub fn lock(bytes: &mut [u8]) {
    if bytes.is_empty() {
        return;
    }
    #[expect(unsafe_code, reason = "mlock takes an address range; there is no safe form of it")]
    // SAFETY: the range is a live, exclusively borrowed slice; `mlock` reads no memory and changes no byte of it.
    let done = unsafe { rustix::mm::mlock(bytes.as_mut_ptr().cast(), bytes.len()) };
    match done {
        Ok(()) => LOCKED.fetch_add(1, Ordering::Relaxed),
        Err(_) => REFUSED.fetch_add(1, Ordering::Relaxed),
    };
}

/// Ends the bookkeeping of [`lock`]; see the module's note on neighbours.
pub fn unlock(bytes: &mut [u8]) {
    if !bytes.is_empty() {
        let _ = LOCKED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }
}

/// How many ranges are locked now, and how many locks the system refused since start.
pub fn counts() -> (usize, usize) {
    (LOCKED.load(Ordering::Relaxed), REFUSED.load(Ordering::Relaxed))
}
