//! For bindings to other languages: what was read may be kept in the language's own form, with a [`Permit`] that says
//! whether it may still be given out.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use crate::core::{Core, Seen};
use crate::document::Document;
use crate::error::{Error, ErrorKind};
use crate::local::{Tally, Term, What};
use crate::published::{ShelfState, nanos};
use crate::secrets::Secrets;
use crate::source::Source;
use crate::value::Value;

/// How often [`Secrets::refresh`] looks whether the answer is there.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Something that was read without waiting.
#[derive(Debug)]
pub struct Read<T> {
    /// What was read.
    pub value: T,
    /// Until when it may be given out again.
    pub permit: Permit,
}

/// Whether something that was read may still be given out: nothing was published since, and no deadline has passed.
/// Asking takes an atomic load and a reading of the clock.
pub struct Permit {
    core: Arc<Core>,
    term: Term,
    tally: Arc<Tally>,
}

impl Permit {
    /// Whether it holds now. If so, that counts as a hit in the metrics; of threads that ask at the very same time one
    /// may not be counted.
    #[inline]
    #[must_use]
    pub fn holds(&self) -> bool {
        let Self { core, term, tally } = self;
        let holds = core.generation() == term.generation && nanos(core.clock.boot()) < term.until;
        if holds {
            tally.count(term.class);
        }
        holds
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("generation", &self.term.generation).finish_non_exhaustive()
    }
}

impl Secrets {
    /// The value of a variable, or of a field of the document at a path, if it is cached; `None` if somebody would have
    /// to wait for it.
    ///
    /// # Errors
    /// As [`Secrets::get`], where that is known without asking the server.
    pub fn peek(&self, name: &str, field: Option<&str>) -> Result<Option<Read<Value>>, Error> {
        let core = self.core();
        let what = field.map_or(What::Variable(name), |field| What::Field(name, field));
        Ok(match core.counted(core.see(what))? {
            Seen::Value(value, term) => Some(Read { value, permit: permit(core, term) }),
            Seen::Wants(_) => None,
        })
    }

    /// The same of a whole document; `None` also where there is no server.
    ///
    /// # Errors
    /// As there.
    pub fn peek_document(&self, path: &str) -> Result<Option<Read<Arc<Document>>>, Error> {
        let core = self.core();
        if self.source() != Source::Vault {
            return Ok(None);
        }
        let found = core.document_now(&core.key(path)?)?;
        Ok(found.map(|(value, term)| Read { value, permit: permit(core, term) }))
    }

    /// Asks the server for a document now, and waits for what it says, as long as a reader would.
    ///
    /// # Errors
    /// As [`Secrets::document`]; `Unavailable` also if the server did not answer in time, whatever is cached.
    pub fn refresh(&self, path: &str) -> Result<(), Error> {
        let core = self.core();
        if self.source() != Source::Vault {
            return self.document(path).map(drop);
        }
        let (key, asked) = (core.key(path)?, core.clock.boot());
        self.invalidate(path)?;
        let deadline = asked.saturating_add(core.facts.budget);
        loop {
            match core.published().shelves.get(&key).map(|shelf| &shelf.state) {
                Some(ShelfState::Shown(_, shown)) if shown.validated_at >= asked => return Ok(()),
                Some(ShelfState::Shown(..)) => {}
                // The error is the server's word, or there never was anything: asking waits by itself.
                Some(ShelfState::Withdrawn { .. }) | None => return self.document(path).map(drop),
            }
            let left = deadline.saturating_sub(core.clock.boot());
            if left.is_zero() || core.is_closed() {
                let message = format!("{path}: the server did not confirm it in time; try again");
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            pause(left.min(LOOK_EVERY));
        }
    }

    /// Calls `hook` after each change of what is published, from the thread that changed it. It must not block, nor call
    /// this instance. Only the first hook of an instance counts.
    pub fn on_publish(&self, hook: impl Fn() + Send + Sync + 'static) {
        let _ = self.core().publications.hook.set(Box::new(hook));
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core().is_closed()
    }
}

/// Who is told that something was published.
#[derive(Default)]
pub(crate) struct Publications {
    hook: OnceLock<Box<dyn Fn() + Send + Sync>>,
    tally: OnceLock<Arc<Tally>>,
}

impl Publications {
    pub(crate) fn tell(&self) {
        if let Some(hook) = self.hook.get() {
            hook();
        }
    }
}

/// Nobody wakes who pauses: a lock that is shared with the background could be held for ever in a forked child.
fn pause(time: Duration) {
    let (lock, never) = (Mutex::new(()), Condvar::new());
    if let Ok(held) = lock.lock() {
        let _ = never.wait_timeout(held, time);
    }
}

fn permit(core: &Arc<Core>, term: Term) -> Permit {
    let tally = Arc::clone(core.publications.tally.get_or_init(|| core.tally()));
    Permit { core: Arc::clone(core), term, tally }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::settings::Settings;

    /// Behind `coffre run`, so that no server is needed. The variable is in the manifest: others are not kept.
    fn opened(directory: &std::path::Path) -> Secrets {
        let manifest = "app = \"a\"\nenvironments = [\"prod\"]\n[secret.KEY]\npath = \"a/key\"\n";
        std::fs::write(directory.join("coffre.toml"), manifest).unwrap();
        let lookup = |name: &str| match name {
            "COFFRE_SOURCE" => Some("vault".to_owned()),
            "KEY" => Some("a value".to_owned()),
            _ => None,
        };
        Secrets::open(Settings::from_lookup(lookup, directory).unwrap()).unwrap()
    }

    #[test]
    fn a_permit_holds_until_something_is_published_and_counts() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = opened(directory.path());
        let told = Arc::new(AtomicUsize::new(0));
        let hook = Arc::clone(&told);
        secrets.on_publish(move || {
            hook.fetch_add(1, Ordering::SeqCst);
        });
        let read = secrets.peek("KEY", None).unwrap().unwrap();
        assert_eq!(read.value.expose(), "a value");
        let before: u64 = secrets.core().counts.hits().iter().sum();
        assert!((0..10).all(|_| read.permit.holds()));
        assert_eq!(secrets.core().counts.hits().iter().sum::<u64>(), before + 10);
        assert_eq!(secrets.peek("a/key", Some("value")).unwrap().unwrap().value.expose(), "a value");
        assert!(secrets.peek("NONE", None).is_err());
        assert_eq!(told.load(Ordering::SeqCst), 0);
        secrets.close();
        assert!(!read.permit.holds() && secrets.is_closed());
        assert!(told.load(Ordering::SeqCst) >= 1);
        assert!(secrets.peek("KEY", None).is_err());
    }
}
