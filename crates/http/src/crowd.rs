//! Who is connected, and who has to leave when there is no room: a client that has not asked anything yet, before one
//! that only keeps its connection, before one whose request is being answered, which stays.
//!
//! Without it, a few thousand connections that never finish their handshake or head keep everybody else out until their
//! time-outs end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::patience::Busy;

/// The connections of a listener.
pub(crate) struct Crowd {
    room: Arc<Semaphore>,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    next: u64,
    /// By arrival.
    taken: BTreeMap<u64, Arc<Seat>>,
}

struct Seat {
    busy: Busy,
    leave: Notify,
}

/// A connection's place; given back when dropped.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    seat: Arc<Seat>,
    _permit: OwnedSemaphorePermit,
}

impl Crowd {
    /// With room for so many.
    pub(crate) fn new(connections: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(connections)), seats: Mutex::default() }
    }

    /// Waits for a place, and makes somebody leave if there is none. `None` when the server stops.
    pub(crate) async fn enter(self: &Arc<Self>) -> Option<Place> {
        let permit = if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            permit
        } else {
            self.make_room();
            Arc::clone(&self.room).acquire_owned().await.ok()?
        };
        let seat = Arc::new(Seat { busy: Busy::default(), leave: Notify::new() });
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let number = seats.next;
        seats.next = number.wrapping_add(1);
        seats.taken.insert(number, Arc::clone(&seat));
        Some(Place { crowd: Arc::clone(self), number, seat, _permit: permit })
    }

    /// Asks the one to leave who is missed least.
    pub(crate) fn make_room(&self) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = || seats.taken.iter().filter(|(_, seat)| !seat.busy.is_set());
        let leaving = idle().find(|(_, seat)| !seat.busy.was_set()).or_else(|| idle().next());
        if let Some(number) = leaving.map(|(number, _)| *number)
            && let Some(seat) = seats.taken.remove(&number)
        {
            seat.leave.notify_one();
        }
    }
}

impl Place {
    /// Whether the connection's request is being answered.
    pub(crate) fn busy(&self) -> Busy {
        self.seat.busy.clone()
    }

    /// Returns when the connection has to leave.
    pub(crate) async fn asked_to_leave(&self) {
        loop {
            self.seat.leave.notified().await;
            // A request that came meanwhile is answered.
            if !self.seat.busy.is_set() {
                return;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.seats.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn who_asked_nothing_leaves_first_and_who_is_served_stays() {
        let crowd = Arc::new(Crowd::new(3));
        let served = crowd.enter().await.unwrap();
        served.busy().set(true);
        let kept = crowd.enter().await.unwrap();
        kept.busy().set(true);
        kept.busy().set(false);
        let silent = crowd.enter().await.unwrap();
        let mut fourth = Box::pin(crowd.enter());
        assert!(fourth.as_mut().now_or_never().is_none(), "there is no room yet");
        assert!(silent.asked_to_leave().now_or_never().is_some());
        assert!(kept.asked_to_leave().now_or_never().is_none());
        drop(silent);
        let fourth = fourth.await.unwrap();
        fourth.busy().set(true);
        let mut fifth = Box::pin(crowd.enter());
        assert!(fifth.as_mut().now_or_never().is_none());
        assert!(kept.asked_to_leave().now_or_never().is_some());
        assert!(served.asked_to_leave().now_or_never().is_none());
        assert!(fourth.asked_to_leave().now_or_never().is_none());
    }
}
