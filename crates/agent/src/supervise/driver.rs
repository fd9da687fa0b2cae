//! The rim of the machine: real processes, real signals, real time.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command as Spawning;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Clock;
use coffre_source::inject::Injected;
use rustix::process::Pid;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::children::{Child, Children};
use super::group::{self, Group};
use super::machine::{Command, Event, Generation, Machine, Notice};
use super::output::Output;
use super::policy::Policy;
use super::redact::{Redactor, TooLarge};
use super::signals::{self, CHLD, Inbox};
use crate::exec;

/// How often it is looked whether what a program left behind is gone.
const LOOK: Duration = Duration::from_millis(25);
/// The longest wait; a suspended machine wakes up late, not never.
const LONGEST: Duration = Duration::from_secs(3600);
/// No process survives it.
const KILL: i32 = 9;
/// Requests that wait to be taken.
const BACKLOG: usize = 64;

/// A program to look after.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What messages and health call it.
    pub name: String,
    /// The program, and its arguments.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// How it is looked after.
    pub policy: Policy,
    /// Whether signals go to all of its processes instead of the first one, which knows what to do about the others.
    pub whole_group: bool,
    /// Whether values are hidden in what it prints, where that does not go to a terminal.
    pub redact: bool,
    /// Run on changes, if the policy says so: a program and its arguments.
    pub hook: Option<(OsString, Vec<OsString>)>,
}

/// What becomes of the signals that this process gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// They are passed on, as if the program stood in our place.
    Forward,
    /// INT, QUIT and TERM stop every program; others keep their own effect. For a service.
    Stop,
}

/// What somebody outside wants.
enum Request {
    Values(usize, Injected, u64),
    Stop(u8),
    Slot(usize),
}

/// What the fleet is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotWish {
    /// The program of this number waits for a slot.
    Take(usize),
    /// It needs it no longer.
    Return(usize),
}

/// A program's state, without values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Its name.
    pub name: String,
    /// `starting`, `running`, `stopping`, `pausing` or `ended`.
    pub state: &'static str,
    /// Its process, while it runs.
    pub pid: Option<i32>,
    /// How often it was started.
    pub starts: u64,
    /// Whether it runs with older values, because it failed with the newest.
    pub reverted: bool,
    /// Its exit code, when it is over.
    pub code: Option<u8>,
    /// Which environment is in use, by the newest tag it was given with ([`Control::values`]): that of the program, once
    /// it has shown that it lives with it. `None` before the first start.
    pub holds: Option<u64>,
    /// Whether that is the newest.
    pub current: bool,
}

/// Says something to the operator. Never a value.
pub type Say = Box<dyn FnMut(&str) + Send>;

/// Talks to a running [`Supervisor`].
#[derive(Clone, Debug)]
pub struct Control {
    requests: mpsc::Sender<Request>,
    health: watch::Sender<Vec<Health>>,
    children: Arc<Children>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request")
    }
}

impl Control {
    /// The complete environment of a program, by its place in the list, as it is now. Equal ones change nothing but the
    /// tag, by which [`Health::holds`] names it. The first one starts it.
    pub async fn values(&self, at: usize, environment: Injected, tag: u64) {
        let _ = self.requests.send(Request::Values(at, environment, tag)).await;
    }

    /// The fleet lets this one restart.
    pub async fn grant(&self, at: usize) {
        let _ = self.requests.send(Request::Slot(at)).await;
    }

    /// Stops everything. `code` is the exit code if no program gives one.
    pub async fn stop(&self, code: u8) {
        let _ = self.requests.send(Request::Stop(code)).await;
    }

    /// How the programs are.
    #[must_use]
    pub fn health(&self) -> Vec<Health> {
        self.health.borrow().clone()
    }

    /// Says when that has changed.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<Vec<Health>> {
        self.health.subscribe()
    }

    /// Where other commands of this process are started, so that nobody else takes their end.
    #[must_use]
    pub fn children(&self) -> &Arc<Children> {
        &self.children
    }
}

/// Looks after programs until the first of them is over, then ends the others.
pub struct Supervisor {
    programs: Vec<Program>,
    inbox: Inbox,
    signals: Signals,
    terminal: bool,
    requests: mpsc::Receiver<Request>,
    wishes: mpsc::UnboundedSender<SlotWish>,
    control: Control,
    clock: Arc<dyn Clock>,
    say: Say,
    answer: Option<u8>,
}

