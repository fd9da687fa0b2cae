//! From settings to an instance: the source is decided here, once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use coffre_cache::{Outcome, TokenGrant};
use coffre_client::{Client, Error as ClientError, ErrorKind as ClientErrorKind, token};
use coffre_manifest::{Entry, Manifest};
use coffre_secret::SecretText;
use coffre_source::decision::Why;
use coffre_source::environment::{Environment, rolled_back};
use coffre_source::identity::{Identity, NoIdentity};
use coffre_source::inject::SOURCE_VARIABLE;
use coffre_source::place;
use coffre_source::resolve::{Incomplete, Origin, Problem, What};
use coffre_source::start::{Decided, Failed, Plan, Refusal, Started, decide};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::brain::{Brain, Contained};
use crate::core::{Core, Facts};
use crate::driver;
use crate::engine::{self, Engines, Server};
use crate::error::{Error, ErrorKind};
use crate::outside;
use crate::perform::{self, Place};
use crate::policy::{self, Found};
use crate::published::{Fixed, Published, Slot};
use crate::recipe::{self, Key, Recipes};
use crate::settings::Settings;
use crate::source::Source;

/// A developer wants to go on when the server does not answer.
const IMPATIENT: Duration = Duration::from_secs(4);
/// How many documents are read at the same time.
const AT_ONCE: usize = 8;

/// Decides where the secrets come from, and reads everything that the manifest names. With a server, the thread that
/// did so goes on as the background.
pub(crate) fn open(settings: Settings) -> Result<Arc<Core>, Error> {
    let launched_from = (settings.lookup)(SOURCE_VARIABLE).filter(|from| !from.is_empty());
    let found = place::manifest(settings.manifest.clone(), &settings.directory);
    if let Some(launched_from) = launched_from {
        let asked = settings.manifest.is_some();
        let manifest = match found {
            Ok((_, manifest)) => Some(manifest),
            Err(text) if asked => return Err(Error::new(ErrorKind::Invalid, text)),
            Err(_) => None,
        };
        return Ok(outside::launched(&settings, manifest, launched_from));
    }
    let (directory, manifest) = found.map_err(|text| Error::new(ErrorKind::Invalid, text))?;
    let client = settings.client()?;
    let environment = environment(&settings, &manifest, client.as_ref())?;
    let start = Start { settings, directory, manifest, environment, client };
    let (ready, opened) = sync_channel(1);
    let run = move || match engine::runtime() {
        Ok(runtime) => runtime.block_on(start.run(ready)),
        Err(error) => {
            let error = Error::new(ErrorKind::Unavailable, "cannot start the background").caused_by(error);
            let _ = ready.send(Err(error));
        }
    };
    let thread = std::thread::Builder::new().name("coffre-secrets".to_owned()).spawn(run);
    thread.map_err(|error| Error::new(ErrorKind::Unavailable, "cannot start a thread").caused_by(error))?;
    opened.recv().unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "the background has stopped")))
}

fn environment(
    settings: &Settings,
    manifest: &Manifest,
    client: Option<&Client>,
) -> Result<Environment, Error> {
    let host = client.map(|client| client.host().trim_end_matches('.').to_owned());
    let pins = place::pins(&settings.stated("PRODUCTION_HOSTS").unwrap_or_default());
    Environment::of(&*settings.lookup, manifest.environments(), host.as_deref(), &pins)
        .map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
}

/// What is known before the server is asked.
struct Start {
    settings: Settings,
    directory: PathBuf,
    manifest: Manifest,
    environment: Environment,
    client: Option<Client>,
}

/// What asking the server gave.
struct Primed {
    sent: Duration,
    identity: Box<Identity>,
    token: Option<(Arc<SecretText>, TokenGrant, bool)>,
    outcomes: HashMap<Key, Outcome<Contained>>,
    recipes: Recipes,
    fixed: Fixed,
    policy: Found,
    rotates: bool,
}

