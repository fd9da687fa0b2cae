//! The cache's machine: any sequence of events, with any answers of the server and any lateness of the driver, keeps the
//! seven properties. World and oracle are those of the machine's own tests.
#![no_main]

#[path = "../../crates/cache/tests/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u64, u8, &[u8])| {
    let (seed, kind, choices) = data;
    let (acts, violations) = model::replay(seed, kind, choices);
    assert!(violations.is_empty(), "{violations:?} after {acts:?}");
});
