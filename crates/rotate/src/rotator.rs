use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::{Wall, ids};
use coffre_rotation::machine::{self, Action, Memory, Next, Outcome, Seen};
use coffre_rotation::{Phase, Record, RotPolicy, Soak, Target as Name, Well, WireDocument, check, paths};

use crate::chronicle::Chronicle;
use crate::gather::{Gathered, gather};
use crate::perform::{DOCUMENT_VERSIONS, Work, earlier, mend_companions};
use crate::store::Store;
use crate::{Document, Failure, FailureKind, Parts, Recollection, Rotating, Sink};

/// Versions of a record that are kept: the newest, and the one before for whoever reads at that moment.
pub(crate) const RECORD_VERSIONS: u64 = 2;

/// The engine: drives each target through its phases, one step at a time, as often as it is asked to.
///
/// Nothing is kept in the process that a restart needs: between any two writes it may die, be paused, or lose an answer,
/// and whoever goes on finds in the record what was meant. Several engines may run at once.
pub struct Rotator {
    pub(crate) store: Store,
    pub(crate) environment: String,
    pub(crate) holder: String,
    pub(crate) targets: Vec<Rotating>,
    pub(crate) sink: Arc<dyn Sink>,
    /// What the manifest says to consumers and rotators; `None`: only what stands in the store.
    pub(crate) declared: Option<RotPolicy>,
    chronicle: Chronicle,
    memories: Mutex<HashMap<Name, Remembered>>,
    /// What outlives the process.
    recollection: Option<Arc<dyn Recollection>>,
    /// One step at a time of each target: what a second one would read is what the first is changing.
    turns: HashMap<Name, tokio::sync::Mutex<()>>,
}

/// What the process remembers of a target.
#[derive(Clone, Default)]
struct Remembered {
    memory: Memory,
    incarnation: String,
    /// The mirror that was written last.
    mirrored: Vec<(&'static str, String)>,
    /// The version of the document whose companions were seen to be in line.
    in_line: u64,
    /// What the next environment was told.
    told_well: Option<Option<Well>>,
    /// When the active credential was last tried.
    tried: Option<Duration>,
    /// When acknowledgements were last looked through, and how many of them.
    tidied: Option<Duration>,
    leftovers: usize,
}

/// What one step came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Something was done: the phase before and after. There may be more to do at once.
    Done(Phase, Phase),
    /// Somebody else wrote in between, or a claim ran out: the next step reads everything anew.
    Again,
    /// There is nothing to do now.
    Wait(Waits),
}

/// Why there is nothing to do, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waits {
    /// When it is worth asking again; `None`: when somebody changes something.
    pub until: Option<Wall>,
    /// For a person.
    pub why: String,
    /// Consumers that are waited for.
    pub consumers: Vec<String>,
}

impl Rotator {
    /// Puts an engine together; nothing is read yet.
    ///
    /// # Errors
    /// Two targets of one name; no randomness.
    pub fn new(parts: Parts) -> Result<Self, Failure> {
        let Parts { kv, environment, holder, mut targets, clock, entropy, sink } = parts;
        targets.sort_by(|a, b| a.name.cmp(&b.name));
        if let [twice, _] =
            targets.windows(2).find(|pair| matches!(pair, [a, b] if a.name == b.name)).unwrap_or(&[])
        {
            return Err(Failure::config(format!("two targets are called {}", twice.name)));
        }
        let unique = ids::hex(entropy.as_ref(), 4)?;
        let holder: String = holder.chars().filter(|c| !c.is_control()).take(150).collect();
        let turns =
            targets.iter().map(|target| (target.name.clone(), tokio::sync::Mutex::default())).collect();
        Ok(Self {
            store: Store::new(kv, clock, entropy),
            environment,
            holder: format!("{holder}/{unique}"),
            targets,
            sink,
            declared: None,
            chronicle: Chronicle::default(),
            memories: Mutex::default(),
            recollection: None,
            turns,
        })
    }

    /// The same with a memory outside of process and vault, so that a vault that was restored from an older snapshot while
    /// no engine ran is noticed, too.
    #[must_use]
    pub fn remembering(self, recollection: Arc<dyn Recollection>) -> Self {
        Self { recollection: Some(recollection), ..self }
    }

