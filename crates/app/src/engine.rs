//! The background: one thread with a runtime of its own that drives the machine.
//!
//! After fork(2) a child has no such thread. The first reader that finds nothing it may use starts a new one there;
//! connections are made anew, for the parent uses the old ones.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use coffre_cache::{
    BreakerState, Counters, EntryView, Machine, Parameters, Refusal, Settings as MachineSettings,
};
use coffre_client::Client;
use coffre_secret::SecretText;
use coffre_source::identity::{Identity, SecretId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::brain::{Brain, Contained, Reply};
use crate::core::{Core, closed};
use crate::driver;
use crate::error::{Error, ErrorKind};
use crate::perform::Place;
use crate::recipe::Key;
use crate::settings::Settings;

/// How much longer than its budget a reader waits for the background's answer.
const GRACE: Duration = Duration::from_secs(1);
/// How long closing waits for leases and tokens to be revoked.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

/// The background of one instance, if it has a server.
#[derive(Default)]
pub(crate) struct Engines {
    server: Option<Server>,
    current: ArcSwapOption<Engine>,
    /// The process in which a thread is starting the background, or 0.
    reviving: AtomicU32,
    /// The process whose background ran last.
    home: AtomicU32,
}

/// What is needed to start the background, again in a child.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) place: Arc<Place>,
    pub(crate) parameters: Parameters,
    pub(crate) needs_token: bool,
    pub(crate) can_login: bool,
    brain: ArcSwap<Mutex<Brain>>,
    /// The secret_id, once it was opened: that works only once.
    opened: ArcSwapOption<SecretText>,
}

struct Engine {
    pid: u32,
    sender: UnboundedSender<Message>,
}

/// What others ask of the background.
pub(crate) enum Message {
    Get {
        key: Key,
        reply: Reply,
    },
    Touch(Key),
    Invalidate {
        key: Key,
        epoch: Option<u64>,
    },
    Follow,
    Wake,
    /// Something is not in use any more, or a login was refused.
    Used,
    Inspect(SyncSender<Inspection>),
    Close {
        revoke: bool,
        done: Option<SyncSender<()>>,
    },
}

/// What the background knows, without values.
pub(crate) struct Inspection {
    pub(crate) breaker: BreakerState,
    pub(crate) token_ttl: Option<Duration>,
    pub(crate) counters: Counters,
    pub(crate) views: HashMap<Key, EntryView>,
}

impl Server {
    pub(crate) fn new(
        settings: Settings,
        place: Place,
        parameters: Parameters,
        login: (bool, bool),
        brain: Brain,
    ) -> Self {
        let (needs_token, can_login) = login;
        let opened = brain.identity.as_deref().and_then(plain_secret_id).map(Arc::new);
        Self {
            settings,
            place: Arc::new(place),
            parameters,
            needs_token,
            can_login,
            brain: ArcSwap::from_pointee(Mutex::new(brain)),
            opened: ArcSwapOption::new(opened),
        }
    }

    /// Keeps what a login opened.
    pub(crate) fn opened(&self, identity: &Identity) {
        if self.opened.load().is_none()
            && let Some(secret_id) = plain_secret_id(identity)
        {
            self.opened.store(Some(Arc::new(secret_id)));
        }
    }

    /// A machine as the settings say.
    pub(crate) fn machine(settings: &Settings, login: (bool, bool), now: Duration) -> Machine<Contained> {
        let (needs_token, can_login) = login;
        let mut chosen = MachineSettings::new(settings.seed());
        chosen.needs_token = needs_token;
        chosen.can_login = can_login;
        Machine::new(chosen, now)
    }

