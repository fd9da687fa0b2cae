//! From the manifest to an engine: settings, kinds with their databases, and who is told.

mod kinds;
mod policy;
mod settings;
mod unready;

use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_ambient::{Clock, Entropy};
use coffre_manifest::Manifest;
use coffre_manifest::rotation::{EventWord, Security as Protection, TargetKind};
use coffre_rotation::{
    Bridge as Bridging, EventKind, Happening, RotPolicy, Target as Name, WireDocument as _, paths,
};
use coffre_secret::SecretText;

pub use policy::policy_of;
pub use settings::settings_of;

use crate::notify::{Email, Notifier, NotifySettings, Security, Webhook};
use crate::targets::{Bridge, Bridged};
use crate::{Document, Failure, Kv, Parts, Rotating, Rotator, Sink};

/// What an engine is made of.
pub struct Opening<'a> {
    /// What rotates and how.
    pub manifest: &'a Manifest,
    /// Where.
    pub environment: &'a str,
    /// The mount, with the rotation's own rights.
    pub kv: Arc<dyn Kv>,
    /// Host, boot and process.
    pub holder: String,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Rotator {
    /// An engine for everything that a manifest rotates, and the notifier that it tells. Reads the documents with which
    /// databases are administered; a target that cannot be made ready is there all the same, and says what it lacks.
    /// Dynamic credentials are no target: whoever holds their lease renews and replaces it.
    ///
    /// # Errors
    /// What cannot be put together, and what the documents of the notifications lack.
    pub async fn open(opening: Opening<'_>) -> Result<(Self, Arc<Notifier>), Failure> {
        Self::open_bridged(opening, BTreeMap::new()).await
    }

    /// As [`Rotator::open`], in a process that has the code of the application's own rotations, by target. Targets of
    /// which the manifest says `bridge` and that are not among them are left to the process that has theirs.
    ///
    /// # Errors
    /// As [`Rotator::open`], and for code of a target of which the manifest does not say `bridge`.
    pub async fn open_bridged(
        opening: Opening<'_>,
        mut bridges: BTreeMap<Name, Arc<dyn Bridge>>,
    ) -> Result<(Self, Arc<Notifier>), Failure> {
        let Opening { manifest, environment, kv, holder, clock, entropy } = opening;
        // Probes of outside services make TLS clients of their own, of whatever the process uses. An error says that
        // something is installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let notifier =
            notifier(manifest, environment, &*kv, (Arc::clone(&clock), Arc::clone(&entropy))).await?;
        let mut targets = Vec::new();
        for target in manifest.targets() {
            if target.kind() == TargetKind::Dynamic {
                continue;
            }
            let name = Name::new(target.path()).map_err(|error| Failure::config(error.to_string()))?;
            let kind = kinds::of(&target, environment, &kv).await?;
            let mut settings = settings_of(&target)?;
            let declared = settings.bridge != Bridging::None;
            let kind = match declared.then(|| bridges.remove(&name)).flatten() {
                Some(bridge) => {
                    settings.bridge = Bridging::Here;
                    Arc::new(Bridged::new(name.clone(), &target.entry().field, kind, bridge))
                }
                None => kind,
            };
            let before = manifest.soaks_in(environment).map(str::to_owned);
            settings.promote_after = before.as_ref().and(manifest.rotation().promote_after());
            let followed =
                manifest.environments().iter().any(|name| manifest.soaks_in(name) == Some(environment));
            targets.push(Rotating { name, settings, kind, before, followed });
        }
        if let Some(name) = bridges.keys().next() {
            return Err(Failure::config(format!("{name} is not one that the application rotates"))
                .advise("Say bridge = true in its rotation in coffre.toml, or give no code for it."));
        }
        let sink = Arc::new(Told(Arc::clone(&notifier)));
        let environment = environment.to_owned();
        let mut rotator = Self::new(Parts { kv, environment, holder, targets, clock, entropy, sink })?;
        rotator.declared = Some(policy_of(manifest));
        Ok((rotator, notifier))
    }

    /// Targets that cannot be driven, and what each lacks.
    pub fn lacking(&self) -> impl Iterator<Item = (&Name, &Failure)> {
        self.targets.iter().filter_map(|target| Some((&target.name, target.kind.lacks()?)))
    }

    /// Writes what the manifest says to consumers and rotators (`_rot/policy`), if it is not there. Gives whether it was
    /// written.
    ///
    /// # Errors
    /// What could not be read or written.
    pub async fn publish_policy(&self, policy: &RotPolicy) -> Result<bool, Failure> {
        let path = paths::policy(&self.environment);
        for _ in 0..8 {
            let held: crate::store::Held<RotPolicy> = self.store.read(&path).await?;
            let same =
                held.value.is_some_and(|found| RotPolicy { write: policy.write.clone(), ..found } == *policy);
            if same {
                return Ok(false);
            }
            if held.version == 0 {
                self.store.guard(&path, crate::rotator::RECORD_VERSIONS).await?;
            }
            let id = self.store.write_id()?;
            let text = RotPolicy { write: id.clone(), ..policy.clone() }.write()?;
            match self.store.put(&path, &text, &id, held.version).await {
                Ok(_) => return Ok(true),
                Err(failure) if failure.kind() == crate::FailureKind::Conflict => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::conflict(format!("{path} changes too often")))
    }
}

/// The target that somebody means: its path, or a variable that reads it.
///
/// # Errors
/// Nothing of that name rotates, or its credentials are made on demand.
pub fn name_of(manifest: &Manifest, given: &str) -> Result<Name, Failure> {
    let Some(target) = manifest.target(given) else {
        let targets = manifest.targets();
        let known: Vec<&str> = targets.iter().map(|target| target.path()).take(20).collect();
        let known =
            if known.is_empty() { "nothing: no entry has a rotation".to_owned() } else { known.join(", ") };
        return Err(Failure::config(format!(
            "nothing that rotates is called {given}; the manifest has {known}"
        )));
    };
    if target.kind() == TargetKind::Dynamic {
        return Err(Failure::config(format!(
            "the credentials at {} are made on demand: whoever holds their lease replaces them, and `lease revoke` ends them early",
            target.path()
        )));
    }
    Name::new(target.path()).map_err(|error| Failure::config(error.to_string()))
}

/// The log, the counters and the channels of the manifest.
struct Told(Arc<Notifier>);

impl Sink for Told {
    fn tell(&self, target: &Name, happening: &Happening) {
        self.0.tell(target, happening);
    }
}

async fn notifier(
    manifest: &Manifest,
    environment: &str,
    kv: &dyn Kv,
    (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
) -> Result<Arc<Notifier>, Failure> {
    let declared = manifest.notifications();
    let usual = declared.wanted();
    let events = |own: &[EventWord]| -> Vec<EventKind> {
        let words = if own.is_empty() { usual } else { own };
        words.iter().map(|word| event(*word)).collect()
    };
    let mut webhooks = Vec::new();
    for webhook in &declared.webhook {
        let url = match (&webhook.url, &webhook.url_from) {
            (Some(url), _) => SecretText::from(url.as_str()),
            (None, Some(path)) => field(kv, environment, path, "value").await?,
            (None, None) => continue,
        };
        let key = match &webhook.secret {
            Some(path) => Some(field(kv, environment, path, "value").await?),
            None => None,
        };
        let may_be_here = webhook.url.is_some();
        webhooks.push(Webhook { url, may_be_here, key, events: events(&webhook.events), ca: None });
    }
    let mut email = Vec::new();
    if let Some(declared) = &declared.smtp {
        let login = match &declared.credentials {
            Some(path) => Some(login(kv, environment, path).await?),
            None => None,
        };
        email.push(Email {
            host: declared.host.clone(),
            port: declared.port(),
            security: match declared.security {
                Protection::Starttls => Security::Starttls,
                Protection::Tls => Security::Tls,
                Protection::None => Security::None,
            },
            login,
            from: declared.from.clone(),
            to: declared.to.clone(),
            events: events(&[]),
            ca: None,
        });
    }
    let (project, environment) = (manifest.app().to_owned(), environment.to_owned());
    let settings = NotifySettings { project, environment, webhooks, email };
    Ok(Arc::new(Notifier::new(settings, clock, entropy)?))
}

const fn event(word: EventWord) -> EventKind {
    match word {
        EventWord::Due => EventKind::Due,
        EventWord::Started => EventKind::Started,
        EventWord::Phase => EventKind::Phase,
        EventWord::GateWaiting => EventKind::GateWaiting,
        EventWord::Promoted => EventKind::Promoted,
        EventWord::Retired => EventKind::Retired,
        EventWord::Destroyed => EventKind::Destroyed,
        EventWord::Halted => EventKind::Halted,
        EventWord::Overdue => EventKind::Overdue,
        EventWord::Drift => EventKind::Drift,
        EventWord::Undo => EventKind::Undo,
        EventWord::Rollback => EventKind::Rollback,
    }
}

/// User name and password of a document of the engine's own.
async fn login(kv: &dyn Kv, environment: &str, path: &str) -> Result<(String, SecretText), Failure> {
    let username = field(kv, environment, path, "username").await?;
    let password = field(kv, environment, path, "password").await?;
    // EXPOSE: a user's name is no secret.
    Ok((username.expose().clone(), password))
}

async fn field(kv: &dyn Kv, environment: &str, path: &str, name: &str) -> Result<SecretText, Failure> {
    let place = format!("{environment}/{path}");
    let found = kv.read(&place, None).await?;
    let text = found.and_then(|version| version.document);
    let document = text.as_ref().map(Document::parse).transpose()?;
    document.and_then(|document| document.field(name)).ok_or_else(|| {
        Failure::config(format!("{place} has no field {name}, which the manifest says it has"))
            .advise("Write it with `kv put`, or correct the path in coffre.toml.")
    })
}
