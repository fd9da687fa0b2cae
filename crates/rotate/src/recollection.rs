use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffre_rotation::Target as Name;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// A larger file is damaged.
const LARGEST: u64 = 4 << 20;
/// An epoch beyond this is damage, or somebody's mischief: one a second for thirty thousand years.
const MOST: u64 = 1 << 40;
/// Places and targets that are remembered; more are not.
const MOST_NAMES: usize = 20_000;

/// What outlives the engine's process and lies outside of the vault, so that a vault that was restored from an older
/// snapshot is noticed: everything in it is older then, its memory of itself included.
pub trait Recollection: Send + Sync {
    /// The highest epoch ever seen of a target; 0: none.
    fn highest(&self, target: &Name) -> u64;
    /// An epoch was seen. It must not fail: what cannot be kept is kept in the process.
    fn saw(&self, target: &Name, epoch: u64);
}

/// A small file of this machine, `{"schema": "rot-seen/1", "seen": {place: {target: epoch}}}`: names and numbers, no
/// secret. Written whole and atomically, mode 0600. Engines may share it: who writes holds a lock (`.NAME.lock` beside it,
/// which stays), so that no number falls.
pub struct StateFile {
    path: PathBuf,
    /// Which vault, mount and environment, so that one file may serve several.
    place: String,
    seen: Mutex<Held>,
}

