//! What must be done when: one entry for each password that waits to be changed, in the order of time. The record that
//! an entry belongs to knows its time, and both change in one transaction.

use coffre_ambient::Wall;
use coffre_api::Refusal;
use coffre_barrier::ViewBatch;
use coffre_engine::{MountCx, storage};
use futures_util::future::join_all;

use super::Databases;

const DUE: &str = "due/";
/// Entries that are worked on in one call, all at the same time.
const PARALLEL: usize = 8;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Change a static role's password.
    Role,
    /// Go on with a change of an administrator's password that was interrupted.
    Root,
}

impl Job {
    const fn word(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Root => "root",
        }
    }
}

fn key(at: u64, job: Job, name: &str) -> String {
    format!("{DUE}{at:020}/{}/{name}", job.word())
}

/// Moves an entry within a batch; 0 is not in the queue.
pub(super) fn moved(batch: ViewBatch, job: Job, name: &str, (from, to): (u64, u64)) -> ViewBatch {
    let batch = if from == 0 { batch } else { batch.delete(key(from, job, name)) };
    if to == 0 { batch } else { batch.put(key(to, job, name), Vec::new()) }
}

/// An entry, read from its key.
fn parse(key: &str) -> Option<(u64, Job, &str)> {
    let (at, rest) = key.strip_prefix(DUE)?.split_once('/')?;
    let (word, name) = rest.split_once('/')?;
    let job = [Job::Role, Job::Root].into_iter().find(|job| job.word() == word)?;
    Some((at.parse().ok()?, job, name))
}

impl Databases {
    /// Does what is due, a bounded part of it. What fails is tried again later by its own entry.
    pub(super) async fn work(&self, cx: MountCx<'_>) -> Result<(), Refusal> {
        let page = cx.view()?.scan(DUE, None, PARALLEL).await.map_err(storage)?;
        let now = cx.now();
        let due: Vec<_> = page.names.iter().filter_map(|key| parse(key)).collect();
        let due = due.into_iter().filter(|(at, ..)| Wall::from_nanos(*at) <= now);
        join_all(due.map(|(at, job, name)| self.job(cx, at, job, name))).await.into_iter().collect()
    }

    async fn job(&self, cx: MountCx<'_>, at: u64, job: Job, name: &str) -> Result<(), Refusal> {
        let known = match job {
            Job::Role => self.rotate_due(cx, name, at).await,
            Job::Root => self.settle_root_due(cx, name, at).await,
        };
        match known {
            Ok(true) => Ok(()),
            // An entry without a record that knows of it.
            Ok(false) => {
                cx.view()?.transact(moved(ViewBatch::new(), job, name, (at, 0))).await.map_err(storage)
            }
            Err(refusal) => {
                let what = job.word();
                tracing::warn!(mount = cx.mount().path, what, name, cause = %refusal, "a password could not be changed");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_time_and_read_back() {
        let (early, late) = (key(9, Job::Role, "a"), key(1_800_000_000_000_000_000, Job::Root, "b.c"));
        assert!(early < late);
        assert_eq!(parse(&early), Some((9, Job::Role, "a")));
        assert_eq!(parse(&late), Some((1_800_000_000_000_000_000, Job::Root, "b.c")));
        assert_eq!(parse("due/x"), None);
    }
}
