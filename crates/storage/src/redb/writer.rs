use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use redb::{CommitError, Database, Durability, ReadableTable, StorageError, Table, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::open::Opener;
use super::{RECORDS, from_storage, from_table, from_transaction};
use crate::store::{Batch, Records, Step, StoreError};

/// How many batches share one commit at most.
const GROUP: usize = 256;
/// How many bytes of values share one commit, roughly.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Free bytes that are left to deletions: below this, and four times what is to be written, writes are refused before
/// they reach the file.
const SPARE: u64 = 4 * 1024 * 1024;

/// A batch and who waits for it.
pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// The one thread that writes.
pub(super) struct Writer {
    opener: Box<dyn Opener>,
    database: Arc<ArcSwapOption<Database>>,
    jobs: mpsc::Receiver<Job>,
    /// How many bytes were free when the file could not grow.
    no_growth_at: Option<u64>,
}

/// Why a whole group failed.
#[derive(Debug)]
pub(super) enum GroupFailed {
    /// Nothing of it was kept.
    Nothing(StoreError),
    /// Its commit failed under way.
    Unknown(CommitError),
}

impl Writer {
    pub(super) fn new(
        opener: Box<dyn Opener>,
        database: Arc<ArcSwapOption<Database>>,
        jobs: mpsc::Receiver<Job>,
    ) -> Self {
        Self { opener, database, jobs, no_growth_at: None }
    }

    /// Until nobody can send any more; then closes the database.
    pub(super) fn run(mut self) {
        while let Some(first) = self.jobs.blocking_recv() {
            let group = self.collect(first);
            let group = self.refuse_without_room(group);
            if !group.is_empty() {
                self.commit(group);
            }
        }
        self.close();
    }

    /// The first batch and those that came while the last commit was being flushed.
    fn collect(&mut self, first: Job) -> Vec<Job> {
        let mut bytes = size(&first.batch);
        let mut group = vec![first];
        while group.len() < GROUP && bytes < GROUP_BYTES {
            let Ok(job) = self.jobs.try_recv() else { break };
            bytes += size(&job.batch);
            group.push(job);
        }
        group
    }

    /// Answers the batches that write, if there is no room for them, and gives back the others. A write that fails
    /// in the file would cost an opening with all its checks, and the reads meanwhile.
    fn refuse_without_room(&mut self, group: Vec<Job>) -> Vec<Job> {
        let bytes: usize = group.iter().map(|job| size(&job.batch)).sum();
        let wanted = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(4).saturating_add(SPARE);
        let Some(room) = self.opener.room() else { return group };
        if self.no_growth_at.is_some_and(|before| room > before) {
            self.no_growth_at = None;
        }
        if room >= wanted && self.no_growth_at.is_none() {
            return group;
        }
        let (writing, others) = group.into_iter().partition(|job| writes(&job.batch));
        answer_all(writing, || StoreError::Full(std::io::ErrorKind::StorageFull.into()));
        others
    }

    fn commit(&mut self, group: Vec<Job>) {
        let Some(database) = self.opened() else {
            return answer_all(group, || StoreError::Closed("it failed before; see the server's log"));
        };
        let batches: Vec<&Batch> = group.iter().map(|job| &job.batch).collect();
        let applied = catch_unwind(AssertUnwindSafe(|| apply_group(&database, &batches)));
        drop(database);
        match applied {
            Ok(Ok(outcomes)) => {
                // A commit that went through may have freed pages.
                self.no_growth_at = None;
                for (job, outcome) in group.into_iter().zip(outcomes) {
                    // Who gave up waiting does not hear of it.
                    let _ = job.done.send(outcome);
                }
            }
            Ok(Err(failed)) => self.fail(group, failed),
            Err(_) => {
                self.close();
                answer_all(group, || StoreError::Damaged("the storage library failed".to_owned()));
            }
        }
    }

    /// Closes what failed, opens it again if no flush failed, and tells all of the group.
    fn fail(&mut self, group: Vec<Job>, failed: GroupFailed) {
        if matches!(failed, GroupFailed::Nothing(StoreError::Full(_))) {
            self.no_growth_at = self.opener.room();
        }
        self.close();
        if !self.opener.flush_failed() {
            // If it cannot be opened now, the next batch tries again.
            self.reopen();
        }
        match failed {
            GroupFailed::Nothing(StoreError::Full(error)) => {
                answer_all(group, || StoreError::Full(again(&error)))
            }
            GroupFailed::Nothing(StoreError::Io(error)) => {
                answer_all(group, || StoreError::Io(again(&error)))
            }
            GroupFailed::Nothing(StoreError::Damaged(what)) => {
                answer_all(group, || StoreError::Damaged(what.clone()));
            }
            GroupFailed::Nothing(_) => {
                answer_all(group, || StoreError::Closed("it failed before; see the server's log"))
            }
            GroupFailed::Unknown(error) => {
                answer_all(group, || StoreError::Unknown(error.to_string().into()))
            }
        }
    }

    /// The open database; opened again if it was closed after a failure that allows it.
    fn opened(&self) -> Option<Arc<Database>> {
        if self.database.load().is_none() && !self.opener.flush_failed() {
            self.reopen();
        }
        self.database.load_full()
    }

    fn reopen(&self) {
        if let Ok(database) = self.opener.open() {
            self.database.store(Some(Arc::new(database)));
        }
    }

    /// Takes the database away from the readers, and closes it when the last one has finished.
    fn close(&self) {
        let Some(mut database) = self.database.swap(None) else { return };
        loop {
            match Arc::try_unwrap(database) {
                // Errors were reported to those whose writes they hit.
                Ok(alone) => return drop(alone.close()),
                Err(shared) => database = shared,
            }
            std::thread::yield_now();
        }
    }
}

/// Applies the batches one after the other in one transaction, and commits it in two phases. Inner results are of
/// single batches: one whose expectation fails changes nothing and leaves the others alone.
pub(super) fn apply_group(
    database: &Database,
    batches: &[&Batch],
) -> Result<Vec<Result<(), StoreError>>, GroupFailed> {
    let begin = || -> Result<WriteTransaction, StoreError> {
        let mut write = database.begin_write().map_err(from_transaction)?;
        write.set_two_phase_commit(true);
        write
            .set_durability(Durability::Immediate)
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok(write)
    };
    let write = begin().map_err(GroupFailed::Nothing)?;
    let mut outcomes = Vec::with_capacity(batches.len());
    {
        let mut records = write.open_table(RECORDS).map_err(|e| GroupFailed::Nothing(from_table(e)))?;
        for batch in batches {
            let outcome = match taken(&records, batch).map_err(GroupFailed::Nothing)? {
                Some(key) => Err(StoreError::Exists(key)),
                None => match batch.testimony(&Seen(&records)) {
                    Ok(more) => {
                        let steps = batch.steps().iter().chain(&more);
                        Ok(apply(&mut records, steps).map_err(GroupFailed::Nothing)?)
                    }
                    Err(refused) => Err(refused),
                },
            };
            outcomes.push(outcome);
        }
    }
    write.commit().map_err(|error| match error {
        CommitError::Storage(StorageError::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
            GroupFailed::Nothing(StoreError::Full(error))
        }
        other => GroupFailed::Unknown(other),
    })?;
    Ok(outcomes)
}

/// The first key that was to be absent and is not.
fn taken(
    records: &Table<'_, &'static str, &'static [u8]>,
    batch: &Batch,
) -> Result<Option<crate::Key>, StoreError> {
    for key in batch.absent() {
        if records.get(key.as_str()).map_err(from_storage)?.is_some() {
            return Ok(Some(key.clone()));
        }
    }
    Ok(None)
}

/// The table as a witness sees it.
struct Seen<'t, 'x>(&'t Table<'x, &'static str, &'static [u8]>);

impl Records for Seen<'_, '_> {
    fn get(&self, key: &crate::Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key.as_str()).map_err(from_storage)?.map(|value| value.value().to_vec()))
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        keys_below(self.0, prefix)
    }
}

