//! What the disk can do: one append and two flushes, over and over.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use coffre_ambient::{Clock as _, SystemClock};

const PAGE: u64 = 4096;

/// Two-flush writes per second in `dir`: a page of data, a flush, a header page, a flush, as a two-phase commit does.
#[expect(clippy::cast_precision_loss, reason = "a few thousand flushes a second")]
pub(super) fn two_flush_rate(dir: &Path, seconds: u64) -> Result<f64> {
    let path = dir.join("flush-rate");
    let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    let page = [0xA5_u8; PAGE as usize];
    let start = SystemClock.boot();
    let end = start + Duration::from_secs(seconds);
    let mut done: u64 = 0;
    while SystemClock.boot() < end {
        file.write_all_at(&page, (done + 1) * PAGE)?;
        file.sync_data()?;
        file.write_all_at(&page, 0)?;
        file.sync_data()?;
        done += 1;
    }
    let took = SystemClock.boot().saturating_sub(start);
    std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    Ok(done as f64 / took.as_secs_f64())
}
