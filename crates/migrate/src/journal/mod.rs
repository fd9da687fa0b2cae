//! What survives a crash: append-only JSON lines, each chained to the one before it by a hash. A line is durable before
//! the action it announces. A torn last line announced nothing that happened, so it is dropped; anything else that does
//! not fit is somebody's edit, and stops us.

mod queue;
mod run;
mod sink;

use std::collections::{BTreeMap, BTreeSet};

use coffre_ambient::{Clock, Wall};
use coffre_crypto::digest;
use serde::{Deserialize, Serialize};

use crate::vault::{Object, Place, Standing};

pub use queue::{Exposure, Queued};
pub(crate) use run::DocumentWrite;
pub use run::{CutOver, Ended, Run, Step, Subject};
pub use sink::{FileSink, Sink};

/// The journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing it failed.
    #[error(
        "cannot use the journal {path}: {cause}; nothing further was done: correct this and run the command again"
    )]
    Io {
        /// Where it is.
        path: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A line is not what was written.
    #[error(
        "line {line} of the journal {path} is not what was written there; restore the file from a backup, or move it away if nothing has to be rolled back"
    )]
    Changed {
        /// Where it is.
        path: String,
        /// The line (from 1).
        line: usize,
    },
    /// Another migration uses it.
    #[error("another migration uses the journal {path}; wait until it has ended")]
    Busy {
        /// Where it is.
        path: String,
    },
}

/// What happened, or is about to happen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Event {
    /// A plan begins.
    Begin {
        /// Its id.
        plan: String,
        /// The server's address.
        server: String,
        /// The application.
        app: String,
        /// The environment.
        environment: String,
    },
    /// An object is about to be put.
    SetupIntent {
        /// Which.
        object: Object,
        /// Its state before; `None` if it did not exist.
        before: Option<String>,
        /// Its state afterwards.
        wanted: String,
    },
    /// It was put.
    SetupDone {
        /// Which.
        object: Object,
    },
    /// A document is about to be written.
    Intent {
        /// Which.
        doc: Place,
        /// Each field we set, with the fingerprint of its value.
        fields: BTreeMap<String, String>,
        /// The version that must be the newest one.
        cas: u64,
        /// How it stood before.
        pre: Standing,
        /// The id of this write, which stands in the version that it makes: whoever finds it knows whose it is.
        #[serde(rename = "_w", default)]
        id: String,
    },
    /// It was written.
    Done {
        /// Which.
        doc: Place,
        /// The new version.
        version: u64,
    },
    /// It had been written before a crash.
    Recovered {
        /// Which.
        doc: Place,
        /// The version.
        version: u64,
    },
    /// Somebody else had written it, so that ours did not land.
    Conflict {
        /// Which.
        doc: Place,
        /// The version that was found.
        found: u64,
    },
    /// Everything was read back as the consumer and compared.
    Verified {
        /// How many variables.
        variables: usize,
        /// The role.
        by: String,
    },
    /// Programs that follow the manifest document use the migrated documents from here on.
    Cutover {
        /// Which document says so.
        doc: Place,
        /// Its version.
        version: u64,
    },
    /// All files were sealed into an archive.
    Archived {
        /// Its name in the state directory.
        archive: String,
        /// SHA-256 of the sealed bytes.
        id: String,
        /// Each file with the keyed fingerprint of its content.
        files: BTreeMap<String, String>,
    },
    /// A file is about to be replaced by its stub.
    RetireIntent {
        /// Which.
        file: String,
        /// Keyed fingerprint of its content.
        before: String,
        /// Keyed fingerprint of the stub.
        after: String,
    },
    /// It was replaced.
    Retired {
        /// Which.
        file: String,
    },
    /// Variables stood in a file in the clear and must be rotated.
    Queued {
        /// Which, and how they were exposed.
        items: Vec<Queued>,
    },
    /// A variable got another value since, or somebody said so.
    Rotated {
        /// Which.
        name: String,
    },
    /// Everything after a line was taken back.
    RolledTo {
        /// The line.
        line: u64,
    },
    /// A step is about to be taken back.
    UndoIntent {
        /// Which.
        subject: Subject,
    },
    /// It was taken back.
    UndoDone {
        /// Which.
        subject: Subject,
        /// The version that brought the old value back, for a document that had one.
        version: Option<u64>,
    },
    /// It was left as it is, because somebody else changed or uses it.
    UndoLeft {
        /// Which.
        subject: Subject,
    },
    /// The run is over.
    End {
        /// How.
        outcome: Ended,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    n: u64,
    t: String,
    prev: String,
    #[serde(flatten)]
    event: Event,
}

/// The journal, with its events read back into runs.
pub struct Journal {
    sink: Box<dyn Sink>,
    next: u64,
    last_hash: String,
    runs: Vec<Run>,
    queue: Vec<Queued>,
    /// Everything that ever was on the queue.
    queued: Vec<Queued>,
    /// Since when each variable is on the queue.
    since: BTreeMap<String, Wall>,
}

impl Journal {
    /// Opens what the sink holds.
    pub fn open(mut sink: Box<dyn Sink>) -> Result<Self, JournalError> {
        let path = sink.path();
        let io = |cause| JournalError::Io { path: path.clone(), cause };
        let content = sink.content().map_err(io)?;
        let (lines, torn_at) = whole_lines(&content);
        let mut journal = Self {
            sink,
            next: 1,
            last_hash: String::new(),
            runs: vec![],
            queue: vec![],
            queued: vec![],
            since: BTreeMap::new(),
        };
        let mut good = 0;
        for (number, line) in lines.iter().enumerate() {
            match journal.read_line(line) {
                Some((at, event)) => journal.fold(number as u64 + 1, at, &event),
                // Nothing was done on the strength of a last line that did not reach the disk whole.
                None if number + 1 == lines.len() => {
                    journal.sink.truncate(good).map_err(io)?;
                    return Ok(journal);
                }
                None => return Err(JournalError::Changed { path, line: number + 1 }),
            }
            good += line.len() as u64 + 1;
        }
        if torn_at.is_some() {
            journal.sink.truncate(good).map_err(io)?;
        }
        Ok(journal)
    }

