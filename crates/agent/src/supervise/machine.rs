//! The life of one supervised program as a pure machine: events in, commands out, time as an argument.
//!
//! ```text
//!  Idle ──begin──▶ Starting ──▶ Running ──stop──▶ Stopping ──exit──▶ Clearing ──▶ Ended
//!                     ▲            │                                    │
//!                     │            └──────────────exit─────────────────▶│
//!                     └────────────────── Pausing ◀─────────────────────┘
//! ```
//!
//! `Clearing` is the time in which what the program left behind in its process group is ended. There is at most one
//! program at any time: it is started only when the one before it and its group are gone, or cannot be ended.
//!
//! Values have generations: equal values have the same one. A program that is started with new values is on trial for
//! [`Policy::min_uptime`]; if it fails three times within that, the values are rejected, and the ones before them are
//! used until other values come.

use std::time::Duration;

use super::policy::{OnChange, OnCrash, Policy};
use super::signals::{self, HUP, INT, QUIT, TERM};

/// The exit code if the deadline ended the program (as `timeout` has it).
pub const TIMED_OUT: u8 = 124;
/// How often a program may fail with new values before they are rejected.
pub const TRIALS: u8 = 3;

/// The pause before the second trial; the third waits twice as long.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the end of a group is awaited that was killed. Only a process that hangs in the kernel outlives that.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// One set of values. Equal sets have equal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(u8),
    /// By this signal.
    Killed(i32),
}

impl Status {
    /// Whether this is no failure: code 0, or a signal that asks for an end (as systemd has it).
    #[must_use]
    pub fn is_clean(self) -> bool {
        matches!(self, Self::Exited(0) | Self::Killed(HUP | INT | TERM))
    }

    /// What a shell shows: the code, or 128 and the signal's number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(number) => u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX),
        }
    }
}

/// What the machine is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The values are there.
    Begin(Generation),
    /// The program that was to be started runs.
    Started,
    /// It could not be started; the code says why (126, 127, 125).
    NotStarted(u8),
    /// The program ended; `left` says whether there is something else in its group.
    Exited {
        /// How.
        status: Status,
        /// Whether others of its group live.
        left: bool,
    },
    /// Nothing is left of the group.
    Cleared,
    /// A signal for the program. `pass` is false if it has it already.
    Signal {
        /// Its number.
        number: i32,
        /// Whether it must be passed on.
        pass: bool,
    },
    /// It must end for good. The code is the answer if there is no program to give one.
    Stop(u8),
    /// These are the newest values.
    Values(Generation),
    /// The fleet lets this one restart.
    Slot,
    /// Time has passed.
    Timer,
}

/// What the machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start the program with these values; the answer is [`Event::Started`] or [`Event::NotStarted`].
    Start(Generation),
    /// Send the program a signal.
    Signal(i32),
    /// Send it to what is left of its group.
    SignalGroup(i32),
    /// KILL, to the program and its group.
    Kill,
    /// Run the operator's command with these values.
    Hook(Generation),
    /// Ask the fleet for a restart; the answer is [`Event::Slot`].
    TakeSlot,
    /// The restart is over, or not wanted any more.
    ReturnSlot,
    /// Tell the operator.
    Notice(Notice),
    /// It is over. Nothing follows.
    Finished(u8),
}

/// What the operator should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The program is stopped, to be started with new values.
    Restarting,
    /// Values have changed, and nothing is done about it.
    OnlyTold,
    /// It did not stop within its grace.
    Killing,
    /// It failed with new values for the given time.
    Failed(u8, Status),
    /// The new values are rejected; it is started with the ones before them.
    Reverted(Status),
    /// It lives with the new values.
    Confirmed,
    /// It crashed, and is started again after the pause.
    Crashed(Status, Duration),
    /// The deadline has passed.
    TimedOut,
    /// Something of its group could not even be killed.
    Undead,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Machine {
    policy: Policy,
    state: State,
    /// The newest values.
    wanted: Generation,
    /// What was last acted upon: the values of the program, of the hook, or those told of.
    applied: Generation,
    /// The values that the program has lived with.
    good: Generation,
    /// The values that are in use: of the program that has shown that it lives with them, or handed to the hook.
    held: Option<Generation>,
    rejected: Option<Generation>,
    reverted: bool,
    window: Option<Window>,
    slot: Slot,
    failures: u8,
    crashes: u32,
    /// Until when an end counts as the answer to INT or QUIT, not as a crash.
    asked_until: Option<Duration>,
    /// Set once it must end for good; with a code that wins over the program's.
    ending: Option<Option<u8>>,
    out: Vec<Command>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Starting,
    Running { since: Duration },
    Stopping { kill_at: Option<Duration> },
    Clearing { next: Next, end: Duration, killed: bool },
    Pausing { until: Duration },
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    End(u8),
    Start,
    Pause(Duration),
}