fn apply<'s>(
    records: &mut Table<'_, &'static str, &'static [u8]>,
    steps: impl Iterator<Item = &'s Step>,
) -> Result<(), StoreError> {
    for step in steps {
        match step {
            Step::Put(key, value) => {
                records.insert(key.as_str(), value.as_slice()).map_err(from_storage)?;
            }
            Step::Delete(key) => {
                records.remove(key.as_str()).map_err(from_storage)?;
            }
            Step::DeletePrefix(prefix) => delete_prefix(records, prefix)?,
        }
    }
    Ok(())
}

fn delete_prefix(
    records: &mut Table<'_, &'static str, &'static [u8]>,
    prefix: &str,
) -> Result<(), StoreError> {
    for key in keys_below(records, prefix)? {
        records.remove(key.as_str()).map_err(from_storage)?;
    }
    Ok(())
}

fn keys_below(
    records: &Table<'_, &'static str, &'static [u8]>,
    prefix: &str,
) -> Result<Vec<String>, StoreError> {
    let begin_so = records.range::<&str>(prefix..).map_err(from_storage)?;
    let mut keys = Vec::new();
    for entry in begin_so {
        let (key, _) = entry.map_err(from_storage)?;
        if !key.value().starts_with(prefix) {
            break;
        }
        keys.push(key.value().to_owned());
    }
    Ok(keys)
}

fn answer_all(group: Vec<Job>, error: impl Fn() -> StoreError) {
    for job in group {
        // Who gave up waiting does not hear of it.
        let _ = job.done.send(Err(error()));
    }
}

/// The same error for another waiter.
fn again(error: &std::io::Error) -> std::io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), std::io::Error::from_raw_os_error)
}

fn writes(batch: &Batch) -> bool {
    batch.steps().iter().any(|step| matches!(step, Step::Put(..)))
}

fn size(batch: &Batch) -> usize {
    let sizes = batch.steps().iter().map(|step| match step {
        Step::Put(_, value) => value.len(),
        Step::Delete(_) | Step::DeletePrefix(_) => 0,
    });
    sizes.sum()
}
