//! A program, its group and a fleet that behave in any way they can, against the machine.

use proptest::prelude::*;

use super::*;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The world as the machine's commands change it. Breaks of the rules that hold always end the test.
struct World {
    machine: Machine,
    now: Duration,
    alive: bool,
    group: bool,
    ended: Option<u8>,
    started: Vec<Generation>,
    seen: Vec<Command>,
    /// What the next starts answer; then they succeed.
    refuses: u8,
    stop_wanted: bool,
}

impl World {
    fn new(policy: Policy) -> Self {
        Self {
            machine: Machine::new(policy),
            now: secs(1000),
            alive: false,
            group: false,
            ended: None,
            started: vec![],
            seen: vec![],
            refuses: 0,
            stop_wanted: false,
        }
    }

    fn running(policy: Policy) -> Self {
        let mut world = Self::new(policy);
        world.tell(Event::Begin(Generation(1)));
        assert!(world.alive);
        world
    }

    fn tell(&mut self, event: Event) {
        let mut events = std::collections::VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for command in self.machine.on(self.now, event) {
                assert_eq!(self.ended, None, "nothing follows on the end: {command:?}");
                self.seen.push(command);
                match command {
                    Command::Start(generation) => {
                        assert!(!self.alive, "two programs at once");
                        assert!(!self.stop_wanted, "started although it was to end");
                        self.started.push(generation);
                        self.alive = self.refuses == 0;
                        self.group = self.alive;
                        self.refuses = self.refuses.saturating_sub(1);
                        events.push_back(if self.alive { Event::Started } else { Event::NotStarted(126) });
                    }
                    Command::Kill => {
                        if self.alive {
                            self.alive = false;
                            self.group = false;
                            events.push_back(Event::Exited { status: Status::Killed(9), left: false });
                        } else {
                            self.group = false;
                            events.push_back(Event::Cleared);
                        }
                    }
                    Command::Finished(code) => {
                        assert!(!self.alive, "gone before its program");
                        self.ended = Some(code);
                    }
                    _ => {}
                }
            }
        }
    }

    fn exit(&mut self, status: Status, left: bool) {
        if self.alive {
            self.alive = false;
            self.group = left;
            self.tell(Event::Exited { status, left });
        }
    }

    /// Lets time pass, with every timer in its turn.
    fn pass(&mut self, by: Duration) {
        let until = self.now + by;
        let mut rounds = 0;
        while let Some(due) = self.machine.due().filter(|due| *due <= until) {
            rounds += 1;
            assert!(rounds < 1000, "a timer that does nothing: {:?}", self.machine);
            self.now = self.now.max(due);
            self.tell(Event::Timer);
        }
        self.now = until;
    }

    fn count(&self, command: Command) -> usize {
        self.seen.iter().filter(|seen| **seen == command).count()
    }

    fn noticed(&self, wanted: impl Fn(&Notice) -> bool) -> usize {
        self.seen.iter().filter(|seen| matches!(seen, Command::Notice(notice) if wanted(notice))).count()
    }
}

fn policy() -> Policy {
    Policy::default()
}

fn values(world: &mut World, generation: u64) {
    world.tell(Event::Values(Generation(generation)));
}

#[test]
fn codes_pass_through() {
    let mut rows = 0;
    let ends = (0..=255).map(Status::Exited).chain((1..=64).map(Status::Killed));
    for status in ends {
        for left in [false, true] {
            rows += 1;
            let mut world = World::running(policy());
            world.exit(status, left);
            if left {
                assert_eq!((world.ended, world.count(Command::SignalGroup(TERM))), (None, 1));
                world.pass(secs(30));
                assert_eq!(world.count(Command::Kill), 1, "what ignores TERM is killed");
            }
            assert_eq!(world.ended, Some(status.code()));
        }
    }
    println!("exit codes through the machine: {rows} rows");
    assert_eq!(Status::Killed(15).code(), 143);
}

#[test]
fn a_program_that_cannot_be_started_ends_it() {
    let mut world = World::new(policy());
    world.refuses = 1;
    world.tell(Event::Begin(Generation(1)));
    assert_eq!(world.ended, Some(126));
}

#[test]
fn term_stops_and_grace_kills() {
    let mut world = World::running(Policy { stop_signal: QUIT, ..policy() });
    world.tell(Event::Signal { number: TERM, pass: true });
    assert_eq!(world.count(Command::Signal(QUIT)), 1, "the configured signal");
    world.pass(secs(20));
    world.tell(Event::Signal { number: TERM, pass: true });
    world.pass(Duration::from_millis(9_999));
    assert_eq!((world.count(Command::Kill), world.ended), (0, None), "a second TERM does not shorten it");
    world.pass(Duration::from_millis(1));
    assert_eq!(world.ended, Some(137));
}