struct Program {
    spec: Spec,
    machine: Machine,
    sets: Vec<(Generation, Injected)>,
    tags: Vec<(Generation, u64)>,
    next: u64,
    child: Option<Child>,
    group: Option<Group>,
    hooks: Vec<Child>,
    output: Output,
    starts: u64,
    over: Option<u8>,
}

impl Supervisor {
    /// Takes over signals and orphans; from here on nothing is lost. Must be made within a runtime, before anything is
    /// asked of a server, so that a signal during start-up counts. The receiver gets the wishes of programs whose
    /// policy has `slots`.
    pub fn new(
        specs: Vec<Spec>,
        signals: Signals,
        clock: Arc<dyn Clock>,
        say: Say,
    ) -> std::io::Result<(Self, Control, mpsc::UnboundedReceiver<SlotWish>)> {
        // A service's programs do not talk to a terminal.
        let terminal = signals == Signals::Forward && signals::has_terminal();
        let inbox = match signals {
            Signals::Forward => Inbox::forwarding(terminal)?,
            Signals::Stop => Inbox::stopping()?,
        };
        // A program in our place would have no orphans of others; a service may start commands of its own.
        let children = Arc::new(Children::taking(signals == Signals::Forward));
        let (sender, requests) = mpsc::channel(BACKLOG);
        let (wishes, wished) = mpsc::unbounded_channel();
        let control = Control { requests: sender, health: watch::channel(vec![]).0, children };
        let programs = specs.into_iter().map(Program::new).collect();
        let supervisor = Self {
            programs,
            inbox,
            signals,
            terminal,
            requests,
            wishes,
            control: control.clone(),
            clock,
            say,
            answer: None,
        };
        supervisor.publish();
        Ok((supervisor, control, wished))
    }

    /// The number of a signal that ended the wait for values. For whoever resolves before [`Supervisor::run`]; other
    /// signals stay for the program.
    pub async fn ended_early(&mut self) -> i32 {
        self.inbox.next_ending().await
    }

    /// Runs until the end; gives the exit code. Without programs it waits to be stopped.
    pub async fn run(mut self) -> u8 {
        loop {
            if let Some(code) =
                self.answer.filter(|_| self.programs.iter().all(|program| program.over.is_some()))
            {
                for program in &mut self.programs {
                    program.output.finish().await;
                }
                return code;
            }
            let wait = self.due().saturating_sub(self.clock.boot()).min(LONGEST);
            tokio::select! {
                biased;
                number = self.inbox.next() => self.signal(number),
                Some(request) = self.requests.recv() => self.request(request),
                () = sleep(wait) => self.look(),
            }
            self.publish();
        }
    }

    fn due(&self) -> Duration {
        let now = self.clock.boot();
        let of = |program: &Program| {
            let look = program.machine.is_clearing().then(|| now.saturating_add(LOOK));
            [program.machine.due(), look].into_iter().flatten().min()
        };
        self.programs.iter().filter_map(of).min().unwrap_or(now.saturating_add(LONGEST))
    }

    fn signal(&mut self, number: i32) {
        if number == CHLD {
            self.control.children.reap();
            return self.look();
        }
        if self.signals == Signals::Stop {
            return self.stop(128_u8.saturating_add(u8::try_from(number).unwrap_or(0)));
        }
        let pass = !(self.terminal && signals::is_of_terminal(number));
        for at in 0..self.programs.len() {
            self.tell(at, Event::Signal { number, pass });
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Values(at, environment, tag) => {
                if let Some(event) = self.programs.get_mut(at).map(|program| program.take(environment, tag)) {
                    self.tell(at, event);
                }
            }
            Request::Slot(at) => self.tell(at, Event::Slot),
            Request::Stop(code) => self.stop(code),
        }
    }

    fn stop(&mut self, code: u8) {
        self.answer = self.answer.or(self.programs.is_empty().then_some(code));
        for at in 0..self.programs.len() {
            self.tell(at, Event::Stop(code));
        }
    }

    /// Looks at what has ended and at the time.
    fn look(&mut self) {
        for at in 0..self.programs.len() {
            if let Some(event) = self.programs.get_mut(at).and_then(Program::ended) {
                self.tell(at, event);
            }
            self.tell(at, Event::Timer);
        }
    }