    /// Does at most one thing for one target: one write, or one effect and the write that says so.
    ///
    /// # Errors
    /// What could not be read or written now. Failures of effects are in the record, not here.
    pub async fn step(&self, name: &Name) -> Result<Step, Failure> {
        let target = self.target(name)?;
        let _turn = self.turn(name).await;
        let read = match self.read(target).await {
            Err(failure) if failure.kind() == FailureKind::Conflict => return Ok(Step::Again),
            read => read?,
        };
        let settings = self.settings(target, read.enabled);
        let Some(seen) = read.seen(&settings, &self.holder, self.memory(name), self.store.now()) else {
            return Ok(Step::Again);
        };
        let before = seen.record.phase;
        let next = match machine::next(&seen) {
            Next::Act(action) => self.act(target, &read, &seen, &action).await,
            decided => decided,
        };
        match next {
            Next::Write(record) => self.put(&read, &record).await.map(|written| match written {
                true => Step::Done(before, record.phase),
                false => Step::Again,
            }),
            Next::Wait(waiting) => Ok(Step::Wait(Waits::of(waiting))),
            Next::Act(_) | Next::Reread => Ok(Step::Again),
        }
    }

    /// The target of a name.
    pub(crate) fn target(&self, name: &Name) -> Result<&Rotating, Failure> {
        let unknown = || {
            let names: Vec<&str> = self.targets.iter().take(20).map(|target| target.name.as_str()).collect();
            Failure::config(format!("nothing that rotates is called {name}"))
                .advise(format!("The manifest knows: {}.", names.join(", ")))
        };
        self.targets.iter().find(|target| target.name == *name).ok_or_else(unknown)
    }

    /// Waits until no other step of this target runs in this process.
    pub(crate) async fn turn(&self, name: &Name) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match self.turns.get(name) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    /// Settings under which a target that is not enabled, or that the manifest has made unsafe since, begins nothing by
    /// itself, and goes on with what a person began.
    pub(crate) fn settings(&self, target: &Rotating, enabled: bool) -> coffre_rotation::Settings {
        let mut settings = target.settings.clone();
        settings.automatic &= enabled && check::unsound(&target.settings).is_empty();
        settings
    }

    pub(crate) fn memory(&self, name: &Name) -> Memory {
        let memory = self.memories().get(name).map(|known| known.memory).unwrap_or_default();
        let kept = self.recollection.as_ref().map_or(0, |kept| kept.highest(name));
        Memory { max_epoch: memory.max_epoch.max(kept), ..memory }
    }

    /// An epoch of the document was seen.
    fn saw(&self, name: &Name, epoch: u64) {
        self.remember(name, |known| known.memory.max_epoch = known.memory.max_epoch.max(epoch));
        if let Some(kept) = &self.recollection {
            kept.saw(name, epoch);
        }
    }

    fn memories(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Remembered>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, name: &Name, change: impl FnOnce(&mut Remembered)) {
        change(self.memories().entry(name.clone()).or_default());
    }

    /// Reads everything about a target; makes its record if there is none, and brings behind what follows from it.
    pub(crate) async fn read(&self, target: &Rotating) -> Result<Gathered, Failure> {
        let mut read = gather(&self.store, &self.environment, target, &self.targets).await?;
        if read.record.value.is_none() {
            self.first_record(target, &read).await?;
            read = gather(&self.store, &self.environment, target, &self.targets).await?;
        }
        let name = &target.name;
        if let Some(record) = &mut read.record.value {
            let known = self.memories().get(name).map(|known| known.incarnation.clone()).unwrap_or_default();
            if !known.is_empty() && known != record.incarnation {
                self.chronicle.forget(name);
            }
            self.remember(name, |known| known.incarnation.clone_from(&record.incarnation));
            if let Err(failure) =
                self.chronicle.flush(&self.store, &self.environment, &*self.sink, record).await
            {
                tracing::warn!(%name, %failure, "the history could not be written; it is tried again");
            }
        }
        if let Some(record) = &read.record.value {
            self.tell_how_well(record).await;
        }
        let epoch = read.facts.as_ref().map_or(0, |facts| facts.epoch);
        self.saw(name, epoch);
        self.align_companions(target, &read).await?;
        Ok(read)
    }

