use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, Entropy, Wall};
use coffre_rotation::{WireDocument, WriteId};
use coffre_secret::SecretText;

use crate::kv::{Kv, Manage, Metadata, Version, is_open};
use crate::{Document, Failure, FailureKind};

/// How often an unanswered write is looked for, or repeated, before the caller must decide again.
const TRIES: u32 = 5;
/// The first pause between them; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// Reads and writes documents so that every write is check-and-set, carries an id of its own, and is never repeated
/// before it was looked for.
#[derive(Clone)]
pub(crate) struct Store {
    kv: Arc<dyn Kv>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// What was read, and the version that a change must name.
#[derive(Debug)]
pub(crate) struct Held<T> {
    /// The newest version, deleted ones included; 0 if there is none.
    pub(crate) version: u64,
    /// What it holds; `None` if there is none, or it was deleted.
    pub(crate) value: Option<T>,
}

impl Store {
    pub(crate) fn new(kv: Arc<dyn Kv>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { kv, clock, entropy }
    }

    /// The server's time, or ours before the server has told it.
    pub(crate) fn now(&self) -> Wall {
        self.kv.server_time().unwrap_or_else(|| self.clock.wall())
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(crate) fn kv(&self) -> &dyn Kv {
        self.kv.as_ref()
    }

    pub(crate) fn write_id(&self) -> Result<WriteId, Failure> {
        Ok(WriteId::draw(self.now(), self.entropy.as_ref())?)
    }

    /// The newest version of a document with a schema of its own.
    pub(crate) async fn read<T: WireDocument>(&self, path: &str) -> Result<Held<T>, Failure> {
        let Some(Version { version, document, .. }) = self.kv.read(path, None).await? else {
            return Ok(Held { version: 0, value: None });
        };
        let parse = |text: SecretText| {
            // EXPOSE: decoded into a form that wraps what is secret; the error quotes nothing.
            T::parse(text.expose().as_bytes()).map_err(|error| Failure::config(format!("{path}: {error}")))
        };
        Ok(Held { version, value: document.map(parse).transpose()? })
    }

    /// The newest version of a credential document.
    pub(crate) async fn read_document(&self, path: &str) -> Result<Held<Document>, Failure> {
        let Some(Version { version, document, .. }) = self.kv.read(path, None).await? else {
            return Ok(Held { version: 0, value: None });
        };
        let parse = |text: SecretText| {
            Document::parse(&text)
                .map_err(|failure| Failure::config(format!("{path}: {}", failure.message())))
        };
        Ok(Held { version, value: document.map(parse).transpose()? })
    }

    /// Writes a version that carries `id` as its `_w`, if `cas` is the newest one now, and gives its number.
    ///
    /// No answer is no answer: the document is read back. Our id is there: it landed. The version has moved
    /// otherwise: somebody else was faster ([`FailureKind::Conflict`]). Unchanged: the same write goes out again, and
    /// check-and-set lets at most one of them land.
    pub(crate) async fn put(
        &self,
        path: &str,
        text: &SecretText,
        id: &WriteId,
        cas: u64,
    ) -> Result<u64, Failure> {
        let mut last = match self.kv.write(path, text, cas).await {
            Ok(version) => return Ok(version),
            Err(failure) if is_open(&failure) => failure,
            Err(failure) => return Err(failure),
        };
        for attempt in 0..TRIES {
            self.pause(PAUSE.saturating_mul(1 << attempt)).await;
            match self.landed(path, id, cas).await {
                Ok(Landed::Here(version)) => return Ok(version),
                Ok(Landed::Lost) => return Err(lost(path)),
                Ok(Landed::Unchanged) => match self.kv.write(path, text, cas).await {
                    Ok(version) => return Ok(version),
                    // The first one may have arrived after we looked.
                    Err(failure) if is_open(&failure) || failure.kind() == FailureKind::Conflict => {
                        last = Failure::transient(failure.message());
                    }
                    Err(failure) => return Err(failure),
                },
                Err(failure) if is_open(&failure) => last = failure,
                Err(failure) => return Err(failure),
            }
        }
        Err(last)
    }

    /// What became of a write that was not answered.
    async fn landed(&self, path: &str, id: &WriteId, cas: u64) -> Result<Landed, Failure> {
        let Some(newest) = self.kv.read(path, None).await? else {
            return Ok(if cas == 0 { Landed::Unchanged } else { Landed::Lost });
        };
        let written_by = newest.document.as_ref().and_then(|text| Document::parse(text).ok()?.write_id());
        Ok(match newest.version {
            version if written_by.as_deref() == Some(id.as_str()) => Landed::Here(version),
            version if version == cas => Landed::Unchanged,
            _ => Landed::Lost,
        })
    }

    /// Makes the versions of a document as they must be before its first write: each write names the one it replaces.
    pub(crate) async fn guard(&self, path: &str, max_versions: u64) -> Result<(), Failure> {
        let found = self.kv.metadata(path).await?.unwrap_or_default();
        if found.cas_required && found.max_versions == max_versions {
            return Ok(());
        }
        self.kv.manage(path, Manage::Guard { max_versions }).await
    }

    /// Destroys all versions but the newest, and reads each back, those too that were destroyed before: somebody may have
    /// died in between. The answer is the versions that are gone.
    pub(crate) async fn destroy_older(&self, path: &str) -> Result<Vec<u64>, Failure> {
        let Some(found) = self.kv.metadata(path).await? else { return Ok(Vec::new()) };
        let is_older = |version: &u64| *version < found.current;
        let living: Vec<u64> = living(&found).filter(is_older).collect();
        if !living.is_empty() {
            self.kv.manage(path, Manage::Destroy(living)).await?;
        }
        let older: Vec<u64> = found.versions.keys().copied().filter(is_older).collect();
        for version in &older {
            let back = self.kv.read(path, Some(*version)).await?;
            if back.is_some_and(|back| back.document.is_some() || !back.destroyed) {
                let what = format!("version {version} of {path} can still be read after it was destroyed");
                return Err(Failure::config(what));
            }
        }
        Ok(older)
    }

    /// The newest version of a document that `is_it`, newest first.
    pub(crate) async fn find_version(
        &self,
        path: &str,
        is_it: impl Fn(&Document) -> bool,
    ) -> Result<Option<Document>, Failure> {
        let Some(found) = self.kv.metadata(path).await? else { return Ok(None) };
        for version in living(&found).collect::<Vec<_>>().into_iter().rev() {
            let Some(Version { document: Some(text), .. }) = self.kv.read(path, Some(version)).await? else {
                continue;
            };
            if let Some(document) = Document::parse(&text).ok().filter(&is_it) {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }

    /// Sets our free text pairs and leaves those of others. Advisory: it is written only where it differs.
    pub(crate) async fn mirror(&self, path: &str, ours: &[(&str, String)]) -> Result<(), Failure> {
        let Some(found) = self.kv.metadata(path).await? else { return Ok(()) };
        let mut custom = found.custom.clone();
        for (name, value) in ours {
            let value: String = value.chars().filter(|c| !c.is_control()).take(128).collect();
            if value.is_empty() {
                custom.remove(*name)
            } else {
                custom.insert((*name).to_owned(), value)
            };
        }
        if custom == found.custom || custom.len() > 64 {
            return Ok(());
        }
        self.kv.manage(path, Manage::Custom(custom)).await
    }

    async fn pause(&self, about: Duration) {
        let mut draw = [0_u8; 4];
        // Without randomness the pause is the longest one, which harms nobody.
        let part = match self.entropy.fill(&mut draw) {
            Ok(()) => u32::from_le_bytes(draw) % 1000,
            Err(_) => 1000,
        };
        tokio::time::sleep(about / 2 + about.saturating_mul(part) / 2000).await;
    }
}

/// What became of a write.
enum Landed {
    Here(u64),
    Unchanged,
    Lost,
}

fn living(found: &Metadata) -> impl DoubleEndedIterator<Item = u64> + '_ {
    found.versions.iter().filter(|(_, destroyed)| !**destroyed).map(|(version, _)| *version)
}

fn lost(path: &str) -> Failure {
    Failure::conflict(format!("somebody else wrote {path} in between"))
}