#[test]
fn signals_before_the_start_and_between_two_end_it() {
    for number in [HUP, INT, QUIT, TERM] {
        for pass in [true, false] {
            let mut world = World::new(policy());
            world.tell(Event::Signal { number, pass });
            assert_eq!(world.ended, Some(Status::Killed(number).code()));
            let mut world = World::running(Policy { on_crash: OnCrash::Backoff, ..policy() });
            world.exit(Status::Exited(1), false);
            assert_eq!((world.ended, world.machine.state()), (None, "pausing"));
            world.tell(Event::Signal { number, pass });
            assert_eq!(world.ended, Some(Status::Killed(number).code()));
        }
    }
    let mut world = World::running(Policy { on_crash: OnCrash::Backoff, ..policy() });
    world.exit(Status::Exited(1), false);
    world.tell(Event::Signal { number: 10, pass: true });
    assert_eq!(world.ended, None);
}

#[test]
fn what_the_terminal_gave_is_not_given_again_but_counts() {
    let mut world = World::running(Policy { on_crash: OnCrash::Backoff, ..policy() });
    world.tell(Event::Signal { number: INT, pass: false });
    assert_eq!(world.count(Command::Signal(INT)), 0);
    world.exit(Status::Exited(1), false);
    assert_eq!(world.ended, Some(1), "an answer to Ctrl-C is no crash");
}

#[test]
fn one_restart_for_all_changes_in_a_window() {
    let mut world = World::running(policy());
    for generation in 2..=9 {
        values(&mut world, generation);
        world.pass(secs(1));
    }
    assert_eq!(world.count(Command::Signal(TERM)), 0, "not before it is quiet");
    values(&mut world, 10);
    world.pass(Duration::from_millis(1_999));
    assert_eq!(world.count(Command::Signal(TERM)), 0);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.count(Command::Signal(TERM)), 1);
    world.exit(Status::Exited(0), false);
    assert_eq!(world.started, [Generation(1), Generation(10)]);
    world.pass(secs(100));
    assert_eq!(world.started.len(), 2);
    assert_eq!(world.noticed(|notice| *notice == Notice::Confirmed), 1);
}

#[test]
fn changes_without_end_wait_ten_seconds_at_most() {
    let mut world = World::running(policy());
    for generation in 2..100 {
        values(&mut world, generation);
        world.pass(Duration::from_millis(500));
        if world.count(Command::Signal(TERM)) > 0 {
            break;
        }
    }
    assert_eq!(world.now - secs(1000), secs(10));
}

#[test]
fn the_same_values_restart_nothing() {
    let mut world = World::running(policy());
    values(&mut world, 1);
    values(&mut world, 2);
    world.pass(secs(1));
    values(&mut world, 1);
    world.pass(secs(1000));
    assert_eq!(world.started, [Generation(1)]);
}

#[test]
fn values_that_kill_are_reverted_once() {
    let mut world = World::running(policy());
    world.pass(secs(60));
    values(&mut world, 2);
    world.pass(secs(2));
    world.exit(Status::Killed(TERM), false);
    for _ in 0..3 {
        assert!(world.alive && world.ended.is_none());
        world.pass(secs(3));
        world.exit(Status::Exited(3), false);
        world.pass(secs(2));
    }
    let expected = [1, 2, 2, 2, 1].map(Generation);
    assert_eq!(world.started, expected);
    assert!(world.machine.is_reverted() && world.alive);
    assert_eq!(world.noticed(|notice| matches!(notice, Notice::Reverted(_))), 1);
    values(&mut world, 2);
    world.pass(secs(100));
    assert_eq!(world.started, expected, "rejected values are not tried again");
    values(&mut world, 3);
    world.pass(secs(2));
    world.exit(Status::Exited(0), false);
    world.pass(secs(10));
    assert_eq!(world.started.last(), Some(&Generation(3)));
    assert!(!world.machine.is_reverted());
    values(&mut world, 2);
    world.pass(secs(20));
    assert_eq!(world.count(Command::Signal(TERM)), 2, "still rejected");
}

