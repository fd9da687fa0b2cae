//! A thread that owns a sink: for targets whose writes may wait (fsync, pipes, terminals).
//!
//! Requests queue entries and wait; the thread takes all that are queued, writes them in one write (and one fsync), and
//! wakes those who wait. The queue is the only channel and each entry has its own wake-up, so none can be lost.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::device::sink::Sink;
use crate::device::{DeviceError, Head};
use crate::json::Line;

/// Entries that may wait; more are refused at once.
const QUEUE: usize = 4096;
/// Entries in one write.
const BATCH: usize = 256;

type Answer = oneshot::Sender<Result<(), DeviceError>>;

enum Job {
    Append(Line, Answer),
    Reopen(Answer),
}

/// The queue's near end. The thread ends when this is dropped and the queue is empty.
pub(crate) struct Writer {
    queue: SyncSender<Job>,
    head: Arc<Mutex<Head>>,
}

impl Writer {
    pub(crate) fn start(sink: Sink) -> Result<Self, DeviceError> {
        let (queue, jobs) = sync_channel(QUEUE);
        let head = Arc::new(Mutex::new(sink.head()));
        let shown = Arc::clone(&head);
        let thread = thread::Builder::new().name("audit-writer".into());
        thread.spawn(move || run(sink, &jobs, &shown)).map_err(DeviceError::Open)?;
        Ok(Self { queue, head })
    }

    pub(crate) fn head(&self) -> Head {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an entry now; the future waits for the thread's word.
    pub(crate) fn append(&self, entry: Line) -> impl Future<Output = Result<(), DeviceError>> + Send + use<> {
        let (answer, waiting) = oneshot::channel();
        await_word(self.send(Job::Append(entry, answer)), waiting)
    }

    pub(crate) fn reopen(&self) -> impl Future<Output = Result<(), DeviceError>> + Send + use<> {
        let (answer, waiting) = oneshot::channel();
        await_word(self.send(Job::Reopen(answer)), waiting)
    }

    fn send(&self, job: Job) -> Result<(), DeviceError> {
        self.queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => DeviceError::Blocked,
            TrySendError::Disconnected(_) => DeviceError::Shut,
        })
    }
}

async fn await_word(
    sent: Result<(), DeviceError>,
    waiting: oneshot::Receiver<Result<(), DeviceError>>,
) -> Result<(), DeviceError> {
    sent?;
    waiting.await.unwrap_or(Err(DeviceError::Shut))
}

fn run(mut sink: Sink, jobs: &Receiver<Job>, head: &Mutex<Head>) {
    while let Ok(first) = jobs.recv() {
        let mut entries = Vec::new();
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Append(entry, answer) => {
                    entries.push(entry);
                    answers.push(answer);
                }
                Job::Reopen(answer) => {
                    write(&mut sink, &mut entries, &mut answers);
                    let _ = answer.send(sink.reopen());
                }
            }
            if entries.len() < BATCH {
                next = jobs.try_recv().ok();
            }
        }
        write(&mut sink, &mut entries, &mut answers);
        *head.lock().unwrap_or_else(PoisonError::into_inner) = sink.head();
    }
}

/// Writes what was gathered, all or nothing, and tells those who wait.
fn write(sink: &mut Sink, entries: &mut Vec<Line>, answers: &mut Vec<Answer>) {
    if entries.is_empty() {
        return;
    }
    let done = sink.append(std::mem::take(entries));
    for answer in answers.drain(..) {
        // Somebody who no longer waits is no error.
        let _ = answer.send(done.as_ref().copied().map_err(copy));
    }
}

/// The same failure for each who waits.
fn copy(error: &DeviceError) -> DeviceError {
    let again = |e: &std::io::Error| {
        e.raw_os_error().map_or_else(|| e.kind().into(), std::io::Error::from_raw_os_error)
    };
    match error {
        DeviceError::Write(e) => DeviceError::Write(again(e)),
        DeviceError::Open(e) => DeviceError::Open(again(e)),
        DeviceError::Taken => DeviceError::Taken,
        DeviceError::Blocked => DeviceError::Blocked,
        DeviceError::Shut => DeviceError::Shut,
        DeviceError::Target => DeviceError::Target,
    }
}