    /// The brain for a new background: the one there is, if nobody holds it, else a new one that shows what is shown.
    fn take_over(&self, core: &Core, forked: bool) -> Arc<Mutex<Brain>> {
        let brain = self.brain.load_full();
        let now = core.clock.boot();
        let free = match brain.try_lock() {
            Ok(mut brain) => {
                if forked {
                    brain.forked(self.settings.seed());
                }
                true
            }
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => false,
        };
        if free {
            return brain;
        }
        let login = (self.needs_token, self.can_login);
        let machine = Self::machine(&self.settings, login, now);
        let mut new = Brain::new(machine, self.parameters, core.facts.recipes.keys(), self.identity());
        new.inherit(core.published().shelves.clone());
        let new = Arc::new(Mutex::new(new));
        let held = self.brain.swap(Arc::clone(&new));
        // A lock that a thread of the parent holds for ever in here; neither it nor its data can be dropped.
        std::mem::forget(held);
        new
    }

    fn identity(&self) -> Option<Box<Identity>> {
        let mut identity = Identity::of(&|name| self.settings.stated(name), None).ok()?;
        if let Identity::AppRole { secret_id: secret_id @ Some(SecretId::Wrapped(_)), .. } = &mut identity
            && let Some(opened) = &*self.opened.load()
        {
            *secret_id = Some(SecretId::Plain(opened.duplicate()));
        }
        Some(Box::new(identity))
    }
}

/// A copy of the secret_id, unless it is still wrapped.
fn plain_secret_id(identity: &Identity) -> Option<SecretText> {
    match identity {
        Identity::AppRole { secret_id: Some(SecretId::Plain(secret_id)), .. } => Some(secret_id.duplicate()),
        _ => None,
    }
}

impl Engines {
    pub(crate) fn of(server: Server) -> Self {
        Self { server: Some(server), ..Self::default() }
    }

    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// For the thread that made the instance and goes on as its background.
    pub(crate) fn begin(&self) -> Option<(Arc<Mutex<Brain>>, UnboundedReceiver<Message>)> {
        let server = self.server.as_ref()?;
        let (sender, inbox) = unbounded_channel();
        let pid = std::process::id();
        self.current.store(Some(Arc::new(Engine { pid, sender })));
        self.home.store(pid, Ordering::Release);
        Some((server.brain.load_full(), inbox))
    }

    /// Waits until the document was asked for; afterwards it is published, or the error says why not.
    pub(crate) fn ask(&self, core: &Arc<Core>, key: &Key) -> Result<(), Error> {
        let (reply, answer) = sync_channel(1);
        self.send(core, Message::Get { key: key.clone(), reply: Reply::Blocking(reply) })?;
        let result = answer.recv_timeout(core.facts.budget.saturating_add(GRACE));
        self.answered(core, key, result.unwrap_or_else(|_| Err(Self::silent(core, key))))
    }

