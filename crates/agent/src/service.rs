//! The whole agent: from a configuration to a running process, and what signals do to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, Entropy};
use coffre_client::Client;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::acknowledge::Voice;
use crate::auth::{self, Authenticator};
use crate::config::{self, Accounts, Config, FilePlace, ProcessSettings};
use crate::health::Health;
use crate::notify::Notifier;
use crate::store::Store;
use crate::supervise::{self, Control, Supervisor};
use crate::{acknowledge, file, listener, processes, render, sink};

/// How long the last acknowledgements may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// The login, in health reports.
const LOGIN: &str = "login";

/// What an agent takes from its surroundings.
pub struct Surroundings<'a> {
    /// Environment variables.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// This process.
    pub pid: u32,
}

/// The agent did not start, or had to end.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Ended(String);

/// Checks a configuration and everything that it names, without asking the server: the file, the templates, the client's
/// settings. Gives what somebody should know.
pub fn check(config: &Config, surroundings: &Surroundings<'_>) -> Result<Vec<String>, Ended> {
    let client =
        auth::client(&config.server).map_err(|error| Ended(format!("{error}. {}", error.advice())))?;
    let environment = environment(config, surroundings);
    for template in &config.templates {
        render::parse(template, &environment).map_err(Ended)?;
    }
    let mut warnings = Vec::new();
    if !client.verifies_tls() {
        warnings
            .push("tls_skip_verify: whoever is between the agent and the server reads everything".to_owned());
    } else if config.server.address.starts_with("http://") {
        warnings.push(
            "the server's address is http://: whoever is in between reads everything; use https://"
                .to_owned(),
        );
    }
    let places = config.sinks.iter().map(|sink| &sink.place);
    for place in places.chain(config.templates.iter().map(|template| &template.place)) {
        warnings.extend(on_disk(place)?);
    }
    Ok(warnings)
}

/// A place for secrets that is on a disk: a warning, or an error where the configuration insists.
fn on_disk(place: &FilePlace) -> Result<Option<String>, Ended> {
    let path = place.path.display();
    match file::in_memory(&place.path) {
        Ok(true) => Ok(None),
        Ok(false) if place.require_tmpfs => Err(Ended(format!(
            "{path}: its folder is on a disk, and require_tmpfs is set: mount a tmpfs there, or choose a path below /run"
        ))),
        Ok(false) => Ok(Some(format!(
            "{path} is on a disk: the secret may stay there after it is removed; prefer /run"
        ))),
        Err(error) => Ok(Some(format!("{path}: its folder cannot be looked at: {error}"))),
    }
}

fn environment(config: &Config, surroundings: &Surroundings<'_>) -> Arc<BTreeMap<String, Option<String>>> {
    let read = |name: &String| (name.clone(), (surroundings.lookup)(name));
    Arc::new(config.environment.iter().map(read).collect())
}

