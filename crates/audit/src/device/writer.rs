//! A thread that owns a sink: for targets whose writes may wait (fsync, pipes, terminals, sockets).
//!
//! Requests queue entries and wait; the thread takes all that are queued, writes them in one write (and one fsync), and
//! wakes those who wait. The queue is the only channel and each entry has its own wake-up, so none can be lost. A sink
//! that kept the thread waiting is left alone for a while: entries fail at once until then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use coffre_api::BoxFuture;
use tokio::sync::oneshot;

use crate::device::circuit::Circuit;
use crate::device::health::Health;
use crate::device::{Device, DeviceError, Head};
use crate::json::Line;

/// What the thread writes to.
pub(crate) trait EntrySink: Send + 'static {
    /// Writes entries, all or none, as far as the target allows.
    fn append(&mut self, entries: Vec<Line>) -> Result<(), DeviceError>;
    /// Opens the target anew.
    fn reopen(&mut self) -> Result<(), DeviceError>;
    /// Opens the target anew if its name leads elsewhere.
    fn follow(&mut self);
    /// Whether a write would not wait, though the last one did.
    fn is_ready(&self) -> bool;
    /// The last entry's place in the chain.
    fn head(&self) -> Head;
}

/// Entries that may wait; more are refused at once.
const QUEUE: usize = 4096;
/// Bytes that may wait; more are refused at once.
const QUEUE_BYTES: usize = 32 << 20;
/// Entries in one write.
const BATCH: usize = 256;

type Answer = oneshot::Sender<Result<(), DeviceError>>;

enum Job {
    Append(Line, Answer),
    Reopen(Answer),
    Follow,
}

/// The queue's near end. The thread ends when this is dropped and the queue is empty.
pub(crate) struct Writer {
    queue: SyncSender<Job>,
    shared: Arc<Shared>,
}

struct Shared {
    head: Mutex<Head>,
    /// Bytes in the queue.
    waiting: AtomicUsize,
    health: Arc<Health>,
}

impl Writer {
    pub(crate) fn start(sink: impl EntrySink, health: Arc<Health>) -> Result<Self, DeviceError> {
        let (queue, jobs) = sync_channel(QUEUE);
        let shared = Arc::new(Shared { head: Mutex::new(sink.head()), waiting: AtomicUsize::new(0), health });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("audit-writer".into());
        thread
            .spawn(move || Thread { sink, shared: theirs, circuit: Circuit::default() }.run(&jobs))
            .map_err(DeviceError::Open)?;
        Ok(Self { queue, shared })
    }

    fn queue(&self, entry: Line, answer: Answer) -> Result<(), DeviceError> {
        let len = entry.len();
        if self.shared.waiting.fetch_add(len, Ordering::Relaxed) > QUEUE_BYTES {
            self.shared.waiting.fetch_sub(len, Ordering::Relaxed);
            self.shared.health.note(1, Err(&DeviceError::Blocked));
            return Err(DeviceError::Blocked);
        }
        self.send(Job::Append(entry, answer)).inspect_err(|error| {
            self.shared.waiting.fetch_sub(len, Ordering::Relaxed);
            self.shared.health.note(1, Err(error));
        })
    }

    fn send(&self, job: Job) -> Result<(), DeviceError> {
        self.queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => DeviceError::Blocked,
            TrySendError::Disconnected(_) => DeviceError::Shut,
        })
    }
}

impl Device for Writer {
    /// Queues the entry now; the future waits for the thread's word.
    fn append(&self, entry: Line) -> BoxFuture<'_, Result<(), DeviceError>> {
        let (answer, waiting) = oneshot::channel();
        Box::pin(await_word(self.queue(entry, answer), waiting))
    }

    fn reopen(&self) -> BoxFuture<'_, Result<(), DeviceError>> {
        let (answer, waiting) = oneshot::channel();
        Box::pin(await_word(self.send(Job::Reopen(answer)), waiting))
    }

    fn follow(&self) {
        // A full queue means that the thread is late; it is asked again soon.
        let _ = self.send(Job::Follow);
    }

    fn head(&self) -> Option<Head> {
        Some(*self.shared.head.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn health(&self) -> &Health {
        &self.shared.health
    }
}

async fn await_word(
    sent: Result<(), DeviceError>,
    waiting: oneshot::Receiver<Result<(), DeviceError>>,
) -> Result<(), DeviceError> {
    sent?;
    waiting.await.unwrap_or(Err(DeviceError::Shut))
}

/// The far end.
struct Thread<S> {
    sink: S,
    shared: Arc<Shared>,
    circuit: Circuit,
}

/// What is written together.
#[derive(Default)]
struct Gathered {
    entries: Vec<Line>,
    answers: Vec<Answer>,
}

impl<S: EntrySink> Thread<S> {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut gathered = Gathered::default();
            let mut next = Some(first);
            while let Some(job) = next.take() {
                match job {
                    Job::Append(entry, answer) => {
                        self.shared.waiting.fetch_sub(entry.len(), Ordering::Relaxed);
                        gathered.entries.push(entry);
                        gathered.answers.push(answer);
                    }
                    Job::Reopen(answer) => {
                        self.write(&mut gathered);
                        let _ = answer.send(self.sink.reopen());
                    }
                    Job::Follow => {
                        self.write(&mut gathered);
                        self.sink.follow();
                    }
                }
                if gathered.entries.len() < BATCH {
                    next = jobs.try_recv().ok();
                }
            }
            self.write(&mut gathered);
        }
    }

    /// Writes what was gathered, all or nothing, and tells those who wait.
    fn write(&mut self, gathered: &mut Gathered) {
        let count = gathered.entries.len();
        if count == 0 {
            return;
        }
        let done = self.attempt(std::mem::take(&mut gathered.entries));
        self.shared.health.end(count, done.as_ref().copied());
        *self.shared.head.lock().unwrap_or_else(PoisonError::into_inner) = self.sink.head();
        for answer in gathered.answers.drain(..) {
            // Somebody who no longer waits is no error.
            let _ = answer.send(done.as_ref().copied().map_err(DeviceError::again));
        }
    }

    fn attempt(&mut self, entries: Vec<Line>) -> Result<(), DeviceError> {
        let health = Arc::clone(&self.shared.health);
        if let Some(refusal) = self.circuit.refusal(health.clock().boot())
            && !self.sink.is_ready()
        {
            return Err(refusal);
        }
        health.begin();
        let done = self.sink.append(entries);
        self.circuit.learn(health.clock().boot(), done.as_ref().copied());
        done
    }
}