    /// What a crash between a document and what is kept beside it left behind.
    async fn align_companions(&self, target: &Rotating, read: &Gathered) -> Result<(), Failure> {
        let name = &target.name;
        let Some(document) = &read.document.value else { return Ok(()) };
        let in_line = self.memories().get(name).map_or(0, |known| known.in_line);
        if document.epoch() == 0 || in_line == read.document.version {
            return Ok(());
        }
        mend_companions(&self.store, &paths::document(&self.environment, name), target, document).await?;
        self.remember(name, |known| known.in_line = read.document.version);
        Ok(())
    }

    /// The record of a target that was never rotated here.
    async fn first_record(&self, target: &Rotating, read: &Gathered) -> Result<(), Failure> {
        let path = paths::record(&self.environment, &target.name);
        let facts = read.facts.as_ref();
        let active = facts.map_or(0, |facts| facts.active.unwrap_or(1));
        let incarnation = ids::hex(self.store.entropy(), 8)?;
        let mut record =
            Record::new(target.name.clone(), target.kind.kind(), incarnation, active, self.store.now());
        // A record that was lost is made again from what the document knows.
        record.gens = facts
            .map_or(0, |facts| facts.usable.iter().map(|(number, _)| *number).max().unwrap_or(0))
            .max(active);
        record.max_epoch = facts.map_or(0, |facts| facts.epoch);
        record.write = self.store.write_id()?;
        self.store.guard(&path, RECORD_VERSIONS).await?;
        if read.document.version > 0 {
            self.store.guard(&paths::document(&self.environment, &target.name), DOCUMENT_VERSIONS).await?;
        }
        self.store.put(&path, &WireDocument::write(&record)?, &record.write, 0).await.map(drop)
    }

    /// Writes a record in place of the one that was read. `false`: somebody else was faster.
    pub(crate) async fn put(&self, read: &Gathered, record: &Record) -> Result<bool, Failure> {
        let mut record = record.duplicate();
        record.write = self.store.write_id()?;
        let path = paths::record(&self.environment, &record.target);
        match self.store.put(&path, &WireDocument::write(&record)?, &record.write, read.record.version).await
        {
            Ok(_) => {}
            Err(failure) if failure.kind() == FailureKind::Conflict => return Ok(false),
            Err(failure) => return Err(failure),
        }
        self.remember(&record.target, |known| known.memory.refused_fence = None);
        if let Err(failure) =
            self.chronicle.flush(&self.store, &self.environment, &*self.sink, &mut record).await
        {
            tracing::warn!(target = %record.target, %failure, "the history could not be written; it is tried again");
        }
        self.mirror(&record).await;
        self.tell_how_well(&record).await;
        Ok(true)
    }

    /// For the environment after this one, which may not read the record. It is tried again with the next look.
    async fn tell_how_well(&self, record: &Record) {
        let name = &record.target;
        let told =
            self.memories().get(name).is_some_and(|known| known.told_well.as_ref() == Some(&record.well));
        let followed = self.target(name).is_ok_and(|target| target.followed);
        if told || !followed {
            return;
        }
        match self.write_how_well(record).await {
            Ok(()) => self.remember(name, |known| known.told_well = Some(record.well.clone())),
            Err(failure) => {
                tracing::warn!(%name, %failure, "the next environment was not told how well it rotates");
            }
        }
    }

    async fn write_how_well(&self, record: &Record) -> Result<(), Failure> {
        let path = paths::soak(&self.environment, &record.target);
        let held: crate::store::Held<Soak> = self.store.read(&path).await?;
        let known = held.value.map(|soak| soak.well);
        if known.as_ref() == Some(&record.well) || (known.is_none() && record.well.is_none()) {
            return Ok(());
        }
        if held.version == 0 {
            self.store.guard(&path, RECORD_VERSIONS).await?;
        }
        let mut soak = Soak::new(record.target.clone(), record.well.clone());
        soak.write = self.store.write_id()?;
        self.store.put(&path, &WireDocument::write(&soak)?, &soak.write, held.version).await.map(drop)
    }

    /// For people who look at the document's metadata; authority is in the record.
    async fn mirror(&self, record: &Record) {
        let time = |at: Option<Wall>| at.map(Wall::rfc3339).unwrap_or_default();
        let ours = vec![
            ("rot.phase", record.phase.word().to_owned()),
            ("rot.active", record.active.to_string()),
            ("rot.next", time(record.schedule.next_due)),
            ("rot.deadline", time(record.schedule.deadline)),
        ];
        let name = &record.target;
        if self.memories().get(name).is_some_and(|known| known.mirrored == ours) {
            return;
        }
        match self.store.mirror(&paths::document(&self.environment, name), &ours).await {
            Ok(()) => self.remember(name, |known| known.mirrored = ours),
            Err(failure) => {
                tracing::debug!(%name, %failure, "the document's metadata does not show the phase")
            }
        }
    }