    pub(crate) async fn ask_async(&self, core: &Arc<Core>, key: &Key) -> Result<(), Error> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.send(core, Message::Get { key: key.clone(), reply: Reply::Async(reply) })?;
        self.answered(core, key, answer.await.unwrap_or_else(|_| Err(Self::silent(core, key))))
    }

    /// What it means that the background has not answered in time.
    fn silent(core: &Core, key: &Key) -> Refusal {
        let published = core.published();
        let seen = published.shelves.get(key).and_then(|shelf| shelf.validated_at());
        seen.map_or(Refusal::Unavailable, |at| Refusal::Stale { age: core.clock.boot().saturating_sub(at) })
    }

    fn answered(&self, core: &Core, key: &Key, result: Result<(), Refusal>) -> Result<(), Error> {
        let shown = || self.server.as_ref().map_or_else(String::new, |server| server.place.shown(key));
        result.map_err(|refusal| if core.is_closed() { closed() } else { Error::refused(&shown(), refusal) })
    }

    /// Tells the background that a document should be asked for again. If that fails, the next reader tells it.
    pub(crate) fn touch(&self, core: &Arc<Core>, key: &Key) {
        let _ = self.send(core, Message::Touch(key.clone()));
    }

    /// Gives the background something to do; starts it if this process has none.
    pub(crate) fn send(&self, core: &Arc<Core>, message: Message) -> Result<(), Error> {
        let engine = self.engine(core)?;
        engine.sender.send(message).map_err(|_| unavailable("the background has stopped; try again"))
    }

    /// The same, if this process has a background; else it is of no consequence.
    pub(crate) fn hint(&self, message: Message) {
        if let Some(engine) = self.own() {
            let _ = engine.sender.send(message);
        }
    }

    /// What the background knows; `None` if this process has none, or it does not answer at once.
    pub(crate) fn inspect(&self) -> Option<Inspection> {
        let engine = self.own()?;
        let (reply, answer) = sync_channel(1);
        engine.sender.send(Message::Inspect(reply)).ok()?;
        answer.recv_timeout(GRACE).ok()
    }

    /// Ends the background of this process, if there is one, and waits a moment if `wait` is given.
    pub(crate) fn close(&self, revoke: bool, wait: bool) {
        let Some(engine) = self.own() else { return };
        let (done, closed) = sync_channel(1);
        let done = wait.then_some(done);
        if engine.sender.send(Message::Close { revoke, done }).is_ok() && wait {
            let _ = closed.recv_timeout(FAREWELL.saturating_add(GRACE));
        }
    }

    /// In a child: whatever ran was the parent's.
    pub(crate) fn forget_parent(&self) {
        self.reviving.store(0, Ordering::Release);
        if self.own().is_none() {
            // Dropping it would wake the parent's runtime, whose descriptors this process shares.
            std::mem::forget(self.current.swap(None));
        }
    }

    fn own(&self) -> Option<Arc<Engine>> {
        self.current.load_full().filter(|engine| engine.pid == std::process::id())
    }

    fn engine(&self, core: &Arc<Core>) -> Result<Arc<Engine>, Error> {
        for _ in 0..1_000_000 {
            if core.is_closed() {
                return Err(closed());
            }
            if let Some(engine) = self.own().filter(|engine| !engine.sender.is_closed()) {
                return Ok(engine);
            }
            let pid = std::process::id();
            let seen = self.reviving.load(Ordering::Acquire);
            // A mark of another process is one that a fork carried over.
            if seen != pid
                && self.reviving.compare_exchange(seen, pid, Ordering::AcqRel, Ordering::Acquire).is_ok()
            {
                let revived = self.revive(core, pid);
                self.reviving.store(0, Ordering::Release);
                return revived;
            }
            std::thread::yield_now();
        }
        Err(unavailable("the background does not start; try again"))
    }

    fn revive(&self, core: &Arc<Core>, pid: u32) -> Result<Arc<Engine>, Error> {
        let server = self.server.as_ref().ok_or_else(closed)?;
        let client = server.settings.client()?;
        let client =
            client.ok_or_else(|| Error::new(ErrorKind::Invalid, "VAULT_ADDR is not set any more"))?;
        let old = self.current.load_full();
        let forked = self.home.load(Ordering::Acquire) != pid;
        let brain = server.take_over(core, forked);
        let (sender, inbox) = unbounded_channel();
        let engine = Arc::new(Engine { pid, sender });
        spawn(Arc::clone(core), brain, client, inbox)?;
        let replaced = self.current.swap(Some(Arc::clone(&engine)));
        self.home.store(pid, Ordering::Release);
        if forked {
            // Dropping it would wake the parent's runtime, whose descriptors this process shares.
            std::mem::forget((old, replaced));
        }
        Ok(engine)
    }
}

fn spawn(
    core: Arc<Core>,
    brain: Arc<Mutex<Brain>>,
    client: Client,
    inbox: UnboundedReceiver<Message>,
) -> Result<(), Error> {
    let run = move || match runtime() {
        Ok(runtime) => runtime.block_on(driver::run(core, brain, client, inbox)),
        Err(error) => tracing::error!("the background of the secrets cannot start: {error}"),
    };
    let thread = std::thread::Builder::new().name("coffre-secrets".to_owned()).spawn(run);
    thread.map(drop).map_err(|error| unavailable("cannot start a thread; try again").caused_by(error))
}

/// A runtime on the calling thread.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}
