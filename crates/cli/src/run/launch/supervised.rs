//! `run` that stays: the program is a child, its end is passed on, and it follows what changes in the vault.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coffre_agent::supervise::machine::TIMED_OUT;
use coffre_agent::supervise::rollout::{Asked, Slots};
use coffre_agent::supervise::{Control, Signals, SlotWish, Spec, Supervisor};
use coffre_ambient::{Clock as _, Entropy as _, SystemClock, SystemEntropy};
use coffre_client::{Client, ErrorKind};
use coffre_source::identity::{Identity, NoIdentity};
use coffre_source::resolve::Resolved;
use coffre_source::start::{Failed, Plan, Session, Started, look_again, start_and_stay};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::options::Options;
use super::words::Words;
use super::{Setup, injected, shutting, summary, unavailable};
use crate::args::global::variable;
use crate::call::Call;
use crate::outcome::{Exit, Failure, Outcome};
use crate::visible::visible;

/// How often one looks what rotates, of a program that does not follow.
const AT_REST: Duration = Duration::from_secs(300);
/// How long the end of our own token may take after the program has ended.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often one looks whether it is one's turn to restart.
const TURN: Duration = Duration::from_secs(2);
/// What a slot is held beyond the longest stop and the shortest proof of life.
const SPARE: Duration = Duration::from_secs(60);

pub(super) async fn launch(
    call: &mut Call,
    (program, args): (OsString, Vec<OsString>),
    options: Options,
) -> Outcome {
    let setup = Setup::of(call)?;
    let spec = spec(program, args, &options);
    let name = spec.name.clone();
    // From here on no signal is lost, also while the server is asked.
    let made = Supervisor::new(vec![spec], Signals::Forward, Arc::new(SystemClock), Box::new(say));
    let (mut supervisor, control, mut wishes) =
        made.map_err(|error| unavailable(format!("cannot listen to signals: {error}")))?;
    let (env, mut voice) = call.world.env_and_voice();
    let (lookup, prefixed) = (|name: &str| env.var(name), |name: &str| variable(env, name));
    let dotenv = || setup.dotenv();
    let allowed = setup.allowed();
    let plan = setup.plan(&lookup, &dotenv, &allowed);
    let mut session = Session::new(|| Identity::of(&prefixed, setup.stored()));
    let mut report = |line: &str| voice.warn(&format!("coffre run: {line}"));
    let started = tokio::select! {
        biased;
        number = supervisor.ended_early() => return Ok(Exit(shutting(number))),
        () = after(options.timeout) => {
            let text = "coffre run: its time was up before the program could be started".to_owned();
            return Err(Failure { exit: Exit(TIMED_OUT), text });
        }
        started = start_and_stay(&plan, &mut session, &mut report) => started,
    };
    let started = started.map_err(|refusal| unavailable(refusal.to_string()))?;
    summary(&started, &setup.environment.name, &mut voice);
    let mut words = Words::of(&setup, &name, &options);
    let number = words.number(&started);
    control.values(0, injected(&started, &allowed)?, number).await;
    let asked = setup.client.as_ref().filter(|_| session.client().is_some());
    if options.watch && asked.is_none() {
        voice.warn("coffre run: nothing is watched, because the values do not come from the vault");
    }
    // A rotation wants to hear of a program that has what rotates, also of one that does not follow.
    let Some(client) = asked.filter(|_| options.watch || !started.rotating.is_empty()) else {
        // The program does not get the token, so nobody needs it any more.
        let _ = timeout(FAREWELL, session.close()).await;
        return Ok(Exit(supervisor.run().await));
    };
    let slots =
        options.rollout.as_ref().map(|(most, fleet)| slots(*most, fleet.as_deref(), &name, &setup, &options));
    let mut fleet = Fleet { slots, asking: false, told: false };
    let follows = options.watch;
    let interval = if follows { options.interval } else { AT_REST };
    let watch =
        Watch { plan: &plan, client, control: &control, interval, follows, failing: None, words: &mut words };
    let code = tokio::select! {
        biased;
        code = supervisor.run() => code,
        never = watch.run(&mut session, &mut fleet, &mut wishes, started, &allowed) => match never {},
    };
    let goodbye = async {
        fleet.leave(session.client()).await;
        words.leave(session.client()).await;
        session.close().await;
    };
    let _ = timeout(FAREWELL, goodbye).await;
    Ok(Exit(code))
}