    fn tell(&mut self, at: usize, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let now = self.clock.boot();
            let Some(program) = self.programs.get_mut(at) else { return };
            for command in program.machine.on(now, event) {
                match command {
                    Command::Start(generation) => {
                        let started = program.start(generation, self.terminal, &self.control.children);
                        let name = &program.spec.name;
                        events.push(match started {
                            Ok(not_hidden) => {
                                if !not_hidden.is_empty() && program.starts == 1 {
                                    let names = not_hidden.join(", ");
                                    (self.say)(&format!(
                                        "{name}: too short to be hidden in its output: {names}"
                                    ));
                                }
                                Event::Started
                            }
                            Err(failed) => {
                                (self.say)(&format!("{name}: {failed} ({})", failed.source));
                                Event::NotStarted(failed.code)
                            }
                        });
                    }
                    Command::Hook(generation) => {
                        if let Err(error) = program.run_hook(generation, &self.control.children) {
                            (self.say)(&format!("{}: the hook cannot be run: {error}", program.spec.name));
                        }
                    }
                    Command::Signal(number) => program.signal(number),
                    Command::SignalGroup(number) => program.signal_group(number),
                    Command::Kill => program.kill(),
                    Command::TakeSlot => drop(self.wishes.send(SlotWish::Take(at))),
                    Command::ReturnSlot => drop(self.wishes.send(SlotWish::Return(at))),
                    Command::Notice(notice) => {
                        (self.say)(&format!(
                            "{}: {}",
                            program.spec.name,
                            sentence(notice, &program.spec.policy)
                        ));
                    }
                    Command::Finished(code) => {
                        program.end_hooks();
                        program.over = Some(code);
                    }
                }
            }
            program.forget();
        }
        self.end_others();
    }

    /// When one program is over, the others are not wanted any more.
    fn end_others(&mut self) {
        let over = self.programs.iter().find_map(|program| program.over);
        if self.answer.is_none()
            && let Some(code) = over
        {
            self.answer = Some(code);
            self.stop(code);
        }
    }

    fn publish(&self) {
        let now: Vec<Health> = self.programs.iter().map(Program::health).collect();
        self.control.health.send_if_modified(|health| {
            let changed = *health != now;
            if changed {
                *health = now;
            }
            changed
        });
    }
}

impl Program {
    fn new(spec: Spec) -> Self {
        let machine = Machine::new(spec.policy.clone());
        let (sets, tags, hooks, output) = (Vec::new(), Vec::new(), Vec::new(), Output::default());
        Self {
            spec,
            machine,
            sets,
            tags,
            next: 1,
            child: None,
            group: None,
            hooks,
            output,
            starts: 0,
            over: None,
        }
    }

    /// Equal environments are one generation.
    fn take(&mut self, environment: Injected, tag: u64) -> Event {
        let known = self.sets.iter().find(|(_, known)| known.same_as(&environment));
        let generation = known.map(|(generation, _)| *generation);
        let first = self.sets.is_empty();
        let generation = generation.unwrap_or_else(|| {
            let generation = Generation(self.next);
            self.next = self.next.saturating_add(1);
            self.sets.push((generation, environment));
            generation
        });
        self.tags.retain(|(known, _)| *known != generation);
        self.tags.push((generation, tag));
        if first { Event::Begin(generation) } else { Event::Values(generation) }
    }

    /// Wipes values that nothing can ask for any more.
    fn forget(&mut self) {
        let machine = &self.machine;
        self.sets.retain(|(generation, _)| machine.needs(*generation));
        let held = machine.holds();
        self.tags.retain(|(generation, _)| machine.needs(*generation) || Some(*generation) == held);
    }

    fn environment(&self, generation: Generation) -> Option<&Injected> {
        self.sets.iter().find(|(known, _)| *known == generation).map(|(_, environment)| environment)
    }

    /// Gives the names whose values are too short to be hidden.
    fn start(
        &mut self,
        generation: Generation,
        terminal: bool,
        children: &Children,
    ) -> Result<Vec<String>, exec::NotStarted> {
        let mut command = Spawning::new(&self.spec.program);
        command.args(&self.spec.args).env_clear();
        if let Some(environment) = self.environment(generation) {
            command.envs(environment.expose());
        }
        if !terminal {
            command.process_group(0);
        }
        let not_started = |error| exec::NotStarted::of(&self.spec.program, error);
        let redactor = self.redactor(generation).transpose();
        let redactor = redactor.map_err(|too_large| not_started(std::io::Error::other(too_large)))?;
        if redactor.is_some() {
            self.output.pipe(&mut command);
        }
        let mut child = children.spawn(&mut command).map_err(not_started)?;
        let not_hidden = redactor.as_ref().map(|redactor| redactor.skipped.clone()).unwrap_or_default();
        if let Some(redactor) = redactor {
            self.output.take(&mut child, redactor);
        }
        self.group = Some(if terminal { Group::Shared } else { Group::Own(child.pid) });
        self.child = Some(child);
        self.starts = self.starts.saturating_add(1);
        Ok(not_hidden)
    }

