//! A server and a disk in memory that die when told to, before or after the effect.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "test code, of which each test takes a part"
)]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use coffre_migrate::{Desk, Kept, Object, Place, Sink, Standing, Vault, VaultError, VaultErrorKind};
use coffre_secret::SecretText;

/// When something dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    /// Nothing of the n-th call happens.
    Before(usize),
    /// The n-th call happens, but nobody learns of it.
    After(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub text: String,
    pub gone: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doc {
    pub versions: Vec<Version>,
    pub custom: String,
    pub max_versions: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    pub objects: BTreeMap<Object, String>,
    pub docs: BTreeMap<Place, Doc>,
}

/// What people see: objects, and each document's newest version and metadata.
pub type Visible = (BTreeMap<Object, String>, BTreeMap<Place, (Option<String>, String)>);

/// A document without the id of the write that made it, which is another one each time.
fn without_id(text: &str) -> String {
    let Some(at) = text.find("\"_w\":\"") else { return text.to_owned() };
    let end = at + "\"_w\":\"".len() + 33;
    let (before, after) = (&text[..at], &text[end..]);
    match after.strip_prefix(',') {
        Some(after) => format!("{before}{after}"),
        None => format!("{}{after}", before.trim_end_matches(',')),
    }
}

impl World {
    pub fn visible(&self) -> Visible {
        let docs = self.docs.iter().map(|(place, doc)| {
            let newest =
                doc.versions.last().filter(|version| !version.gone).map(|version| without_id(&version.text));
            (place.clone(), (newest, doc.custom.clone()))
        });
        (self.objects.clone(), docs.collect())
    }

    pub fn put_doc(&mut self, place: &str, text: &str) {
        let (mount, path) = place.split_once('/').unwrap();
        let place = Place { mount: mount.to_owned(), path: path.to_owned() };
        self.docs.entry(place).or_default().versions.push(Version { text: text.to_owned(), gone: false });
    }
}

#[derive(Default)]
struct Inner {
    world: World,
    calls: usize,
    changes: usize,
    death: Option<Death>,
    dead: bool,
    /// Written by somebody else right before our n-th document write.
    intruder: Option<usize>,
    doc_writes: usize,
}

#[derive(Clone, Default)]
pub struct Server {
    inner: Arc<Mutex<Inner>>,
    /// Rules of the consumer: path prefix and capabilities. `None` is the operator.
    rules: Option<Vec<(String, Vec<String>)>>,
}

impl Server {
    pub fn with(world: World) -> Self {
        let server = Self::default();
        server.lock().world = world;
        server
    }

    pub fn world(&self) -> World {
        self.lock().world.clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.lock().world);
    }

    pub fn dies(&self, death: Death) {
        let mut inner = self.lock();
        (inner.death, inner.calls) = (Some(death), 0);
    }

    pub fn intrude_at(&self, write: usize) {
        let mut inner = self.lock();
        (inner.intruder, inner.doc_writes) = (Some(write), 0);
    }

    pub fn revive(&self) {
        let mut inner = self.lock();
        (inner.death, inner.dead, inner.calls) = (None, false, 0);
    }

    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Calls that changed something.
    pub fn changes(&self) -> usize {
        self.lock().changes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn call<T>(
        &self,
        changes: bool,
        act: impl FnOnce(&mut Inner) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let mut inner = self.lock();
        if inner.dead {
            return Err(down());
        }
        inner.calls += 1;
        inner.changes += usize::from(changes);
        let now = inner.calls;
        if inner.death == Some(Death::Before(now)) {
            inner.dead = true;
            return Err(down());
        }
        let done = act(&mut inner);
        if inner.death == Some(Death::After(now)) {
            inner.dead = true;
            return Err(down());
        }
        done
    }

    fn allowed(&self, kind: &str, place: &Place, capability: &str) -> Result<(), VaultError> {
        let path = format!("{}/{kind}/{}", place.mount, place.path);
        let may = |rules: &Vec<(String, Vec<String>)>| {
            rules
                .iter()
                .any(|(prefix, can)| path.starts_with(prefix.as_str()) && can.iter().any(|c| c == capability))
        };
        if self.rules.as_ref().is_none_or(may) {
            Ok(())
        } else {
            Err(error(VaultErrorKind::Denied, "permission denied"))
        }
    }
}

fn error(kind: VaultErrorKind, message: &str) -> VaultError {
    VaultError { kind, message: message.to_owned() }
}

fn down() -> VaultError {
    error(VaultErrorKind::Down, "the server does not answer")
}

impl Vault for Server {
    type Consumer = Self;

    async fn state(&self, object: &Object) -> Result<Option<String>, VaultError> {
        self.call(false, |inner| Ok(inner.world.objects.get(object).cloned()))
    }

    async fn put(&self, object: &Object, state: &str) -> Result<(), VaultError> {
        self.call(true, |inner| {
            let mount = matches!(object, Object::Mount(_) | Object::Auth(_));
            if mount && inner.world.objects.contains_key(object) {
                return Err(error(VaultErrorKind::Refused, "path is already in use"));
            }
            inner.world.objects.insert(object.clone(), state.to_owned());
            Ok(())
        })
    }

    async fn remove(&self, object: &Object) -> Result<(), VaultError> {
        self.call(true, |inner| {
            inner.world.objects.remove(object);
            Ok(())
        })
    }

    async fn in_use(&self, object: &Object) -> Result<bool, VaultError> {
        self.call(false, |inner| {
            Ok(match object {
                Object::Mount(path) => inner.world.docs.keys().any(|place| place.mount == *path),
                Object::Auth(path) => inner
                    .world
                    .objects
                    .keys()
                    .any(|other| matches!(other, Object::Role { auth, .. } if auth == path)),
                _ => false,
            })
        })
    }

    async fn standing(&self, place: &Place) -> Result<Standing, VaultError> {
        self.call(false, |inner| {
            Ok(inner.world.docs.get(place).map_or(Standing::default(), |doc| Standing {
                exists: true,
                version: doc.versions.len() as u64,
                gone: doc.versions.last().is_some_and(|version| version.gone),
                max_versions: doc.max_versions,
            }))
        })
    }

    async fn read(&self, place: &Place, version: Option<u64>) -> Result<Option<SecretText>, VaultError> {
        self.allowed("data", place, "read")?;
        self.call(false, |inner| {
            let Some(doc) = inner.world.docs.get(place) else { return Ok(None) };
            let number = version.unwrap_or(doc.versions.len() as u64);
            let found = usize::try_from(number).ok().and_then(|n| doc.versions.get(n.checked_sub(1)?));
            Ok(found.filter(|version| !version.gone).map(|version| version.text.as_str().into()))
        })
    }

    async fn write(&self, place: &Place, cas: u64, document: &SecretText) -> Result<u64, VaultError> {
        self.allowed("data", place, "update")?;
        self.call(true, |inner| {
            if !inner.world.objects.contains_key(&Object::Mount(place.mount.clone())) {
                return Err(error(VaultErrorKind::Refused, "no handler for this path"));
            }
            inner.doc_writes += 1;
            if inner.intruder == Some(inner.doc_writes) {
                let foreign = Version { text: r#"{"value":"foreign"}"#.to_owned(), gone: false };
                inner.world.docs.entry(place.clone()).or_default().versions.push(foreign);
            }
            let doc = inner.world.docs.entry(place.clone()).or_default();
            if doc.versions.len() as u64 != cas {
                return Err(error(VaultErrorKind::Conflict, "check-and-set parameter did not match"));
            }
            doc.versions.push(Version { text: document.expose().clone(), gone: false });
            Ok(doc.versions.len() as u64)
        })
    }

    async fn erase(&self, place: &Place) -> Result<(), VaultError> {
        self.call(true, |inner| {
            inner.world.docs.remove(place);
            Ok(())
        })
    }

    async fn destroy(&self, place: &Place, version: u64) -> Result<(), VaultError> {
        self.call(true, |inner| {
            let at = usize::try_from(version).unwrap() - 1;
            let doc = inner.world.docs.get_mut(place).unwrap();
            doc.versions[at] = Version { text: String::new(), gone: true };
            Ok(())
        })
    }

    async fn log_in(&self, role: &Object) -> Result<Self, VaultError> {
        let rules = self.call(true, |inner| {
            let state = inner
                .world
                .objects
                .get(role)
                .ok_or_else(|| error(VaultErrorKind::Refused, "no such role"))?;
            let role: serde_json::Value = serde_json::from_str(state).unwrap();
            let names = role["token_policies"].as_array().unwrap().clone();
            let texts =
                names.iter().filter_map(|n| inner.world.objects.get(&Object::Policy(n.as_str()?.to_owned())));
            Ok(texts.flat_map(|text| rules(text)).collect())
        })?;
        Ok(Self { inner: Arc::clone(&self.inner), rules: Some(rules) })
    }

    async fn log_out(&self) -> Result<(), VaultError> {
        self.call(true, |_| Ok(()))
    }
}

/// The rules of a policy in the form that a manifest gives it.
fn rules(policy: &str) -> Vec<(String, Vec<String>)> {
    let quoted = |line: &str| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<&str> = policy.lines().filter(|line| !line.starts_with('#')).collect();
    let paths = lines.iter().filter(|line| line.starts_with("path")).map(|line| quoted(line).remove(0));
    let capabilities = lines.iter().filter(|line| line.contains("capabilities")).map(|line| quoted(line));
    paths.map(|path| path.trim_end_matches('*').to_owned()).zip(capabilities).collect()
}

#[derive(Default)]
struct DiskInner {
    content: Vec<u8>,
    synced: usize,
    appends: usize,
    death: Option<Crash>,
    dead: bool,
}

/// How the process dies at a journal line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// Before the n-th line is written.
    Before(usize),
    /// After the n-th line is written.
    After(usize),
    /// After half of the n-th line.
    Torn(usize),
    /// After the n-th line; everything that was not flushed is lost.
    Lost(usize),
}

/// The journal's disk.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<DiskInner>>);

impl Disk {
    pub fn content(&self) -> Vec<u8> {
        self.0.lock().unwrap().content.clone()
    }

    pub fn set(&self, content: Vec<u8>) {
        let mut inner = self.0.lock().unwrap();
        (inner.synced, inner.content) = (content.len(), content);
    }

    pub fn dies(&self, crash: Crash) {
        let mut inner = self.0.lock().unwrap();
        (inner.death, inner.appends) = (Some(crash), 0);
    }

    pub fn revive(&self) {
        let mut inner = self.0.lock().unwrap();
        (inner.death, inner.dead, inner.appends) = (None, false, 0);
    }

    pub fn appends(&self) -> usize {
        self.0.lock().unwrap().appends
    }
}

impl Sink for Disk {
    fn path(&self) -> String {
        "journal.jsonl".to_owned()
    }

    fn content(&mut self) -> io::Result<Vec<u8>> {
        Ok(Self::content(self))
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        let died = || io::Error::other("killed");
        if inner.dead {
            return Err(died());
        }
        inner.appends += 1;
        let now = inner.appends;
        let (written, dies, lost) = match inner.death {
            Some(Crash::Before(n)) if n == now => (0, true, false),
            Some(Crash::After(n)) if n == now => (line.len(), true, false),
            Some(Crash::Torn(n)) if n == now => (line.len() / 2, true, false),
            Some(Crash::Lost(n)) if n == now => (line.len(), true, true),
            _ => (line.len(), false, false),
        };
        inner.content.extend_from_slice(&line.as_bytes()[..written]);
        if lost {
            let synced = inner.synced;
            inner.content.truncate(synced);
        }
        inner.dead = dies;
        if dies { Err(died()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        if inner.dead {
            return Err(io::Error::other("killed"));
        }
        inner.synced = inner.content.len();
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.content.truncate(usize::try_from(length).unwrap());
        inner.synced = inner.synced.min(inner.content.len());
        Ok(())
    }
}

/// How the process dies at a write of a file or an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slip {
    /// Nothing of the n-th write happens; the process is gone.
    Before(usize),
    /// The n-th write happens; the process is gone.
    After(usize),
    /// The disk is full at the n-th write: nothing of it happens, and the process lives on.
    Full(usize),
}

#[derive(Default)]
struct CabinetInner {
    files: BTreeMap<String, (Vec<u8>, u32)>,
    archives: BTreeMap<String, Vec<u8>>,
    writes: usize,
    slip: Option<Slip>,
    dead: bool,
}

/// The application's files and the archives.
#[derive(Clone, Default)]
pub struct Cabinet(Arc<Mutex<CabinetInner>>);

impl Cabinet {
    pub fn put(&self, name: &str, bytes: &[u8], mode: u32) {
        self.0.lock().unwrap().files.insert(name.to_owned(), (bytes.to_vec(), mode));
    }

    pub fn files(&self) -> BTreeMap<String, (Vec<u8>, u32)> {
        self.0.lock().unwrap().files.clone()
    }

    pub fn archives(&self) -> Vec<u8> {
        self.0.lock().unwrap().archives.values().flatten().copied().collect()
    }

    pub fn slips(&self, slip: Slip) {
        let mut inner = self.0.lock().unwrap();
        (inner.slip, inner.writes) = (Some(slip), 0);
    }

    pub fn revive(&self) {
        let mut inner = self.0.lock().unwrap();
        (inner.slip, inner.dead, inner.writes) = (None, false, 0);
    }

    pub fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }

    fn write(&self, act: impl FnOnce(&mut CabinetInner)) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        if inner.dead {
            return Err(io::Error::other("killed"));
        }
        inner.writes += 1;
        let now = inner.writes;
        match inner.slip {
            Some(Slip::Full(n)) if n == now => return Err(io::ErrorKind::StorageFull.into()),
            Some(Slip::Before(n)) if n == now => inner.dead = true,
            Some(Slip::After(n)) if n == now => {
                act(&mut inner);
                inner.dead = true;
            }
            _ => act(&mut inner),
        }
        if inner.dead { Err(io::Error::other("killed")) } else { Ok(()) }
    }
}

impl Desk for Cabinet {
    fn read(&self, name: &str) -> io::Result<Kept> {
        let inner = self.0.lock().unwrap();
        if inner.dead {
            return Err(io::Error::other("killed"));
        }
        let (bytes, mode) = inner.files.get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Kept { name: name.to_owned(), bytes: bytes.into(), mode, uid: 1, gid: 1 })
    }

    fn replace(&self, file: &Kept) -> io::Result<()> {
        // EXPOSE: the test's own.
        let content = (file.bytes.expose().clone(), file.mode);
        self.write(|inner| drop(inner.files.insert(file.name.clone(), content)))
    }

    fn keep(&self, archive: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(|inner| drop(inner.archives.insert(archive.to_owned(), bytes.to_vec())))
    }

    fn kept(&self, archive: &str) -> io::Result<Vec<u8>> {
        let inner = self.0.lock().unwrap();
        inner.archives.get(archive).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
