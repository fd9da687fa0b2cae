//! One thread that carries things to Python which happen without anybody having called: log records, changes, and the
//! word that something which a task awaits is there.
//!
//! Threads of the library never take the interpreter's lock themselves: they may hold a lock of their own that a thread
//! with the interpreter's lock waits for. They leave a parcel and go on. The thread starts with the first parcel and
//! ends with the process; a forked child starts its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pyo3::prelude::*;

/// Log records that may wait; more are dropped, and counted in the next one.
const RECORDS: usize = 1000;
/// Parcels that are delivered without giving the interpreter's lock back.
const BATCH: usize = 64;

/// Whether the interpreter is about to end. A thread that runs Python while it ends is killed in the middle, which does not
/// go well with Rust frames on its stack (before Python 3.14).
static STOPPED: AtomicBool = AtomicBool::new(false);

static COURIER: LazyLock<ArcSwapOption<Courier>> = LazyLock::new(ArcSwapOption::empty);

/// What is carried.
pub(crate) enum Parcel {
    /// To be called; whatever it raises is dropped.
    Wake(Py<PyAny>),
    /// To be done with the interpreter's lock held.
    Errand(Box<dyn FnOnce(Python<'_>) + Send>),
    /// A record for `logging`; these may be dropped when there are too many.
    Record(Box<dyn FnOnce(Python<'_>, usize) + Send>),
    /// Everything before this was delivered.
    Mark(SyncSender<()>),
}

struct Courier {
    sender: Sender<Parcel>,
    records: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

/// Leaves a parcel. Never blocks, needs no lock of the interpreter.
pub(crate) fn send(parcel: Parcel) {
    if STOPPED.load(Ordering::Acquire) {
        return;
    }
    let courier = present();
    let counted = matches!(parcel, Parcel::Record(_));
    if counted && courier.records.fetch_add(1, Ordering::Relaxed) >= RECORDS {
        courier.records.fetch_sub(1, Ordering::Relaxed);
        courier.dropped.fetch_add(1, Ordering::Relaxed);
        return;
    }
    // It fails only when the thread is gone, and then the process ends.
    let _ = courier.sender.send(parcel);
}

/// Waits until what was left so far is delivered, at most for `limit`.
pub(crate) fn flush(py: Python<'_>, limit: Duration) {
    let Some(courier) = COURIER.load_full() else { return };
    let (mark, reached) = sync_channel(1);
    if courier.sender.send(Parcel::Mark(mark)).is_ok() {
        py.detach(move || {
            let _: Result<(), RecvTimeoutError> = reached.recv_timeout(limit);
        });
    }
}

/// Delivers what was left so far, at most for `limit`, and nothing after it.
pub(crate) fn stop(py: Python<'_>, limit: Duration) {
    STOPPED.store(true, Ordering::Release);
    flush(py, limit);
}

/// In a forked child: the thread is not there, and what it held stays untouched.
pub(crate) fn after_fork() {
    // Its locks may be held by threads that are no more.
    std::mem::forget(COURIER.swap(None));
    STOPPED.store(false, Ordering::Release);
}

fn present() -> Arc<Courier> {
    if let Some(courier) = COURIER.load_full() {
        return courier;
    }
    let (sender, receiver) = channel();
    let new = Arc::new(Courier {
        sender,
        records: Arc::new(AtomicUsize::new(0)),
        dropped: Arc::new(AtomicUsize::new(0)),
    });
    let previous = COURIER.compare_and_swap(&None::<Arc<Courier>>, Some(Arc::clone(&new)));
    if let Some(first) = previous.as_ref() {
        return Arc::clone(first);
    }
    let (records, dropped) = (Arc::clone(&new.records), Arc::clone(&new.dropped));
    // Without a thread, parcels stay where they are; nothing depends on them but tasks that await.
    let _ = thread::Builder::new()
        .name("coffre-python".to_owned())
        .spawn(move || carry(&receiver, &records, &dropped));
    new
}

fn carry(receiver: &Receiver<Parcel>, records: &AtomicUsize, dropped: &AtomicUsize) {
    while let Ok(first) = receiver.recv() {
        let delivered = Python::try_attach(|py| {
            let mut next = Some(first);
            for _ in 0..BATCH {
                let Some(parcel) = next.take().or_else(|| receiver.try_recv().ok()) else { break };
                deliver(py, parcel, records, dropped);
            }
        });
        if delivered.is_none() {
            // The interpreter has ended.
            return;
        }
    }
}

fn deliver(py: Python<'_>, parcel: Parcel, records: &AtomicUsize, dropped: &AtomicUsize) {
    match parcel {
        Parcel::Wake(callable) => {
            // A loop that was closed meanwhile refuses; nobody awaits there any more.
            let _ = callable.call0(py);
        }
        Parcel::Errand(errand) => errand(py),
        Parcel::Record(record) => {
            records.fetch_sub(1, Ordering::Relaxed);
            record(py, dropped.swap(0, Ordering::Relaxed));
        }
        Parcel::Mark(mark) => {
            let _ = mark.try_send(());
        }
    }
}
