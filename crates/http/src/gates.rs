//! What all clients of a listener together may take at once.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::limits::Limits;

/// The gates of a listener, shared by its threads.
pub(crate) struct Gates {
    /// Requests that are being answered.
    requests: Semaphore,
    /// Bodies beyond [`SMALL_BODY`].
    large: Semaphore,
}

/// A body up to this size, in bytes, goes through no gate: as many of them as there are connections fit into memory.
pub(crate) const SMALL_BODY: usize = 128 << 10;

impl Gates {
    /// Of these limits.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { requests: Semaphore::new(limits.requests), large: Semaphore::new(limits.large_bodies) }
    }

    /// Waits until a request may go to the kernel.
    pub(crate) async fn request(&self) -> Option<SemaphorePermit<'_>> {
        self.requests.acquire().await.ok()
    }

    /// Waits until a body may grow large. Its bytes stay with the sender meanwhile.
    pub(crate) async fn large(&self) -> Option<SemaphorePermit<'_>> {
        self.large.acquire().await.ok()
    }
}