#[test]
fn what_is_held_is_what_the_program_has_shown_to_live_with() {
    let mut world = World::new(policy());
    assert_eq!(world.machine.holds(), None);
    world.tell(Event::Begin(Generation(1)));
    assert_eq!((world.machine.holds(), world.machine.is_current()), (Some(Generation(1)), true));
    values(&mut world, 2);
    assert!(!world.machine.is_current(), "the old ones are not the newest");
    world.pass(secs(2));
    world.exit(Status::Killed(TERM), false);
    world.pass(secs(5));
    assert_eq!((world.started.last(), world.machine.holds()), (Some(&Generation(2)), Some(Generation(1))));
    world.pass(secs(10));
    assert_eq!((world.machine.holds(), world.machine.is_current()), (Some(Generation(2)), true));
    values(&mut world, 3);
    world.pass(secs(2));
    world.exit(Status::Killed(TERM), false);
    for _ in 0..3 {
        world.pass(secs(3));
        world.exit(Status::Exited(3), false);
        world.pass(secs(2));
    }
    assert!(world.machine.is_reverted() && world.alive);
    world.pass(secs(100));
    assert_eq!((world.machine.holds(), world.machine.is_current()), (Some(Generation(2)), false));
    let mut world = World::running(Policy { on_change: OnChange::None, ..policy() });
    values(&mut world, 2);
    world.pass(secs(60));
    assert_eq!((world.machine.holds(), world.machine.is_current()), (Some(Generation(1)), false));
}

#[test]
fn a_job_that_is_done_is_not_run_again() {
    let mut world = World::running(policy());
    values(&mut world, 2);
    world.pass(secs(2));
    world.exit(Status::Killed(TERM), false);
    world.pass(secs(1));
    world.exit(Status::Exited(0), false);
    assert_eq!(world.ended, Some(0));
}

#[test]
fn the_program_before_it_that_dies_ends_it_also_after_a_revert() {
    let mut world = World::running(policy());
    values(&mut world, 2);
    world.pass(secs(2));
    world.exit(Status::Exited(0), false);
    world.refuses = 2;
    world.exit(Status::Exited(7), false);
    world.pass(secs(10));
    assert_eq!(world.started, [1, 2, 2, 2, 1].map(Generation), "not starting counts as failing");
    world.exit(Status::Exited(9), false);
    assert_eq!(world.ended, Some(9));
}

#[test]
fn restarts_wait_for_their_slot_and_give_it_back() {
    let mut world = World::running(Policy { slots: true, ..policy() });
    values(&mut world, 2);
    world.pass(secs(500));
    assert_eq!((world.count(Command::TakeSlot), world.count(Command::Signal(TERM))), (1, 0));
    world.tell(Event::Slot);
    assert_eq!(world.count(Command::Signal(TERM)), 1);
    world.exit(Status::Exited(0), false);
    world.pass(Duration::from_millis(9_999));
    assert_eq!(world.count(Command::ReturnSlot), 0, "held until the new program has proved itself");
    world.pass(Duration::from_millis(1));
    assert_eq!(world.count(Command::ReturnSlot), 1);
    values(&mut world, 3);
    world.pass(secs(2));
    values(&mut world, 2);
    assert_eq!(
        (world.count(Command::TakeSlot), world.count(Command::ReturnSlot)),
        (2, 2),
        "not needed after all"
    );
    world.tell(Event::Slot);
    world.pass(secs(100));
    assert_eq!(world.started.len(), 2);
}

#[test]
fn the_deadline_gives_124() {
    let mut world = World::running(Policy { deadline: Some(secs(1010)), ..policy() });
    world.pass(secs(10));
    world.exit(Status::Killed(TERM), false);
    assert_eq!(world.ended, Some(TIMED_OUT));
    let mut world = World::running(Policy { deadline: Some(secs(1010)), ..policy() });
    world.pass(secs(9));
    world.exit(Status::Exited(5), true);
    world.pass(secs(30));
    assert_eq!(world.ended, Some(5), "it had ended before");
}

