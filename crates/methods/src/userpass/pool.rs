//! Where passwords are hashed: few at a time, beside the threads that answer requests, with a bounded queue.

use std::sync::atomic::{AtomicUsize, Ordering};

use coffre_api::{Kind, Refusal};
use tokio::sync::Semaphore;

/// So many at once, for the whole process: each takes a core and 19 MiB.
const AT_ONCE: usize = 2;
/// So many may wait or run; the last of them waits about two seconds.
const MOST: usize = 96;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// Runs slow work when its turn comes. 429 if too many wait already.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let _place = Place::take()?;
    let turn = TURNS.acquire().await.map_err(Refusal::bug)?;
    // The turn goes with the work: a caller that is cut off does not make room for another while it still runs.
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.map_err(Refusal::bug)?
}

/// A place in the queue.
struct Place;

impl Place {
    fn take() -> Result<Self, Refusal> {
        if INSIDE.fetch_add(1, Ordering::SeqCst) < MOST {
            return Ok(Self);
        }
        INSIDE.fetch_sub(1, Ordering::SeqCst);
        Err(Refusal::new(Kind::Busy, "too many logins are being checked: try again in a moment"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}