/// Runs until a signal, until it must not go on, or until a program that it looks after is over. Gives the exit code:
/// that program's, or 0.
pub async fn run(path: PathBuf, config: Config, surroundings: &Surroundings<'_>) -> Result<u8, Ended> {
    let mut signals = Signals::listen().map_err(|error| Ended(format!("cannot take signals: {error}")))?;
    let (supervisor, control) = supervisor(&config, surroundings)?;
    let (stop, stopped) = watch::channel(false);
    let health = Health::default();
    health.supervise(control.clone());
    health.expect(LOGIN);
    let client =
        auth::client(&config.server).map_err(|error| Ended(format!("{error}. {}", error.advice())))?;
    let authenticator = Authenticator::open(
        &config,
        client.clone(),
        Arc::clone(&surroundings.clock),
        Arc::clone(&surroundings.entropy),
    );
    let authenticator = authenticator.map_err(|error| Ended(error.to_string()))?;
    // Before the first login: two agents must not open one wrapping token.
    let bound = config.listener.as_ref().map(listener::bind).transpose();
    let bound = bound.map_err(|error| Ended(error.to_string()))?;
    let clock = Arc::clone(&surroundings.clock);
    let entropy = surroundings.entropy.as_ref();
    let (store, mut store_task) =
        Store::start(config.cache, client.clone(), authenticator, clock, entropy, stopped.clone());
    let mut serving = JoinSet::new();
    if let (Some(bound), Some(settings)) = (bound, config.listener.clone()) {
        let parts = listener::Parts { store: store.clone(), health: health.clone() };
        serving.spawn(listener::serve(bound, settings, parts, stopped));
    }
    let mut supervised = JoinSet::new();
    supervised.spawn(supervisor.run());
    let voice = Voice::default();
    let mut speaking = JoinSet::new();
    speaking.spawn(acknowledge::run(voice.clone(), store.clone()));
    let (files, feeding) = (JoinSet::new(), JoinSet::new());
    let mut agent = Running {
        path,
        config,
        client,
        store,
        health,
        files,
        control,
        supervised,
        feeding,
        voice,
        surroundings,
    };
    agent.start_files();
    agent.start_processes();
    let notifier = Notifier::new(surroundings.lookup, surroundings.pid);
    let outcome = agent.attend(&mut signals, &notifier).await;
    tracing::info!("stopping");
    notifier.stopping();
    agent.files.shutdown().await;
    // While they stop, programs may still ask the socket.
    agent.stop_processes().await;
    // Nobody waits for what is not there any more.
    agent.voice.end();
    let _ = tokio::time::timeout(FAREWELL, speaking.join_next()).await;
    let _ = stop.send(true);
    while serving.join_next().await.is_some() {}
    while store_task.join_next().await.is_some() {}
    outcome
}

struct Running<'a> {
    path: PathBuf,
    config: Config,
    client: Client,
    store: Store,
    health: Health,
    files: JoinSet<()>,
    control: Control,
    supervised: JoinSet<u8>,
    /// Brings programs their values.
    feeding: JoinSet<()>,
    /// Says what files and programs have.
    voice: Voice,
    surroundings: &'a Surroundings<'a>,
}

