use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_rotation::Target as Name;
use coffre_rotation::machine::Command;
use serde::Serialize;

use crate::leftovers;
use crate::rotator::{Step, Waits};
use crate::{At, Failure, FailureKind, Rotating, Rotator, Which};

/// How often everything is looked at, at least: an acknowledgement, a freeze, a person's wish come from outside. Targets
/// that want to be asked again sooner are the measure.
const POLL: Duration = Duration::from_secs(20);
/// The shortest pause between two rounds, unless everything is looked at more often.
const LEAST: Duration = Duration::from_millis(500);
/// How often the active credential of each target is tried.
const DRIFT: Duration = Duration::from_secs(3_600);
/// Steps of one target in one round; more means that something goes in circles.
const MOST_STEPS: u32 = 64;

/// What a round came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Steps that did something.
    pub steps: u32,
    /// Targets that wait, and why.
    pub waiting: Vec<(String, String)>,
    /// Targets that could not be looked at, and why.
    pub failed: Vec<(String, String)>,
    /// When it is worth coming again.
    #[serde(skip)]
    pub again: Option<Wall>,
}

impl Rotator {
    /// For ever, as a service, until `shutdown` is ready. The step that is under way then is finished first, so that no
    /// claim is left behind an effect; what is left is gone on with by whoever starts next.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        let stop = AtomicBool::new(false);
        let mut said: Vec<(String, String)> = Vec::new();
        let soonest = self.targets.iter().map(|target| target.settings.look_again / 3).min();
        let poll = soonest.map_or(POLL, |soonest| soonest.min(POLL));
        loop {
            let mut round = std::pin::pin!(self.round(&stop));
            let report = tokio::select! {
                biased;
                () = &mut shutdown => {
                    stop.store(true, Ordering::Relaxed);
                    round.await;
                    return;
                }
                report = &mut round => report,
            };
            // Said once: a sealed server would say it for hours.
            for (name, why) in report.failed.iter().filter(|failed| !said.contains(*failed)) {
                tracing::warn!(name, why, "a target could not be looked at; it is tried again");
            }
            said = report.failed;
            let pause = report.again.map_or(poll, |at| at.since(self.store.now()).min(poll));
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = tokio::time::sleep(pause.max(LEAST.min(poll))) => {}
            }
        }
    }

    /// Everything that is due now, then returns: for cron and Kubernetes CronJobs. What must be waited for longer than a
    /// moment is gone on with by the next call.
    pub async fn tick(&self) -> Report {
        self.round(&AtomicBool::new(false)).await
    }

    /// Steps one target until there is nothing more to do now, or `most` steps were made.
    ///
    /// # Errors
    /// As [`Rotator::step`].
    pub async fn drive(&self, name: &Name, most: u32) -> Result<(u32, Option<Waits>), Failure> {
        self.drive_until(name, most, &AtomicBool::new(false)).await
    }

    async fn drive_until(
        &self,
        name: &Name,
        most: u32,
        stop: &AtomicBool,
    ) -> Result<(u32, Option<Waits>), Failure> {
        let mut done = 0;
        for _ in 0..most {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            match self.step(name).await? {
                Step::Done(..) => done += 1,
                Step::Again => {}
                Step::Wait(waits) => return Ok((done, Some(waits))),
            }
        }
        Ok((done, None))
    }

    async fn round(&self, stop: &AtomicBool) -> Report {
        let mut report = Report::default();
        for target in &self.targets {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let (name, mut crowded) = (&target.name, false);
            if let Err(failure) = self.try_active(target).await {
                tracing::debug!(%name, %failure, "the active credential could not be tried");
            }
            match self.drive_until(name, MOST_STEPS, stop).await {
                Ok((steps, waits)) => {
                    report.steps += steps;
                    let (until, why) = match waits {
                        Some(waits) => (waits.until, waits.why),
                        None => (Some(self.store.now()), "there is more to do".to_owned()),
                    };
                    report.again = earliest(report.again, until);
                    report.waiting.push((name.to_string(), why));
                }
                Err(failure) => {
                    crowded = failure.kind() == FailureKind::Config;
                    report.failed.push((name.to_string(), failure.to_string()));
                }
            }
            // Too many of them are a reason why a target cannot be looked at.
            let due = crowded || self.tidying_is_due(name, leftovers::EVERY);
            if due && let Err(failure) = self.forget_gone(target).await {
                tracing::debug!(%name, %failure, "acknowledgements could not be looked through");
            }
        }
        report
    }

    /// Drift: the active credential must work, on the consumer's own path. One that the target itself refuses is put
    /// right from a generation that works, or everything stands still; nothing is ever reset blindly.
    async fn try_active(&self, target: &Rotating) -> Result<(), Failure> {
        let name = &target.name;
        if !self.drift_is_due(name, DRIFT) {
            return Ok(());
        }
        let turn = self.turn(name).await;
        let read = self.read(target).await?;
        let Some(record) = read.record.value.as_ref() else { return Ok(()) };
        let rests = record.halt.is_none() && record.repair.is_none() && record.claim.is_none();
        if !rests || read.document.value.is_none() || read.freeze.is_some() || !read.enabled {
            return Ok(());
        }
        if target.kind.works(self.at(&read)?, Which::Active).await? {
            return Ok(());
        }
        // Twice, and the same document both times: a promotion may have come in between.
        let again = self.read(target).await?;
        if again.document.version != read.document.version
            || target.kind.works(self.at(&again)?, Which::Active).await?
        {
            return Ok(());
        }
        let working = self.which_works(target, &again).await?;
        drop(turn);
        tracing::warn!(%name, ?working, "the active credential is refused");
        match self.wish(name, || Command::Drift { working }).await {
            Err(failure) if failure.kind() == FailureKind::Config => {
                tracing::warn!(%name, %failure, "drift is not put right now");
                Ok(())
            }
            other => other,
        }
    }

    async fn which_works(
        &self,
        target: &Rotating,
        read: &crate::gather::Gathered,
    ) -> Result<Option<u64>, Failure> {
        let at = self.at(read)?;
        for old in at.record.retiring.iter().rev() {
            let earlier = self.earlier(target, old.gen_no).await?;
            if let Some(earlier) = &earlier
                && target.kind.works(At { earlier: Some(earlier), ..at }, Which::Earlier).await?
            {
                return Ok(Some(old.gen_no));
            }
        }
        Ok(None)
    }
}

fn earliest(a: Option<Wall>, b: Option<Wall>) -> Option<Wall> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