#[test]
fn crashes_back_off() {
    let mut world = World::running(Policy { on_crash: OnCrash::Backoff, ..policy() });
    let mut pauses = vec![];
    for _ in 0..8 {
        world.exit(Status::Killed(11), false);
        let before = world.now;
        world.pass(world.machine.due().unwrap() - before);
        pauses.push((world.now - before).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    world.pass(secs(10));
    world.exit(Status::Exited(1), false);
    assert_eq!(world.machine.due(), Some(world.now + secs(1)), "it had lived long enough");
    world.pass(secs(1));
    world.exit(Status::Exited(0), false);
    assert_eq!(world.ended, Some(0), "0 is no crash");
}

#[test]
fn changes_may_be_told_only_or_handed_to_a_hook() {
    for (on_change, hooks) in [(OnChange::None, 0), (OnChange::Hook, 1)] {
        let mut world = World::running(Policy { on_change, ..policy() });
        values(&mut world, 2);
        world.pass(secs(20));
        assert_eq!((world.count(Command::Hook(Generation(2))), world.started.len()), (hooks, 1));
        assert_eq!(world.noticed(|notice| *notice == Notice::OnlyTold), 1 - hooks);
    }
}

/// Anything that can happen to a program.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Exit(Status, bool),
    Signal(i32, bool),
    Values(u64),
    Slot,
    Clear,
    Refuse(u8),
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![any::<u8>().prop_map(Status::Exited), (1..=64).prop_map(Status::Killed)];
    prop_oneof![
        6 => (0_u64..15_000).prop_map(Step::Pass),
        4 => (status, any::<bool>()).prop_map(|(status, left)| Step::Exit(status, left)),
        2 => (prop_oneof![Just(1), Just(2), Just(3), Just(10), Just(28)], any::<bool>())
            .prop_map(|(number, pass)| Step::Signal(number, pass)),
        6 => (1_u64..5).prop_map(Step::Values),
        3 => Just(Step::Slot),
        3 => Just(Step::Clear),
        1 => (0_u8..3).prop_map(Step::Refuse),
        1 => Just(Step::Stop),
    ]
}

fn policies() -> impl Strategy<Value = Policy> {
    let on_change =
        prop_oneof![1 => Just(OnChange::None), 4 => Just(OnChange::Restart), 1 => Just(OnChange::Hook)];
    let on_crash = prop_oneof![Just(OnCrash::Exit), Just(OnCrash::Backoff)];
    (on_change, on_crash, any::<bool>(), 0_u64..60, prop::option::weighted(0.2, 1000_u64..1200)).prop_map(
        |(on_change, on_crash, slots, grace, deadline)| Policy {
            on_change,
            on_crash,
            slots,
            grace: secs(grace),
            deadline: deadline.map(secs),
            ..Policy::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever happens: one program at a time, nothing after the end, no start once it must end (asserted by the
    /// world); starts only with the newest values or those before them; an end soon after it is asked for; slots and
    /// requests for them balance.
    #[test]
    fn any_history(policy in policies(), steps in prop::collection::vec(step(), 0..60)) {
        let grace = policy.grace;
        let mut world = World::new(policy);
        world.tell(Event::Begin(Generation(1)));
        let mut newest = vec![Generation(1)];
        for step in steps {
            if world.ended.is_some() {
                break;
            }
            let before = world.started.len();
            match step {
                Step::Pass(millis) => world.pass(Duration::from_millis(millis)),
                Step::Exit(status, left) => world.exit(status, left),
                Step::Signal(number, pass) => world.tell(Event::Signal { number, pass }),
                Step::Values(generation) => {
                    newest.push(Generation(generation));
                    values(&mut world, generation);
                }
                Step::Slot => world.tell(Event::Slot),
                Step::Clear => {
                    if !world.alive {
                        world.group = false;
                        world.tell(Event::Cleared);
                    }
                }
                Step::Refuse(many) => world.refuses = many,
                Step::Stop => {
                    world.tell(Event::Stop(143));
                    world.stop_wanted = true;
                }
            }
            for generation in world.started.iter().skip(before) {
                prop_assert!(newest.contains(generation));
                prop_assert!(world.machine.needs(*generation));
            }
            let (taken, returned) = (world.count(Command::TakeSlot), world.count(Command::ReturnSlot));
            prop_assert!(taken == returned || taken == returned + 1);
        }
        world.tell(Event::Stop(143));
        world.stop_wanted = true;
        world.pass(grace + AFTER_KILL + secs(1));
        prop_assert!(world.ended.is_some(), "did not end: {:?}", world.machine);
        prop_assert_eq!(world.count(Command::TakeSlot), world.count(Command::ReturnSlot));
    }

    /// No restart without a change, however often the same values come.
    #[test]
    fn no_change_no_restart(polls in prop::collection::vec(0_u64..60, 1..50)) {
        let mut world = World::running(policy());
        for wait in polls {
            values(&mut world, 1);
            world.pass(secs(wait));
        }
        prop_assert_eq!(world.started.len(), 1);
        prop_assert_eq!(world.seen.len(), 1);
    }
}