impl Running<'_> {
    /// Sinks and templates of the configuration, each anew.
    fn start_files(&mut self) {
        for settings in self.config.sinks.clone() {
            self.health.expect(&sink::part(&settings));
            let parts = sink::Parts {
                client: self.client.clone(),
                health: self.health.clone(),
                entropy: Arc::clone(&self.surroundings.entropy),
            };
            self.files.spawn(sink::run(settings, parts, self.store.tokens()));
        }
        if self.config.templates.is_empty() {
            return;
        }
        for settings in &self.config.templates {
            self.health.expect(&render::part(settings));
        }
        let parts = render::Parts {
            store: self.store.clone(),
            health: self.health.clone(),
            environment: environment(&self.config, self.surroundings),
            entropy: Arc::clone(&self.surroundings.entropy),
            children: Arc::clone(self.control.children()),
            voice: self.voice.clone(),
        };
        self.files.spawn(render::run(self.config.templates.clone(), parts));
    }

    /// Once: they are not touched when files are read anew.
    fn start_processes(&mut self) {
        if self.config.processes.is_empty() {
            return;
        }
        for settings in &self.config.processes {
            self.health.expect(&settings.part());
        }
        let (store, health, control) = (self.store.clone(), self.health.clone(), self.control.clone());
        let parts = processes::Parts { store, health, control, voice: self.voice.clone() };
        self.feeding.spawn(processes::run(self.config.processes.clone(), parts));
    }

    /// Each has its grace.
    async fn stop_processes(&mut self) {
        self.feeding.shutdown().await;
        self.control.stop(0).await;
        while self.supervised.join_next().await.is_some() {}
        processes::tell_ends(&self.control);
    }

    /// Until the end: signals, the token's news, and what the service manager is told.
    async fn attend(&mut self, signals: &mut Signals, notifier: &Notifier) -> Result<u8, Ended> {
        let (mut tokens, mut changes) = (self.store.tokens(), self.health.changes());
        let every = notifier.watchdog().unwrap_or(Duration::from_secs(3_600));
        let mut watchdog = tokio::time::interval(every);
        let mut ready = false;
        loop {
            tokio::select! {
                // The supervisor gets the same signals: that we were asked to end counts first.
                biased;
                _ = signals.terminate.recv() => return Ok(0),
                _ = signals.interrupt.recv() => return Ok(0),
                _ = signals.quit.recv() => return Ok(0),
                Some(code) = self.supervised.join_next() => {
                    return code.map_err(|_| Ended("the supervision of programs was interrupted".to_owned()));
                }
                _ = signals.hangup.recv() => self.reload(notifier).await,
                Ok(()) = tokens.changed() => self.token_news(&tokens.borrow_and_update().clone())?,
                Ok(()) = changes.changed() => {
                    notifier.status(&self.health.line());
                    if !ready && self.health.is_ready() {
                        ready = true;
                        notifier.ready();
                        tracing::info!("ready");
                    }
                }
                // Only an agent whose store answers is alive.
                _ = watchdog.tick() => if self.store.report().await.is_some() { notifier.alive() },
            }
        }
    }

    fn token_news(&self, news: &crate::store::TokenNews) -> Result<(), Ended> {
        if let Some(stolen) = &news.stolen {
            self.health.ill(LOGIN, stolen.clone());
            return Err(Ended(format!("security event: {stolen}")));
        }
        match &news.trouble {
            Some(trouble) => self.health.ill(LOGIN, trouble.clone()),
            None => self.health.well(LOGIN),
        }
        Ok(())
    }

    /// Reads the configuration and the templates again. What is wrong changes nothing.
    async fn reload(&mut self, notifier: &Notifier) {
        notifier.status("reading the configuration");
        let read = config::load(&self.path, &Accounts::of_host()).map_err(|error| error.to_string());
        let read = read.and_then(|config| {
            check(&config, self.surroundings)
                .map(|warnings| (config, warnings))
                .map_err(|error| error.to_string())
        });
        match read {
            Err(error) => tracing::error!(error, "not reloaded; the agent goes on as before"),
            Ok((config, warnings)) => {
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                self.adopt(config).await;
                tracing::info!("reloaded");
            }
        }
        notifier.status(&self.health.line());
    }

    async fn adopt(&mut self, config: Config) {
        let fixed = |config: &Config| {
            (
                config.server.clone(),
                config.auth.clone(),
                config.state.clone(),
                config.listener.clone(),
                config.cache,
                config.processes.clone(),
            )
        };
        if fixed(&config) != fixed(&self.config) {
            tracing::warn!(
                "[server], [auto_auth], [state], [listener], [cache] and [[process]] stay as they were until the agent is restarted"
            );
        }
        self.files.shutdown().await;
        let parts = self.config.sinks.iter().map(sink::part);
        for part in parts.chain(self.config.templates.iter().map(render::part)) {
            self.health.forget(&part);
        }
        for settings in &self.config.templates {
            self.voice.say(&render::who(&settings.place.path), []);
        }
        let Config { sinks, templates, environment, .. } = config;
        (self.config.sinks, self.config.templates, self.config.environment) = (sinks, templates, environment);
        self.start_files();
    }
}

/// Even without programs: it takes the ends of those that templates start, and of orphans where this is a container's first
/// process.
fn supervisor(config: &Config, surroundings: &Surroundings<'_>) -> Result<(Supervisor, Control), Ended> {
    let specs = config.processes.iter().map(ProcessSettings::spec).collect();
    let say = Box::new(|line: &str| tracing::warn!("{line}"));
    let made = Supervisor::new(specs, supervise::Signals::Stop, Arc::clone(&surroundings.clock), say);
    let (supervisor, control, _no_fleet) =
        made.map_err(|error| Ended(format!("cannot look after programs: {error}")))?;
    Ok((supervisor, control))
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }
}
