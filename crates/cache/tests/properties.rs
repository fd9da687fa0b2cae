//! The seven properties of the cache, by search over all states up to a depth and by long random runs. One search and one
//! set of runs serve all tests of this file; each test judges its own property.
#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "test; the counts are part of what it says"
)]

mod model;

use std::collections::HashSet;
use std::sync::OnceLock;

use model::{ALL, Act, PROPERTIES, Reply, Scene, Verdicts, World, s};

const FEW: &[Reply] = &[Reply::Newer, Reply::Older, Reply::Transport, Reply::Gone];
const YES_OR_NO: &[Reply] = &[Reply::Newer, Reply::Denied, Reply::Transport];

/// What is searched exhaustively.
fn scenes() -> [Scene; 4] {
    let plain = Scene {
        name: "one entry, every answer",
        entries: 1,
        flights: 8,
        tokens: false,
        token_ttl: None,
        lease: None,
        replies: ALL,
        steps: &[2, 301, 3600],
        extras: true,
        depth: 7,
    };
    [
        plain.clone(),
        Scene {
            name: "two entries, one flight",
            entries: 2,
            flights: 1,
            replies: FEW,
            extras: false,
            depth: 7,
            ..plain.clone()
        },
        Scene {
            name: "tokens and 403",
            tokens: true,
            replies: YES_OR_NO,
            extras: false,
            depth: 9,
            ..plain.clone()
        },
        Scene {
            name: "leases and tokens that end",
            tokens: true,
            token_ttl: Some(s(2000)),
            lease: Some(s(1000)),
            replies: &[Reply::Newer, Reply::Transport],
            steps: &[2, 301],
            extras: false,
            depth: 9,
            ..plain
        },
    ]
}

/// What all runs together found.
#[derive(Default)]
struct Found {
    states: usize,
    steps: usize,
    sequences: usize,
    checked: [u64; PROPERTIES],
    violations: Vec<(usize, String)>,
    lines: Vec<String>,
}

impl Found {
    fn take(&mut self, verdicts: &mut Verdicts, told: impl Fn() -> String) {
        for (sum, n) in self.checked.iter_mut().zip(std::mem::take(&mut verdicts.checked)) {
            *sum += n;
        }
        for (property, what) in verdicts.violations.drain(..) {
            self.violations.push((property, format!("{what}: {}", told())));
        }
    }
}

/// Every sequence of acts up to the scene's depth, each state once.
fn search(scene: &Scene, found: &mut Found) {
    let mut seen = HashSet::new();
    let mut trail: Vec<(usize, Option<Act>)> = vec![(0, None)];
    let mut layer = vec![(0, World::new(scene, 5, false))];
    let mut steps = 0;
    for _ in 0..scene.depth {
        let mut next = Vec::new();
        for (from, world) in layer {
            for act in world.acts() {
                let mut world = world.clone();
                world.act(act);
                steps += 1;
                let path = || {
                    let mut acts = vec![act];
                    let mut at = from;
                    while let (before, Some(act)) = trail[at] {
                        acts.push(act);
                        at = before;
                    }
                    acts.reverse();
                    format!("{}: {acts:?}", scene.name)
                };
                let broken = !world.verdicts.violations.is_empty();
                found.take(&mut world.verdicts, path);
                if !broken && seen.insert(world.fingerprint()) {
                    trail.push((from, Some(act)));
                    next.push((trail.len() - 1, world));
                }
            }
        }
        layer = next;
    }
    found.states += seen.len();
    found.steps += steps;
    found.lines.push(format!("{}: {} states, {steps} steps, depth {}", scene.name, seen.len(), scene.depth));
}

/// A stream of numbers that a seed repeats (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((n ^ (n >> 31)) % bound as u64) as usize
    }
}

const RUNS: u64 = 1000;
const ACTS: usize = 600;