    fn redactor(&self, generation: Generation) -> Option<Result<Redactor, TooLarge>> {
        let environment = self.environment(generation).filter(|_| self.spec.redact)?;
        Some(Redactor::new(environment.expose_secrets()))
    }

    fn run_hook(&mut self, generation: Generation, children: &Children) -> std::io::Result<()> {
        // One at a time: what an older one still does is overtaken.
        self.end_hooks();
        let Some((program, args)) = &self.spec.hook else { return Ok(()) };
        let mut command = Spawning::new(program);
        command.args(args).env_clear().process_group(0).stdin(std::process::Stdio::null());
        if let Some(environment) = self.environment(generation) {
            command.envs(environment.expose());
        }
        if let Some(pid) = self.pid() {
            command.env("COFFRE_PID", pid.as_raw_pid().to_string());
        }
        self.hooks.push(children.spawn(&mut command)?);
        Ok(())
    }

    fn end_hooks(&mut self) {
        for hook in self.hooks.drain(..) {
            Group::Own(hook.pid).signal(KILL);
        }
    }

    /// What has become of the program or its group since last time.
    fn ended(&mut self) -> Option<Event> {
        self.hooks.retain_mut(|hook| hook.end.try_recv().is_err());
        if let Some(status) = self.child.as_mut().and_then(|child| child.end.try_recv().ok()) {
            self.child = None;
            let left = self.group.is_some_and(Group::lives);
            return Some(Event::Exited { status, left });
        }
        let cleared = self.machine.is_clearing() && !self.group.is_some_and(Group::lives);
        cleared.then_some(Event::Cleared)
    }

    fn signal(&self, number: i32) {
        match self.pid() {
            Some(_) if self.spec.whole_group => self.signal_group(number),
            Some(pid) => group::signal(pid, number),
            None => {}
        }
    }

    fn signal_group(&self, number: i32) {
        if let Some(group) = self.group {
            group.signal(number);
        }
    }

    fn kill(&self) {
        self.signal_group(KILL);
        // It may have left its group.
        if let Some(pid) = self.pid() {
            group::signal(pid, KILL);
        }
    }

    fn pid(&self) -> Option<Pid> {
        self.child.as_ref().map(|child| child.pid)
    }

    fn health(&self) -> Health {
        Health {
            name: self.spec.name.clone(),
            state: self.machine.state(),
            pid: self.pid().map(Pid::as_raw_pid),
            starts: self.starts,
            reverted: self.machine.is_reverted(),
            code: self.over,
            holds: self
                .tags
                .iter()
                .find(|(known, _)| Some(*known) == self.machine.holds())
                .map(|(_, tag)| *tag),
            current: self.machine.is_current(),
        }
    }
}

fn sentence(notice: Notice, policy: &Policy) -> String {
    use super::machine::{Status, TRIALS};
    let how = |status: Status| match status {
        Status::Exited(code) => format!("ended with {code}"),
        Status::Killed(number) => format!("was ended by {}", signals::name(number)),
    };
    let uptime = policy.min_uptime.as_secs();
    match notice {
        Notice::Restarting => "values have changed; it is restarted with the new ones".to_owned(),
        Notice::OnlyTold => "values have changed; it goes on with those it has".to_owned(),
        Notice::Killing => {
            format!("it did not stop within its grace ({} s), and is killed", policy.grace.as_secs())
        }
        Notice::Failed(times, status) => format!(
            "it {} within {uptime} s of its start with new values ({times} of {TRIALS}); it is started again",
            how(status)
        ),
        Notice::Reverted(status) => format!(
            "WARNING: IT DOES NOT LIVE WITH THE NEW VALUES (it {}, {TRIALS} times within {uptime} s). It is started \
             with the values before them, which the server no longer gives as the newest: correct them",
            how(status)
        ),
        Notice::Confirmed => format!("it has been up for {uptime} s with the new values"),
        Notice::Crashed(status, pause) => {
            format!("it {}; it is started again in {} s", how(status), pause.as_secs())
        }
        Notice::TimedOut => "its time is up; it is stopped".to_owned(),
        Notice::Undead => "something that it left behind could not even be killed".to_owned(),
    }
}
