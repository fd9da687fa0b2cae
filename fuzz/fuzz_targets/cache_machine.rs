//! The cache's machine: any sequence of events, with any answers of the server and any lateness of the driver, keeps the
//! seven properties. World and oracle are those of the machine's own tests.
#![no_main]

#[path = "../../crates/cache/tests/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;
use model::{Reply, Scene, World, s};

const REPLIES: &[Reply] = &[
    Reply::Newer,
    Reply::Same,
    Reply::Older,
    Reply::Reset,
    Reply::Transport,
    Reply::Busy,
    Reply::Denied,
    Reply::Absent,
    Reply::Gone,
    Reply::Corrupt,
];

fuzz_target!(|data: (u64, u8, &[u8])| {
    let (seed, kind, choices) = data;
    let leased = kind & 1 != 0;
    let tokens = leased || kind & 2 != 0;
    let scene = Scene {
        name: "fuzz",
        entries: 1 + usize::from(kind >> 2 & 3),
        flights: 1 + usize::from(kind >> 4 & 3),
        tokens,
        token_ttl: (tokens && kind & 64 != 0).then(|| s(2000)),
        lease: leased.then(|| s(1000)),
        replies: REPLIES,
        steps: &[1, 10, 60, 301, 1000],
        extras: true,
        depth: 0,
    };
    let mut world = World::new(&scene, seed, kind & 128 != 0);
    for choice in choices.iter().take(2000) {
        let acts = world.acts();
        world.act(acts[usize::from(*choice) % acts.len()]);
        assert!(world.verdicts.violations.is_empty(), "{:?}", world.verdicts.violations);
    }
});