/// Where this instance finds the slots of its fleet.
fn slots(most: usize, fleet: Option<&str>, name: &str, setup: &Setup, options: &Options) -> Slots {
    let mut own = [0; 8];
    // Without randomness, host and process tell instances apart well enough.
    let _ = SystemEntropy.fill(&mut own);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let environment = &setup.environment.name;
    Slots {
        mount: setup.manifest.mount().to_owned(),
        path: format!("{environment}/_rot/rollout/{}", fleet.unwrap_or(name)),
        me: format!("{host}/{}/{:016x}", std::process::id(), u64::from_le_bytes(own)),
        most,
        hold: options.policy.grace.saturating_add(options.policy.min_uptime).saturating_add(SPARE),
    }
}

fn spec(program: OsString, args: Vec<OsString>, options: &Options) -> Spec {
    let mut policy = options.policy.clone();
    policy.deadline = options.timeout.map(|timeout| SystemClock.boot().saturating_add(timeout));
    let name = Path::new(&program).file_name().unwrap_or(&program).to_string_lossy().into_owned();
    let hook = options.hook.clone().map(|hook| (hook, vec![]));
    Spec { name, program, args, policy, whole_group: options.whole_group, redact: options.redact, hook }
}

/// Completes after the time; never without one.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

/// This instance among the others that run the same program.
struct Fleet {
    slots: Option<Slots>,
    asking: bool,
    /// Whether it was said that there are no slots.
    told: bool,
}

impl Fleet {
    /// The document is looked at again after this while a slot is waited for.
    async fn turn(&self) {
        match self.asking {
            true => sleep(jittered(TURN)).await,
            false => std::future::pending().await,
        }
    }

    async fn wish(&mut self, wish: SlotWish, client: Option<&Client>) {
        match wish {
            SlotWish::Take(_) => self.asking = true,
            SlotWish::Return(_) => self.leave(client).await,
        }
    }

    /// Whether the restart may begin.
    async fn ask(&mut self, client: Option<&Client>) -> bool {
        let (Some(slots), Some(client)) = (&self.slots, client) else { return false };
        match slots.ask(client, SystemClock.wall().secs()).await {
            Ok(Asked::Wait) => return false,
            Ok(Asked::Granted) => {}
            Ok(Asked::NotAllowed) if self.told => {}
            Ok(Asked::NotAllowed) => {
                self.told = true;
                say(&format!(
                    "-max-unavailable has no effect: the policy does not let it write {}/data/{}",
                    slots.mount, slots.path
                ));
            }
            // It is asked again; until then the program goes on with the values it has.
            Err(_) => return false,
        }
        self.asking = false;
        true
    }

    async fn leave(&mut self, client: Option<&Client>) {
        self.asking = false;
        if let (Some(slots), Some(client)) = (&self.slots, client) {
            // What cannot be given back now is taken back by time.
            let _ = slots.leave(client).await;
        }
    }
}

/// A line on standard error. Whether anybody reads it must not matter to the program.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "coffre run: {}", visible(line));
}

/// Looks for changes, for as long as the program runs. A server that is down stops nothing.
struct Watch<'a> {
    plan: &'a Plan<'a>,
    client: &'a Client,
    control: &'a Control,
    interval: Duration,
    /// Whether the program gets what is found.
    follows: bool,
    words: &'a mut Words,
    /// What was last said about failures; said once for each kind.
    failing: Option<&'static str>,
}

