//! An application whose time is told to it: `pass SECONDS`, `get NAME`, `health` and `close`, one a line on standard
//! input. It prints how a call ended, and never a value. A test looks through its memory.
#![expect(clippy::print_stdout, reason = "it answers on standard output")]

use std::alloc::System;
use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock as _, ManualClock, SystemClock};
use coffre_app::{Secrets, Settings};
use zeroizing_alloc::ZeroAlloc;

/// The library wipes its values; this wipes the buffers in which others read them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> Result<(), Box<dyn Error>> {
    let variables: HashMap<String, String> = std::env::vars().collect();
    let clock = Arc::new(ManualClock::starting_at(SystemClock.wall()));
    let settings = Settings::from_lookup(move |name| variables.get(name).cloned(), ".")?;
    let secrets = Secrets::open(settings.clock(clock.clone()).budget(Duration::from_secs(1)))?;
    println!("open {}", secrets.source());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (word, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
        match word {
            "pass" => {
                clock.advance(Duration::from_secs(rest.parse()?));
                secrets.wake();
                println!("passed");
            }
            "get" => match secrets.get(rest) {
                Ok(value) => println!("{} bytes", value.len()),
                Err(error) => println!("{}", error.kind().name()),
            },
            "health" => println!("{}", serde_json::to_string(&secrets.health())?),
            "close" => {
                secrets.close();
                println!("closed");
            }
            _ => println!("pass SECONDS, get NAME, health or close"),
        }
    }
    Ok(())
}