impl Start {
    async fn run(self, ready: SyncSender<Result<Arc<Core>, Error>>) {
        let lines = RefCell::new(HashMap::new());
        let decided = {
            let dotenv = || outside::read(self.settings.env_file.as_deref(), &self.directory, &lines);
            let client = self.client.as_ref().map(|client| match self.environment.is_dev() {
                true => client.with_timeout(IMPATIENT),
                false => client.clone(),
            });
            let plan = Plan {
                manifest: &self.manifest,
                environment: &self.environment,
                rolled_back: rolled_back(&*self.settings.lookup),
                client: client.as_ref(),
                wait: self.settings.wait,
                dotenv: &dotenv,
                lookup: &*self.settings.lookup,
                allowed: &[],
                clock: self.settings.clock.as_ref(),
            };
            let identity = RefCell::new(None);
            let ask = async |client: &Client| self.ask(&plan, client, &identity).await;
            decide(&plan, ask, &mut |line| tracing::info!("{line}")).await
        };
        let opened = match decided {
            Err(refusal) => Err(refused(refusal)),
            Ok(Decided::Dotenv(started, why)) => Ok(self.outside(started, why, &lines.into_inner())),
            Ok(Decided::Server(primed)) => match self.inside(primed) {
                Err(error) => Err(error),
                Ok((core, client)) => {
                    let begun = core.engines.begin();
                    // Whoever asked for it may have left; then the handle's drop closes it again.
                    let _ = ready.send(Ok(Arc::clone(&core)));
                    drop(ready);
                    if let Some((brain, inbox)) = begun {
                        driver::run(core, brain, client, inbox).await;
                    }
                    return;
                }
            },
        };
        let _ = ready.send(opened);
    }

    /// One attempt: log in and read everything. The identity is kept from attempt to attempt, since a wrapped secret_id
    /// opens once.
    async fn ask(
        &self,
        plan: &Plan<'_>,
        client: &Client,
        kept: &RefCell<Option<Box<Identity>>>,
    ) -> Result<Primed, Failed> {
        let known = kept.borrow_mut().take();
        let mut identity = match known {
            Some(identity) => identity,
            None => Box::new(self.identity().map_err(Failed::Identity)?),
        };
        let sent = self.settings.clock.boot();
        let logged_in = match identity.client(client).await {
            Ok(logged_in) => logged_in,
            Err(error) => {
                *kept.borrow_mut() = Some(identity);
                return Err(Failed::Call(error));
            }
        };
        let own = logged_in.own_token;
        let read = self.read(plan, &logged_in.client).await;
        let (outcomes, recipes, fixed, policy, rotates) = match read {
            Ok(read) => read,
            Err(failed) => {
                if own {
                    perform::revoke_token(logged_in.client).await;
                }
                *kept.borrow_mut() = Some(identity);
                return Err(failed);
            }
        };
        let token = match (&logged_in.auth, logged_in.client.token()) {
            (Some(auth), Some(text)) => Some((Arc::new(text.duplicate()), perform::grant_of(auth), own)),
            (None, Some(text)) => {
                Some((Arc::new(text.duplicate()), self.grant(&logged_in.client).await, own))
            }
            (_, None) => None,
        };
        Ok(Primed { sent, identity, token, outcomes, recipes, fixed, policy, rotates })
    }

    /// Who we are. A token that a person got by `login` is for that person's work, so it counts in development only.
    fn identity(&self) -> Result<Identity, NoIdentity> {
        Identity::of(&|name| self.settings.stated(name), None)
    }

    /// What is known of a token that somebody gave us. A token that may read and not look itself up is fine.
    async fn grant(&self, client: &Client) -> TokenGrant {
        match token::lookup(client).await {
            Ok(state) => {
                let born = coffre_ambient::Wall::from_secs(state.creation_time);
                let age = self.settings.clock.wall().since(born);
                let hard = perform::seconds(state.explicit_max_ttl).map(|max| max.saturating_sub(age));
                TokenGrant { ttl: perform::seconds(state.ttl), renewable: state.renewable, hard }
            }
            Err(_) => TokenGrant { ttl: None, renewable: false, hard: None },
        }
    }