impl Watch<'_> {
    async fn run(
        mut self,
        session: &mut Session<impl FnOnce() -> Result<Identity, NoIdentity>>,
        fleet: &mut Fleet,
        wishes: &mut mpsc::UnboundedReceiver<SlotWish>,
        started: Started,
        allowed: &[&str],
    ) -> Infallible {
        let mut known = started.values;
        let mut next = pin!(sleep(jittered(self.interval)));
        let mut news = self.control.news();
        loop {
            self.words.speak(&news.borrow_and_update().clone(), session.client()).await;
            tokio::select! {
                biased;
                Ok(()) = news.changed() => {}
                () = sleep(self.words.wait()) => {}
                Some(wish) = wishes.recv() => fleet.wish(wish, session.client()).await,
                () = &mut next => {
                    let found = look_again(self.plan, self.client, session).await;
                    self.found(found, &mut known, allowed).await;
                    next.set(sleep(jittered(self.interval)));
                }
                () = fleet.turn() => {}
            }
            if fleet.asking && fleet.ask(session.client()).await {
                self.control.grant(0).await;
            }
        }
    }

    async fn found(&mut self, found: Result<Started, Failed>, known: &mut Vec<Resolved>, allowed: &[&str]) {
        let found = match found {
            Ok(found) => found,
            Err(failed) => return self.failed(&failed),
        };
        let environment = match injected(&found, allowed) {
            Ok(environment) => environment,
            Err(refused) => return self.say_once("refused", &refused.text),
        };
        if self.failing.take().is_some() {
            say("the vault answers again");
        }
        let number = self.words.number(&found);
        if !self.follows {
            return;
        }
        let changed = changed(known, &found.values);
        if !changed.is_empty() {
            say(&format!("changed in the vault: {}", changed.join(", ")));
        }
        *known = found.values;
        self.control.values(0, environment, number).await;
    }

    fn failed(&mut self, failed: &Failed) {
        let (kind, text) = match failed {
            Failed::Call(error) if error.kind() == ErrorKind::Denied => ("denied", error.to_string()),
            Failed::Call(error) => ("call", error.to_string()),
            Failed::Incomplete(incomplete) => ("incomplete", incomplete.to_string()),
            Failed::Dotenv(text) => ("dotenv", text.clone()),
            Failed::Identity(identity) => ("identity", identity.to_string()),
        };
        self.say_once(kind, &text);
    }

    fn say_once(&mut self, kind: &'static str, text: &str) {
        if self.failing.replace(kind) != Some(kind) {
            say(&format!(
                "cannot tell whether values have changed: {text}. The program goes on with those it has"
            ));
        }
    }
}

/// Between 80 % and 120 % of the interval, so that a fleet does not ask in step.
fn jittered(interval: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the interval itself will do.
    let drawn = if SystemEntropy.fill(&mut byte).is_ok() { byte[0] } else { 128 };
    interval.mul_f64(0.8 + 0.4 * f64::from(drawn) / 255.0)
}

/// Names whose values differ, or that only one side has.
fn changed(before: &[Resolved], now: &[Resolved]) -> Vec<String> {
    let find = |all: &[Resolved], name: &str| all.iter().position(|resolved| resolved.name == name);
    let differs = |resolved: &&Resolved| {
        let old = find(before, &resolved.name).and_then(|at| before.get(at));
        // EXPOSE: compared only.
        old.is_none_or(|old| !old.value.ct_eq(resolved.value.expose().as_bytes()))
    };
    let gone = before.iter().filter(|resolved| find(now, &resolved.name).is_none());
    now.iter().filter(differs).chain(gone).map(|resolved| resolved.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use coffre_secret::SecretText;
    use coffre_source::resolve::Origin;

    use super::*;

    #[test]
    fn names_of_what_changed() {
        let made = |pairs: &[(&str, &str)]| -> Vec<Resolved> {
            let resolved = |(name, value): &(&str, &str)| Resolved {
                name: (*name).to_owned(),
                value: SecretText::from(*value),
                origin: Origin::Server,
            };
            pairs.iter().map(resolved).collect()
        };
        let before = made(&[("A", "1"), ("B", "2"), ("C", "3")]);
        assert_eq!(changed(&before, &made(&[("C", "3"), ("A", "1"), ("B", "2")])), Vec::<String>::new());
        assert_eq!(changed(&before, &made(&[("A", "1"), ("B", "9"), ("D", "4")])), ["B", "D", "C"]);
    }

    #[test]
    fn a_fleet_does_not_ask_in_step() {
        let drawn: Vec<_> = (0..100).map(|_| jittered(Duration::from_secs(10))).collect();
        assert!(drawn.iter().all(|wait| (8.0..=12.0).contains(&wait.as_secs_f64())));
        assert!(drawn.iter().any(|wait| wait != &drawn[0]));
    }
}
