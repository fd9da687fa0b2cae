//! Cached reads through the library for applications, in this process, with one thread and with eight.

use std::path::Path;

use anyhow::{Context as _, Result};
use coffre_app::{Secrets, Settings, timing};

use super::report::{Report, mark};

/// The most that one read may take, in nanoseconds.
const TARGET: f64 = 50.0;
const GETS: u32 = 2_000_000;
const NAME: &str = "JWT_SECRET_KEY";

/// Measures and notes the mean of [`GETS`] reads in each thread.
pub(super) fn measure(dir: &Path, report: &mut Report) -> Result<()> {
    let manifest = dir.join("coffre.toml");
    let text =
        format!("app = \"bench\"\nenvironments = [\"prod\"]\n[secret.{NAME}]\npath = \"jwt/secret_key\"\n");
    std::fs::write(&manifest, text).with_context(|| format!("writing {}", manifest.display()))?;
    // What fills the cache does not matter to a read that finds it there.
    let lookup = |name: &str| match name {
        "COFFRE_SOURCE" => Some("vault".to_owned()),
        NAME => Some("not-a-secret-but-as-long-as-one".to_owned()),
        _ => None,
    };
    let secrets = Secrets::open(Settings::from_lookup(lookup, dir)?.manifest(&manifest))?;
    for threads in [1, 8] {
        let nanos = timing::cached_get(&secrets, NAME, threads, GETS)?;
        report.note(format!(
            "cached get in the library, {threads} threads: {nanos:.1} ns of processor time {} {TARGET:.0} ns",
            mark(nanos <= TARGET, "≤"),
        ));
    }
    Ok(())
}