/// One long run of everything together.
fn run(seed: u64, found: &mut Found) {
    let mut dice = Dice(seed);
    let leased = dice.below(2) == 0;
    let tokens = leased || dice.below(2) == 0;
    let scene = Scene {
        name: "random",
        entries: 1 + dice.below(4),
        flights: 1 + dice.below(4),
        tokens,
        token_ttl: (tokens && dice.below(2) == 0).then(|| s(2000)),
        lease: leased.then(|| s(1000)),
        replies: ALL,
        steps: &[1, 1, 10, 60, 301, 1000],
        extras: true,
        depth: 0,
    };
    let mut world = World::new(&scene, seed, dice.below(2) == 0);
    let mut done = Vec::new();
    for _ in 0..ACTS {
        let acts = world.acts();
        let act = acts[dice.below(acts.len())];
        done.push(act);
        world.act(act);
        found.steps += 1;
        if !world.verdicts.violations.is_empty() {
            break;
        }
    }
    found.sequences += 1;
    found.take(&mut world.verdicts, || {
        format!("seed {seed}, last of {}: {:?}", done.len(), &done[done.len().saturating_sub(12)..])
    });
}

fn found() -> &'static Found {
    static FOUND: OnceLock<Found> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = Found::default();
        for scene in &scenes() {
            search(scene, &mut found);
        }
        (1..=RUNS).for_each(|seed| run(seed, &mut found));
        found.lines.push(format!("random: seeds 1 to {RUNS}, {ACTS} acts each"));
        found
    })
}

fn holds(property: usize) {
    let found = found();
    let violations: Vec<_> = found.violations.iter().filter(|(of, _)| *of == property).collect();
    println!(
        "property {property}: {} checks, {} states, {} steps, {} sequences\n  {}",
        found.checked[property - 1],
        found.states,
        found.steps,
        found.sequences,
        found.lines.join("\n  ")
    );
    assert!(found.checked[property - 1] > 10_000, "hardly looked at");
    assert!(violations.is_empty(), "{} violations, the first: {}", violations.len(), violations[0].1);
}

#[test]
fn property_1_nothing_older_than_hard_is_ever_returned() {
    holds(model::HARD_BOUND);
}

#[test]
fn property_2_after_an_authoritative_deny_nothing_until_a_later_success() {
    holds(model::DENY);
}

#[test]
fn property_3_at_most_one_flight_per_entry() {
    holds(model::SINGLE);
}

#[test]
fn property_4_validated_at_moves_on_success_alone() {
    holds(model::VALIDATED);
}

#[test]
fn property_5_a_reader_of_fresh_or_stale_never_waits() {
    holds(model::NO_WAIT);
}

#[test]
fn property_6_username_and_password_come_from_one_version() {
    holds(model::ONE_VERSION);
}

#[test]
fn property_7_the_epoch_of_one_consumer_never_decreases() {
    holds(model::EPOCH);
}

#[test]
fn the_protocol_holds_between_machine_and_driver() {
    holds(model::PROTOCOL);
}

/// An input that a fuzzer found: its first eight bytes as a number, the ninth, and the rest.
fn replayed(seed: u64, kind: u8, choices: &[u8]) {
    let (acts, violations) = model::replay(seed, kind, choices);
    assert!(violations.is_empty(), "{violations:?} after {acts:?}");
}

/// Two 403, and between them a login: the token was got after the first, so the second is the server's word.
#[test]
fn replay_of_a_no_that_was_not_told() {
    let choices = &[
        0xdf, 0xe6, 0xfb, 0xff, 0x03, 0x18, 0x71, 0x1a, 0xff, 0x27, 0xff, 0xe6, 0xff, 0xdf, 0xe6, 0xfb, 0x00,
        0xfb, 0xff, 0xaa, 0xff, 0x00, 0x00, 0x27, 0xdf, 0xff, 0xe6, 0xff, 0xdf, 0xe6, 0xfb, 0xff, 0x03, 0x18,
        0x71, 0x1a, 0xff, 0x34, 0x6c, 0x54, 0xaf, 0xff, 0x27, 0xff, 0xe6, 0xff, 0x1a, 0xff, 0x34, 0x6c, 0x54,
        0xfb,
    ];
    replayed(0xe6ff_df27_ff7f_ff0b, 0xff, choices);
}