    async fn read(
        &self,
        plan: &Plan<'_>,
        client: &Client,
    ) -> Result<(HashMap<Key, Outcome<Contained>>, Recipes, Fixed, Found, bool), Failed> {
        let place = self.place();
        let all = Recipes::of(&self.manifest, &|_| false, &|_| false);
        let keys: Vec<Key> = all.keys().into_iter().map(|(key, _)| key).collect();
        let read = |key: Key| {
            let place = &place;
            async move { perform::fetch(client, place, &key).await.map(|outcome| (key, outcome)) }
        };
        let mut outcomes: HashMap<Key, Outcome<Contained>> = stream::iter(keys)
            .map(read)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
            .map_err(Failed::Call)?;
        let leased = self.credentials(client, &place, &mut outcomes).await.map_err(Failed::Call)?;
        // Outside development the file is not even opened.
        let in_file = match self.environment.is_dev() {
            true => outside::values(plan).map_err(Failed::Dotenv)?,
            false => None,
        };
        let in_file = |name: &str| in_file.as_ref()?.get(name).flatten().map(SecretText::duplicate);
        let absent = |entry: &Entry| {
            let key = entry.path.as_deref().map(|path| Key::Document(Arc::from(path)));
            key.is_some_and(|key| matches!(outcomes.get(&key), Some(Outcome::Absent)))
        };
        let local = |entry: &Entry| {
            entry.local.is_some()
                && entry.template.is_none()
                && absent(entry)
                && in_file(&entry.name).is_some()
        };
        let recipes = Recipes::of(&self.manifest, &|entry| leased.contains(&entry.name), &local);
        let fixed = self.fixed(&recipes, &in_file);
        self.check(&recipes, &fixed, &place, &outcomes)?;
        let policy = policy::read(client, &place).await.map_err(Failed::Call)?;
        let needed = recipes.keys();
        outcomes.retain(|key, _| needed.iter().any(|(needed, _)| needed == key));
        let epoch = |outcome: &Outcome<Contained>| match outcome {
            Outcome::Fetched(fetched) => fetched.value.epoch().is_some(),
            _ => false,
        };
        let planned = policy::planned(&self.manifest);
        let rotates = outcomes.iter().any(|(key, outcome)| {
            epoch(outcome) || matches!(key, Key::Document(path) if planned.contains(path.as_ref()))
        });
        Ok((outcomes, recipes, fixed, policy, rotates))
    }

    /// Asks engines for credentials, where entries want them; gives the names of the entries that got some. An engine
    /// that is not there, or not for us, leaves the document.
    async fn credentials(
        &self,
        client: &Client,
        place: &Place,
        outcomes: &mut HashMap<Key, Outcome<Contained>>,
    ) -> Result<Vec<String>, ClientError> {
        let mut leased = Vec::new();
        for entry in self.manifest.entries() {
            let Some(path) = recipe::credential_path(entry) else { continue };
            let key = Key::Credential(path);
            let known = outcomes.contains_key(&key);
            let found = if known { None } else { Some(perform::fetch(client, place, &key).await) };
            match found {
                None => {}
                Some(Ok(outcome)) => drop(outcomes.insert(key, outcome)),
                Some(Err(error)) => match error.kind() {
                    ClientErrorKind::NotFound | ClientErrorKind::Denied | ClientErrorKind::Invalid => {
                        tracing::info!(name = entry.name, path = %key, "no engine makes these credentials for us; the document is used");
                        continue;
                    }
                    _ => return Err(error),
                },
            }
            leased.push(entry.name.clone());
        }
        Ok(leased)
    }

    fn fixed(&self, recipes: &Recipes, in_file: &dyn Fn(&str) -> Option<SecretText>) -> Fixed {
        let mut fixed = Fixed::default();
        for name in self.manifest.config() {
            let value = (self.settings.lookup)(name).map(SecretText::new).or_else(|| in_file(name));
            fixed.settings.extend(value.map(|value| (Box::from(name.as_str()), value)));
        }
        for variable in recipes.variables() {
            if let (recipe::Recipe::Local, Some(value)) = (&variable.recipe, in_file(&variable.name)) {
                let slot = Slot::fixed(value, crate::published::Place::Dotenv(None));
                fixed.locals.insert(Arc::clone(&variable.name), Arc::new(slot));
            }
        }
        fixed
    }