/// When the changes that wait began and were last added to.
#[derive(Clone, Copy, Debug)]
struct Window {
    first: Duration,
    last: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    None,
    Asked,
    Held,
}

impl Machine {
    /// A program that has not been started.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Idle,
            wanted: Generation(0),
            applied: Generation(0),
            good: Generation(0),
            held: None,
            rejected: None,
            reverted: false,
            window: None,
            slot: Slot::None,
            failures: 0,
            crashes: 0,
            asked_until: None,
            ending: None,
            out: Vec::new(),
        }
    }

    /// Takes an event at a time since boot, and gives what is to be done, in order.
    #[must_use]
    pub fn on(&mut self, now: Duration, event: Event) -> Vec<Command> {
        if self.state != State::Ended {
            self.take(now, event);
            self.look(now);
        }
        std::mem::take(&mut self.out)
    }

    /// When it wants [`Event::Timer`]; `None` while it waits for something else.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let own = match self.state {
            State::Running { .. } => [self.confirmation(), self.settled()].into_iter().flatten().min(),
            State::Stopping { kill_at } => kill_at,
            State::Clearing { end, .. } => Some(end),
            State::Pausing { until } => Some(until),
            State::Idle | State::Starting => None,
            State::Ended => return None,
        };
        [own, self.deadline()].into_iter().flatten().min()
    }

    /// Whether values of this generation may be needed again.
    #[must_use]
    pub fn needs(&self, generation: Generation) -> bool {
        [self.wanted, self.applied, self.good].contains(&generation) || self.rejected == Some(generation)
    }

    /// The values that are in use. While a program is stopped, started with others, and on trial with them, they are
    /// still the ones before: it may yet go back to them. `None` before the first start.
    #[must_use]
    pub fn holds(&self) -> Option<Generation> {
        self.held
    }

    /// Whether these are the newest.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.held == Some(self.wanted)
    }

    /// Whether it goes with older values, because it failed with the newest.
    #[must_use]
    pub fn is_reverted(&self) -> bool {
        self.reverted
    }

    /// Whether what the program left behind is being ended, so that somebody must look whether it is gone.
    #[must_use]
    pub fn is_clearing(&self) -> bool {
        matches!(self.state, State::Clearing { .. })
    }

    /// One word.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Idle | State::Starting => "starting",
            State::Running { .. } => "running",
            State::Stopping { .. } | State::Clearing { .. } => "stopping",
            State::Pausing { .. } => "pausing",
            State::Ended => "ended",
        }
    }

    fn take(&mut self, now: Duration, event: Event) {
        match event {
            Event::Begin(generation) if self.state == State::Idle => {
                self.wanted = generation;
                self.good = generation;
                self.start();
            }
            Event::Started if self.state == State::Starting => self.started(now),
            Event::NotStarted(code) if self.state == State::Starting => {
                let next = self.after_exit(now, now, Status::Exited(code));
                self.proceed(now, next);
            }
            Event::Exited { status, left } => self.exited(now, status, left),
            Event::Cleared => {
                if let State::Clearing { next, .. } = self.state {
                    self.proceed(now, next);
                }
            }
            Event::Signal { number, pass } => self.signal(now, number, pass),
            Event::Stop(code) => self.stop(now, code),
            Event::Values(generation) if self.state != State::Idle => self.values(now, generation),
            Event::Slot if self.slot == Slot::Asked => self.slot = Slot::Held,
            _ => {}
        }
    }

    /// What follows from the time alone.
    fn look(&mut self, now: Duration) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.time_out(now);
        }
        match self.state {
            State::Running { .. } => {
                if self.confirmation().is_some_and(|at| at <= now) {
                    self.confirm();
                }
                if self.settled().is_some_and(|at| at <= now) {
                    self.act(now);
                }
            }
            State::Stopping { kill_at: Some(at) } if at <= now => {
                self.say(Notice::Killing);
                self.out.push(Command::Kill);
                self.state = State::Stopping { kill_at: None };
            }
            State::Clearing { next, end, killed: false } if end <= now => {
                self.say(Notice::Killing);
                self.out.push(Command::Kill);
                self.state = State::Clearing { next, end: now.saturating_add(AFTER_KILL), killed: true };
            }
            State::Clearing { next, end, killed: true } if end <= now => {
                self.say(Notice::Undead);
                self.proceed(now, next);
            }
            State::Pausing { until } if until <= now => self.start(),
            _ => {}
        }
    }

    fn say(&mut self, notice: Notice) {
        self.out.push(Command::Notice(notice));
    }

    fn start(&mut self) {
        self.applied = if self.rejected == Some(self.wanted) { self.good } else { self.wanted };
        self.window = None;
        self.asked_until = None;
        self.state = State::Starting;
        self.out.push(Command::Start(self.applied));
    }

    fn started(&mut self, now: Duration) {
        self.state = State::Running { since: now };
        if self.applied == self.good {
            self.held = Some(self.applied);
        }
        if self.ending.is_some() {
            self.begin_stop(now);
        }
    }

    fn begin_stop(&mut self, now: Duration) {
        self.out.push(Command::Signal(self.policy.stop_signal));
        self.state = State::Stopping { kill_at: Some(now.saturating_add(self.policy.grace)) };
    }

    fn signal(&mut self, now: Duration, number: i32, pass: bool) {
        match self.state {
            State::Running { .. } if number == TERM => {
                self.ending = self.ending.or(Some(None));
                self.begin_stop(now);
            }
            State::Running { .. } | State::Stopping { .. } => {
                if matches!(number, INT | QUIT | TERM) {
                    self.asked_until = Some(now.saturating_add(self.policy.grace));
                    // While it is stopped for new values, the wish to end it wins.
                    if matches!(self.state, State::Stopping { .. }) {
                        self.ending = self.ending.or(Some(None));
                    }
                }
                let number = if number == TERM { self.policy.stop_signal } else { number };
                if pass {
                    self.out.push(Command::Signal(number));
                }
            }
            _ if signals::ends(number) => self.stop(now, Status::Killed(number).code()),
            _ => {}
        }
    }

    fn stop(&mut self, now: Duration, code: u8) {
        match self.state {
            State::Idle | State::Pausing { .. } => self.finish(code),
            State::Running { .. } => {
                self.ending = self.ending.or(Some(None));
                self.begin_stop(now);
            }
            State::Stopping { .. } => self.ending = self.ending.or(Some(None)),
            State::Clearing { next: Next::End(_), .. } | State::Ended => {}
            State::Starting | State::Clearing { .. } => self.ending = self.ending.or(Some(Some(code))),
        }
    }

    /// When time is up; `None` if the end is certain already.
    fn deadline(&self) -> Option<Duration> {
        let over = self.ending.is_some()
            || matches!(self.state, State::Ended | State::Clearing { next: Next::End(_), .. });
        self.policy.deadline.filter(|_| !over)
    }

    fn time_out(&mut self, now: Duration) {
        self.say(Notice::TimedOut);
        self.ending = Some(Some(TIMED_OUT));
        match self.state {
            State::Idle | State::Pausing { .. } => self.finish(TIMED_OUT),
            State::Running { .. } => self.begin_stop(now),
            _ => {}
        }
    }

    fn values(&mut self, now: Duration, generation: Generation) {
        if generation == self.wanted {
            return;
        }
        self.wanted = generation;
        let first = self.window.map_or(now, |window| window.first);
        self.window = Some(Window { first, last: now });
        if generation == self.applied {
            self.window = None;
            if self.slot == Slot::Asked {
                self.give_slot_back();
            }
        }
    }

    /// When the changes that wait are to be acted upon.
    fn settled(&self) -> Option<Duration> {
        let window = self.window.filter(|_| self.slot != Slot::Asked && self.ending.is_none())?;
        let quiet = window.last.saturating_add(self.policy.quiet_least);
        Some(quiet.min(window.first.saturating_add(self.policy.quiet_most)))
    }

    /// Answers to changes that have settled.
    fn act(&mut self, now: Duration) {
        if self.ending.is_some() || self.wanted == self.applied || self.rejected == Some(self.wanted) {
            self.window = None;
            return;
        }
        match self.policy.on_change {
            OnChange::None => {
                self.say(Notice::OnlyTold);
                (self.applied, self.good, self.window) = (self.wanted, self.wanted, None);
            }
            OnChange::Hook => {
                self.out.push(Command::Hook(self.wanted));
                (self.applied, self.good, self.window) = (self.wanted, self.wanted, None);
                self.held = Some(self.wanted);
            }
            // One restart is finished before the next begins: while this one holds a slot for the last change, or the
            // program is on trial, the newest values wait.
            OnChange::Restart if self.policy.slots && self.slot == Slot::None => {
                self.slot = Slot::Asked;
                self.out.push(Command::TakeSlot);
            }
            OnChange::Restart => {
                self.say(Notice::Restarting);
                self.begin_stop(now);
            }
        }
    }

    /// When the program will have lived long enough; `None` if nothing depends on that.
    fn confirmation(&self) -> Option<Duration> {
        let State::Running { since } = self.state else { return None };
        let trial = self.applied != self.good || self.crashes > 0 || self.failures > 0;
        let restarted = self.slot == Slot::Held && self.window.is_none();
        (trial || restarted).then(|| since.saturating_add(self.policy.min_uptime))
    }

    fn confirm(&mut self) {
        if self.applied != self.good {
            self.good = self.applied;
            self.held = Some(self.applied);
            self.reverted = false;
            self.say(Notice::Confirmed);
        }
        (self.failures, self.crashes) = (0, 0);
        if self.wanted == self.applied || self.rejected == Some(self.wanted) {
            self.give_slot_back();
        }
    }

    fn give_slot_back(&mut self) {
        if std::mem::replace(&mut self.slot, Slot::None) != Slot::None {
            self.out.push(Command::ReturnSlot);
        }
    }

    fn exited(&mut self, now: Duration, status: Status, left: bool) {
        let (next, end) = match self.state {
            State::Running { since } => {
                let next = self.after_exit(now, since, status);
                (next, now.saturating_add(self.policy.grace))
            }
            State::Stopping { kill_at } => {
                let next = if self.ending.is_some() { Next::End(status.code()) } else { Next::Start };
                // What was killed together with the program has no further grace.
                (next, kill_at.unwrap_or(now))
            }
            _ => return,
        };
        if !left {
            return self.proceed(now, next);
        }
        self.out.push(Command::SignalGroup(self.policy.stop_signal));
        self.state = State::Clearing { next, end, killed: false };
    }

    /// What follows on an end that nobody planned.
    fn after_exit(&mut self, now: Duration, since: Duration, status: Status) -> Next {
        let code = status.code();
        if self.ending.is_some() || self.asked_until.is_some_and(|until| now <= until) {
            return Next::End(code);
        }
        if now.saturating_sub(since) >= self.policy.min_uptime {
            self.confirm();
        }
        if self.applied != self.good && !status.is_clean() {
            return self.failed(status);
        }
        if status.is_clean() || self.policy.on_crash == OnCrash::Exit {
            return Next::End(code);
        }
        let pause = RETRY.saturating_mul(2_u32.saturating_pow(self.crashes)).min(LONGEST_PAUSE);
        self.crashes = self.crashes.saturating_add(1);
        self.say(Notice::Crashed(status, pause));
        Next::Pause(pause)
    }

    /// The program failed while its values were on trial.
    fn failed(&mut self, status: Status) -> Next {
        if self.wanted != self.applied && self.rejected != Some(self.wanted) {
            // Newer values have come, which deserve a trial of their own.
            self.failures = 0;
            return Next::Start;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < TRIALS {
            self.say(Notice::Failed(self.failures, status));
            return Next::Pause(RETRY.saturating_mul(u32::from(self.failures)));
        }
        self.failures = 0;
        (self.rejected, self.reverted) = (Some(self.applied), true);
        self.say(Notice::Reverted(status));
        Next::Start
    }

    fn proceed(&mut self, now: Duration, next: Next) {
        match (self.ending, next) {
            (Some(Some(code)), _) | (_, Next::End(code)) => self.finish(code),
            (_, Next::Start) => self.start(),
            (_, Next::Pause(pause)) => self.state = State::Pausing { until: now.saturating_add(pause) },
        }
    }

    fn finish(&mut self, code: u8) {
        self.give_slot_back();
        self.state = State::Ended;
        self.out.push(Command::Finished(code));
    }
}

#[cfg(test)]
mod tests;