    /// All runs, oldest first.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Variables that stood in a file in the clear and were not rotated since, the most exposed first.
    #[must_use]
    pub fn to_rotate(&self) -> &[Queued] {
        &self.queue
    }

    /// Since when a variable waits to be rotated: what was rotated before does not count.
    #[must_use]
    pub fn waits_since(&self, name: &str) -> Option<Wall> {
        self.since.get(name).copied().filter(|_| self.queue.iter().any(|queued| queued.name == name))
    }

    fn fold(&mut self, line: u64, at: Wall, event: &Event) {
        Run::fold(&mut self.runs, line, at, event);
        queue::fold(&mut self.queue, event);
        if let Event::Queued { items } = event {
            self.since.extend(items.iter().map(|item| (item.name.clone(), at)));
        }
        if let Event::Begin { .. } = event {
            // A secret that was rotated and stands in a file again is exposed again.
            self.queued.clone_from(&self.queue);
        } else if let Event::Queued { .. } = event {
            queue::fold(&mut self.queued, event);
        }
    }

    /// The versions of a document that are known to be ours, in any run.
    pub(crate) fn our_versions(&self, place: &Place) -> BTreeSet<u64> {
        let subject = Subject::Document(place.clone());
        let steps = self.runs.iter().flat_map(|run| &run.steps).filter(|step| step.subject == subject);
        steps.flat_map(|step| [step.landed, step.restored_as]).flatten().collect()
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn path(&self) -> String {
        self.sink.path()
    }

    /// Records that everything was read back and compared.
    pub fn verified(&mut self, clock: &dyn Clock, verified: &crate::Verified) -> Result<(), JournalError> {
        let (variables, by) = (verified.variables(), verified.role().to_owned());
        self.announce(clock, Event::Verified { variables, by })
    }

    /// Queues variables for rotation; those that are queued already, or as exposed, stay as they are.
    pub fn queue(&mut self, clock: &dyn Clock, items: &[Queued]) -> Result<(), JournalError> {
        let new = |item: &&Queued| {
            !self.queued.iter().any(|known| known.name == item.name && known.exposure <= item.exposure)
        };
        let items: Vec<Queued> = items.iter().filter(new).cloned().collect();
        if items.is_empty() { Ok(()) } else { self.announce(clock, Event::Queued { items }) }
    }

    /// Takes a variable off the queue; `false` if it was not on it.
    pub fn rotated(&mut self, clock: &dyn Clock, name: &str) -> Result<bool, JournalError> {
        let known = self.queue.iter().any(|known| known.name == name);
        if known {
            self.announce(clock, Event::Rotated { name: name.to_owned() })?;
        }
        Ok(known)
    }

    /// Adds a line. It is durable only after [`Journal::sync`].
    pub(crate) fn note(&mut self, clock: &dyn Clock, event: Event) -> Result<(), JournalError> {
        let at = clock.wall();
        let line = Line { n: self.next, t: at.rfc3339(), prev: self.last_hash.clone(), event };
        let path = self.sink.path();
        let io = |cause| JournalError::Io { path: path.clone(), cause };
        let body = serde_json::to_string(&line).map_err(|cause| io(cause.into()))?;
        let hash = hash(&line.prev, &body);
        let open = body.strip_suffix('}').unwrap_or(&body);
        self.sink.append(&format!("{open},\"h\":\"{hash}\"}}\n")).map_err(io)?;
        self.next += 1;
        self.last_hash = hash;
        self.fold(line.n, at, &line.event);
        Ok(())
    }

    /// Makes all lines durable.
    pub(crate) fn sync(&mut self) -> Result<(), JournalError> {
        self.sink.sync().map_err(|cause| JournalError::Io { path: self.sink.path(), cause })
    }

    /// A line that is durable when this returns.
    pub(crate) fn announce(&mut self, clock: &dyn Clock, event: Event) -> Result<(), JournalError> {
        self.note(clock, event)?;
        self.sync()
    }

    fn read_line(&mut self, text: &str) -> Option<(Wall, Event)> {
        let (open, tail) = text.rsplit_once(",\"h\":\"")?;
        let hash_found = tail.strip_suffix("\"}")?;
        let body = format!("{open}}}");
        let line: Line = serde_json::from_str(&body).ok()?;
        let fits =
            line.prev == self.last_hash && line.n == self.next && hash(&line.prev, &body) == hash_found;
        if !fits {
            return None;
        }
        self.next += 1;
        hash_found.clone_into(&mut self.last_hash);
        Some((Wall::parse(&line.t)?, line.event))
    }
}

fn hash(prev: &str, body: &str) -> String {
    digest::hex(&digest::sha256(format!("{prev}{body}").as_bytes()))
}

/// Complete lines, and where an incomplete one begins. Bytes that are no text end the readable part.
fn whole_lines(content: &[u8]) -> (Vec<&str>, Option<usize>) {
    let end = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let whole = content.get(..end).unwrap_or_default();
    let lines = whole.split(|byte| *byte == b'\n').take(whole.iter().filter(|byte| **byte == b'\n').count());
    let lines = lines.map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    (lines, (end < content.len()).then_some(end))
}
