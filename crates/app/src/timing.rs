//! Measuring, for benchmarks: `cargo xtask bench` and the example `cached_get`.

use std::hint::black_box;
use std::sync::Barrier;

use crate::error::Error;
use crate::secrets::Secrets;

/// Nanoseconds of processor time that one cached `get` of `name` takes while `threads` threads do the same, the mean of
/// `gets` in each. Processor time, because there may be fewer processors than threads; what threads cost each other
/// (lines of the cache that move between processors) is in it, waiting for a turn is not.
///
/// # Errors
/// As [`Secrets::get`], at the first value.
pub fn cached_get(secrets: &Secrets, name: &str, threads: usize, gets: u32) -> Result<f64, Error> {
    secrets.get(name)?;
    let barrier = Barrier::new(threads.max(1));
    let one = || {
        // The first one fills the thread's own table.
        let _ = black_box(secrets.get(name));
        barrier.wait();
        let start = own_time();
        for _ in 0..gets {
            let _ = black_box(secrets.get(black_box(name)));
        }
        (own_time() - start) / f64::from(gets.max(1))
    };
    let each: Vec<f64> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(one)).collect();
        started.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let count = u32::try_from(each.len().max(1)).unwrap_or(1);
    Ok(each.iter().sum::<f64>() / f64::from(count))
}

/// Processor time of this thread in nanoseconds (CLOCK_THREAD_CPUTIME_ID).
fn own_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
    .as_secs_f64()
        * 1e9
}