    /// One effect, and what follows from how it ended.
    async fn act(&self, target: &Rotating, read: &Gathered, seen: &Seen<'_>, action: &Action) -> Next {
        let settings = seen.settings;
        // We may have been paused since we read: what is left of the claim must cover the effect.
        let until = seen.record.claim.as_ref().map_or(seen.now, |claim| claim.until);
        let left = until.since(self.store.now().plus(settings.allowance));
        if left < settings.action_timeout {
            return Next::Reread;
        }
        let work = Work {
            store: &self.store,
            environment: &self.environment,
            target,
            record: seen.record,
            document: read.document.value.as_ref(),
            version: read.document.version,
            until: self.store.now().plus(settings.action_timeout),
        };
        let limit = Duration::from_secs(1).max(settings.action_timeout);
        let outcome = match tokio::time::timeout(limit, work.perform(action)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failed(machine::FailureKind::Transient, format!("no answer within {limit:?}")),
        };
        self.note(target, seen.record, action, &outcome);
        let after = Seen { now: self.store.now(), memory: self.memory(&target.name), ..*seen };
        machine::finish(&after, action, outcome)
    }

    fn note(&self, target: &Rotating, record: &Record, action: &Action, outcome: &Outcome) {
        let name = &target.name;
        match outcome {
            Outcome::Failed(machine::FailureKind::Fenced, why) => {
                self.remember(name, |known| known.memory.refused_fence = Some(record.fence));
                tracing::warn!(%name, fence = record.fence, why, "the target refused our fence");
            }
            Outcome::Failed(kind, why) => {
                tracing::warn!(%name, phase = %record.phase, ?action, ?kind, why, "a step failed");
            }
            Outcome::Written(epoch) | Outcome::Destroyed { epoch, .. } => {
                self.saw(name, *epoch);
                tracing::debug!(%name, phase = %record.phase, epoch, "the document is written");
            }
            _ => tracing::debug!(%name, phase = %record.phase, "a step is done"),
        }
    }

    /// What was remembered of a target is known to be wrong: the server was restored.
    pub(crate) fn forget(&self, name: &Name) {
        self.memories().remove(name);
        self.chronicle.forget(name);
    }

    /// The newest version of a target's document in which this generation was active.
    pub(crate) async fn earlier(&self, target: &Rotating, gen_no: u64) -> Result<Option<Document>, Failure> {
        earlier(&self.store, &paths::document(&self.environment, &target.name), gen_no).await
    }

    /// Whether acknowledgements of a target should be looked through again, and notes that they are.
    pub(crate) fn tidying_is_due(&self, name: &Name, every: Duration) -> bool {
        let now = self.store.clock().boot();
        let last = self.memories().get(name).and_then(|known| known.tidied);
        let due = last.is_none_or(|last| now.saturating_sub(last) >= every);
        if due {
            self.remember(name, |known| known.tidied = Some(now));
        }
        due
    }

    /// Where to begin among so many acknowledgements.
    pub(crate) fn first_leftover(&self, name: &Name, all: usize) -> usize {
        let from = self.memories().get(name).map_or(0, |known| known.leftovers);
        if from >= all { 0 } else { from }
    }

    /// Where the next look at them begins.
    pub(crate) fn next_leftover(&self, name: &Name, at: usize) {
        self.remember(name, |known| known.leftovers = at);
    }

    /// Whether the active credential of a target should be tried again, and notes that it is.
    pub(crate) fn drift_is_due(&self, name: &Name, every: Duration) -> bool {
        let now = self.store.clock().boot();
        let due = self
            .memories()
            .get(name)
            .and_then(|known| known.tried)
            .is_none_or(|tried| now.saturating_sub(tried) >= every);
        if due {
            self.remember(name, |known| known.tried = Some(now));
        }
        due
    }
}

impl Waits {
    pub(crate) fn of(waiting: machine::Waiting) -> Self {
        Self {
            until: waiting.until,
            why: waiting.why,
            consumers: waiting.consumers.iter().map(ToString::to_string).collect(),
        }
    }
}