    /// Every variable that has no value, so that one start shows everything that must be mended.
    fn check(
        &self,
        recipes: &Recipes,
        fixed: &Fixed,
        place: &Place,
        outcomes: &HashMap<Key, Outcome<Contained>>,
    ) -> Result<(), Failed> {
        let shelves = crate::published::shelves_of(outcomes);
        let changed = shelves.keys().cloned().collect();
        let made = Published::default().next(recipes, fixed, &shelves, &changed);
        let mut problems = Vec::new();
        for variable in recipes.variables() {
            let missing = match made.slots.get(&variable.name).map(|slot| &slot.made) {
                Some(Err(missing)) => missing,
                _ => continue,
            };
            let what = missing.as_problem(|key| match outcomes.get(key) {
                Some(Outcome::Gone) => What::Deleted(place.shown(key)),
                _ => What::NoDocument(place.shown(key)),
            });
            problems.push(Problem { name: variable.name.to_string(), what });
        }
        if problems.is_empty() { Ok(()) } else { Err(Failed::Incomplete(Incomplete { problems })) }
    }

    fn place(&self) -> Place {
        Place { mount: self.manifest.mount().to_owned(), environment: self.environment.name.clone() }
    }

    /// The instance that the server feeds. The machine starts as if it had asked for everything itself.
    fn inside(self, primed: Primed) -> Result<(Arc<Core>, Client), Error> {
        let Primed { sent, identity, token, outcomes, recipes, fixed, policy, rotates } = primed;
        let parameters = policy::at_start(&policy, rotates, &self.manifest, &self.settings.bounds)
            .map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        let Some(client) = self.client.clone() else {
            return Err(Error::new(ErrorKind::Invalid, "VAULT_ADDR is not set any more"));
        };
        let agent = matches!(*identity, Identity::Agent);
        let login = (!agent, !agent && !matches!(*identity, Identity::Token(_)));
        let machine = Server::machine(&self.settings, login, sent);
        let mut brain = Brain::new(machine, parameters, recipes.keys(), Some(identity));
        brain.policy_known = policy != Found::Hidden;
        brain.prime(sent, token, outcomes);
        let changed = std::mem::take(&mut brain.changed);
        brain.news.clear();
        let first = Published::default().next(&recipes, &fixed, &brain.shelves, &changed);
        let (environment, budget) = (self.environment.name.clone(), parameters.wait);
        let place = self.place();
        let settings = self.settings.clone();
        tracing::info!(source = %Source::Vault, environment, documents = brain.shelves.len(), "the secrets are here");
        let facts = Facts {
            source: Source::Vault,
            launched_from: None,
            environment,
            manifest: Some(self.manifest),
            recipes,
            fixed,
            budget,
            env_file: None,
            loose: None,
        };
        let server = Server::new(self.settings, place, parameters, login, brain);
        Ok((Core::new(facts, &settings, first, Engines::of(server)), client))
    }

    /// The instance that `.env` feeds.
    fn outside(self, started: Started, why: Why, lines: &HashMap<String, usize>) -> Arc<Core> {
        let Started { values, .. } = started;
        let source = Source::of(why);
        let values = values.into_iter().map(|resolved| {
            let place = match resolved.origin {
                Origin::Composed => crate::published::Place::Composed,
                _ => crate::published::Place::Dotenv(lines.get(&resolved.name).copied()),
            };
            (resolved.name, resolved.value, place)
        });
        let file = self.settings.env_file.clone().unwrap_or_else(|| self.directory.join(Path::new(".env")));
        let environment = self.environment.name.clone();
        outside::fixed(&self.settings, Some(self.manifest), (source, None, environment), values, Some(file))
    }
}

/// A refusal as the library tells it, with its causes.
fn refused(refusal: Refusal) -> Error {
    let kind = match &refusal {
        Refusal::Dotenv(_) | Refusal::Identity(_) => ErrorKind::Invalid,
        _ => ErrorKind::Refused,
    };
    Error::new(kind, refusal.to_string()).caused_by(refusal)
}