/// What this process knows of the file.
struct Held {
    seen: Seen,
    /// It has seen more than it could write yet.
    behind: bool,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Seen {
    schema: String,
    seen: BTreeMap<String, BTreeMap<String, u64>>,
}

const SCHEMA: &str = "rot-seen/1";
/// How often the lock is tried, and how long it is waited in between: a write takes milliseconds.
const BUSY: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

impl StateFile {
    /// Reads the file if there is one, and tries whether it can be written.
    ///
    /// # Errors
    /// It cannot be read, written or understood. A witness that is lost must not be replaced by one that saw nothing.
    pub fn open(path: &Path, place: &str) -> Result<Self, Failure> {
        let place: String = place.chars().filter(|c| !c.is_control()).take(512).collect();
        let held = Held { seen: read(path)?, behind: false };
        let file = Self { path: path.to_owned(), place, seen: Mutex::new(held) };
        let cannot = |error: std::io::Error| wrong(path, &format!("cannot be written: {error}"));
        // Somebody who holds the lock writes it just now.
        if let Some(_lock) = file.lock(BUSY).map_err(cannot)? {
            let seen = read(path)?;
            file.write(&seen).map_err(cannot)?;
            file.held().seen = seen;
        }
        Ok(file)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to write, until it is dropped; `None`: another engine has it for longer than a write takes. One that was
    /// stopped in the middle must not stop the others.
    fn lock(&self, tries: u32) -> std::io::Result<Option<std::fs::File>> {
        let (folder, name) = self.parts()?;
        let path = folder.join(format!(".{name}.lock"));
        let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        for _ in 0..tries {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(std::fs::TryLockError::WouldBlock) => std::thread::park_timeout(PAUSE),
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    fn parts(&self) -> std::io::Result<(&Path, String)> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let name = self.path.file_name().ok_or_else(|| std::io::Error::other("it has no name"))?;
        Ok((folder.unwrap_or(Path::new(".")), name.to_string_lossy().into_owned()))
    }

    /// Takes over what others wrote, and writes what this process has seen beyond that. `false`: not now.
    fn catch_up(&self, held: &mut Held) -> Result<bool, Failure> {
        let cannot = |error: std::io::Error| wrong(&self.path, &format!("cannot be written: {error}"));
        // It was waited for already, the last time.
        let tries = if held.behind { 1 } else { BUSY };
        let Some(_lock) = self.lock(tries).map_err(cannot)? else { return Ok(false) };
        let mut seen = read(&self.path)?;
        for (place, targets) in &held.seen.seen {
            let known = seen.seen.entry(place.clone()).or_default();
            for (name, epoch) in targets {
                let highest = known.entry(name.clone()).or_default();
                *highest = (*highest).max(*epoch);
            }
        }
        SCHEMA.clone_into(&mut seen.schema);
        self.write(&seen).map_err(cannot)?;
        held.seen = seen;
        Ok(true)
    }

    fn write(&self, seen: &Seen) -> std::io::Result<()> {
        let (folder, name) = self.parts()?;
        let beside = folder.join(format!(".{name}.{}", std::process::id()));
        let mut new = std::fs::OpenOptions::new();
        // Never through a link that somebody laid there.
        drop(std::fs::remove_file(&beside));
        let mut new = new.write(true).create_new(true).mode(0o600).open(&beside)?;
        new.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        new.write_all(&serde_json::to_vec(seen).map_err(std::io::Error::other)?)?;
        new.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        std::fs::File::open(folder)?.sync_all()
    }
}

impl Recollection for StateFile {
    fn highest(&self, target: &Name) -> u64 {
        let held = self.held();
        held.seen.seen.get(&self.place).and_then(|place| place.get(target.as_str())).copied().unwrap_or(0)
    }

    fn saw(&self, target: &Name, epoch: u64) {
        let more = epoch > 0 && epoch <= MOST && epoch > self.highest(target);
        let mut held = self.held();
        if more {
            let full = held.seen.seen.values().map(BTreeMap::len).sum::<usize>() >= MOST_NAMES;
            let place = held.seen.seen.entry(self.place.clone()).or_default();
            if full && !place.contains_key(target.as_str()) {
                tracing::warn!(path = %self.path.display(), "the state file is full; remove it where it is not needed any more");
                return;
            }
            let highest = place.entry(target.as_str().to_owned()).or_default();
            *highest = (*highest).max(epoch);
        }
        if !more && !held.behind {
            return;
        }
        let was_behind = held.behind;
        match self.catch_up(&mut held) {
            Ok(written) => held.behind = !written,
            Err(failure) => {
                held.behind = true;
                if !was_behind {
                    tracing::warn!(path = %self.path.display(), %failure, "the process alone remembers until the state file can be written");
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<Seen, Failure> {
    let bytes = match std::fs::metadata(path) {
        Ok(about) if about.len() > LARGEST => return Err(wrong(path, "is too large")),
        Ok(_) => std::fs::read(path).map_err(|error| wrong(path, &format!("cannot be read: {error}")))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Seen { schema: SCHEMA.to_owned(), seen: BTreeMap::new() });
        }
        Err(error) => return Err(wrong(path, &format!("cannot be read: {error}"))),
    };
    let seen: Option<Seen> = serde_json::from_slice(&bytes).ok();
    let sound = |seen: &Seen| {
        seen.schema == SCHEMA && seen.seen.values().flat_map(BTreeMap::values).all(|epoch| *epoch <= MOST)
    };
    seen.filter(sound).ok_or_else(|| wrong(path, "is damaged"))
}

fn wrong(path: &Path, what: &str) -> Failure {
    Failure::config(format!("the state file {} {what}", path.display())).advise(
        "It tells a restored server from one that is up to date. Give it a place that this user may write, or, if it is damaged, \
         remove it once you know that the server was not restored.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn it_remembers_the_highest_for_each_place_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.json");
        let file = StateFile::open(&path, "https://one app/prod").unwrap();
        for epoch in [3, 7, 5, 0] {
            file.saw(&name("jwt/key"), epoch);
        }
        file.saw(&name("other"), MOST + 1);
        let again = StateFile::open(&path, "https://one app/prod").unwrap();
        assert_eq!((again.highest(&name("jwt/key")), again.highest(&name("other"))), (7, 0));
        let elsewhere = StateFile::open(&path, "https://two app/prod").unwrap();
        assert_eq!(elsewhere.highest(&name("jwt/key")), 0);
        // Two engines, one file: neither forgets what the other saw.
        elsewhere.saw(&name("jwt/key"), 2);
        again.saw(&name("jwt/key"), 9);
        assert_eq!(StateFile::open(&path, "https://two app/prod").unwrap().highest(&name("jwt/key")), 2);
        assert_eq!(StateFile::open(&path, "https://one app/prod").unwrap().highest(&name("jwt/key")), 9);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode, std::fs::read_dir(folder.path()).unwrap().count()),
            (0o600, 2),
            "itself and its lock"
        );
    }

    #[test]
    fn engines_that_write_it_at_the_same_moment_lose_no_number_and_none_falls() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.json");
        let engine = |own: u64| {
            let path = path.clone();
            move || {
                for epoch in 1..=40 {
                    // Each time another process, which begins with what stands there.
                    let file = StateFile::open(&path, "p").unwrap();
                    file.saw(&name(&format!("own/{own}")), epoch);
                    file.saw(&name("shared"), epoch * 4 + own);
                    while file.held().behind {
                        // The next look, on a machine that is busy.
                        file.saw(&name("shared"), 1);
                    }
                    let kept = read(&path).unwrap();
                    assert!(kept.seen["p"][&format!("own/{own}")] >= epoch, "it was lost");
                    assert!(kept.seen["p"]["shared"] >= epoch * 4 + own, "it fell");
                }
            }
        };
        std::thread::scope(|scope| {
            for own in 0..4 {
                scope.spawn(engine(own));
            }
        });
        let kept = read(&path).unwrap();
        assert_eq!(kept.seen["p"].values().copied().collect::<Vec<_>>(), [40, 40, 40, 40, 163]);
    }

    #[test]
    fn one_that_was_stopped_while_it_wrote_stops_nobody_and_what_could_not_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.json");
        let (stopped, other) = (StateFile::open(&path, "p").unwrap(), StateFile::open(&path, "p").unwrap());
        let lock = stopped.lock(1).unwrap().unwrap();
        other.saw(&name("a"), 7);
        assert_eq!((other.highest(&name("a")), read(&path).unwrap().seen.len()), (7, 0));
        assert!(StateFile::open(&path, "p").is_ok());
        drop(lock);
        // At the next look, whatever is looked at.
        other.saw(&name("a"), 7);
        assert_eq!(read(&path).unwrap().seen["p"]["a"], 7);
        // What somebody else has spoilt is not replaced by less.
        std::fs::write(&path, "spoilt").unwrap();
        other.saw(&name("a"), 8);
        assert_eq!(
            (other.highest(&name("a")), std::fs::read_to_string(&path).unwrap().as_str()),
            (8, "spoilt")
        );
        std::fs::remove_file(&path).unwrap();
        other.saw(&name("b"), 1);
        assert_eq!(
            read(&path).unwrap().seen["p"],
            BTreeMap::from([("a".to_owned(), 8), ("b".to_owned(), 1)])
        );
    }

    #[test]
    fn one_that_is_damaged_or_cannot_be_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.json");
        let number = format!(r#"{{"schema":"rot-seen/1","seen":{{"p":{{"t":{}}}}}}}"#, u64::MAX);
        for damaged in
            ["", "{}", "[]", r#"{"schema":"other","seen":{}}"#, &number, "{\"schema\":\"rot-seen/1\""]
        {
            std::fs::write(&path, damaged).unwrap();
            let refused = StateFile::open(&path, "p").err().unwrap();
            assert!(refused.to_string().contains("seen.json is damaged"), "{damaged}: {refused}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged, "it is left as it is");
        }
        assert!(StateFile::open(&folder.path().join("nowhere/seen.json"), "p").is_err());
    }
}
