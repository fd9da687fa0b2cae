//! Leases that are over at one moment, ten thousand unless told otherwise: how fast their users are removed, what other requests feel of it, and
//! whether a database that does not answer keeps the leases of another mount waiting.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use coffre_ambient::{Clock as _, SystemClock};

use super::super::load::{Figures, Plan, Work};
use super::super::report::{Report, mark};
use super::super::server::{Server, pause};
use super::super::{note, setup};
use super::mock::Mock;
use super::{TOKEN_POLICY, connection, role};

/// Leases that end in a second, at least.
const TARGET: f64 = 500.0;
/// Leases that are made in a second, at the very least: they live long enough for that, and what is left is waited for.
const SLOWEST: u64 = 150;
/// How long the server may take to remove all.
const PATIENCE: Duration = Duration::from_secs(300);
/// Secrets that are read meanwhile.
const KEYS: u64 = 1_000;
/// The administrator's password is all the same to the stand-in.
const PASSWORD: &str = "of-the-stand-in";

/// Both measurements, each over its own leases; a tenth as many are of the mount whose database is silent.
pub(super) fn measure(server: &mut Server, leases: u64, report: &mut Report) -> Result<()> {
    let hopeless = leases.div_ceil(10);
    let life = Duration::from_secs(20 + (leases + hopeless) / SLOWEST);
    let (alive, dead) = (Mock::start()?, Mock::start()?);
    for (mount, mock) in [("live", &alive), ("dead", &dead)] {
        let body = serde_json::json!({ "type": "database" });
        setup::call(server, "POST", &format!("/v1/sys/mounts/{mount}"), Some(&body))?;
        connection(server, mount, "mock", &mock.port, ("admin", PASSWORD), 4)?;
        role(server, mount, "mock", "mock", life.as_secs())?;
    }
    let token = setup::token_of(server, "expiry", TOKEN_POLICY)?;

    note("leases that end");
    let end = Leases::begin(life).make(server, &token, ("live", leases))?;
    let rate = end.wait(server, (&alive, leases), |_| ())?;
    report.application(format!(
        "leases that end, {leases} at once, against a stand-in: {rate:>8.0} a second {} {TARGET:.0}",
        mark(rate >= TARGET, "≥")
    ));

    note("leases that end, beside requests and a database that does not answer");
    let calm = Plan { seconds: 5, ..reads(server) }.run_filled(server)?;
    let end = Leases::begin(life).make(server, &token, ("dead", hopeless))?.make(
        server,
        &token,
        ("live", leases),
    )?;
    dead.fall_silent();
    let seconds = whole(leases, rate);
    let mut busy = None;
    let rate = end.wait(server, (&alive, leases), |server| {
        let plan = Plan { seconds, ..reads(server) };
        busy = Some(thread::spawn(move || plan.run()));
    })?;
    let busy = busy.and_then(|thread| thread.join().ok()).context("the load generator's thread")??;
    report.application(format!(
        "leases that end, beside {hopeless} of a database that does not answer: {rate:>8.0} a second {} {TARGET:.0}",
        mark(rate >= TARGET, "≥")
    ));
    report.application(format!(
        "KV v2 read, p99 meanwhile {:.2} ms, before {:.2} ms; p50 {:.2} ms, before {:.2} ms",
        millis(busy.p99),
        millis(calm.p99),
        millis(busy.p50),
        millis(calm.p50),
    ));
    Ok(())
}

/// Leases that are over one after the other, in the order in which they were made.
struct Leases {
    life: Duration,
    began: Duration,
}

impl Leases {
    fn begin(life: Duration) -> Self {
        Self { life, began: SystemClock.boot() }
    }

    /// Makes so many of a mount, while none of all has ended.
    fn make(self, server: &Server, token: &str, (mount, count): (&str, u64)) -> Result<Self> {
        let work = Work::Make { path: format!("/v1/{mount}/creds/mock"), count };
        let address = server.address.clone();
        Plan { address, connections: 16, seconds: 0, token: token.to_owned(), work }.run()?;
        if SystemClock.boot().saturating_sub(self.began) + Duration::from_secs(1) > self.life {
            bail!("leases live {:?}, and some ended before the last of {count} was made", self.life);
        }
        Ok(self)
    }

    /// Kills the server, waits until all are over, starts it again, and waits until all users of the mount are gone.
    /// How many in a second, from the first to the last.
    fn wait(
        self,
        server: &mut Server,
        (mock, leases): (&Mock, u64),
        meanwhile: impl FnOnce(&Server),
    ) -> Result<f64> {
        mock.forget();
        server.process.kill()?;
        let over = SystemClock.boot() + self.life + Duration::from_secs(1);
        while SystemClock.boot() < over {
            pause();
        }
        server.again()?;
        setup::unseal(server, &server.key)?;
        meanwhile(server);
        let patience = SystemClock.boot() + PATIENCE;
        let all = usize::try_from(leases).unwrap_or(usize::MAX);
        while mock.dropped() < all {
            if SystemClock.boot() > patience {
                bail!("after {PATIENCE:?} only {} of {all} leases have ended", mock.dropped());
            }
            pause();
        }
        let rate = per_second(mock);
        // The stand-in was told; and nothing is left of them here.
        while setup::lists(server, "/v1/sys/leases/lookup/live/creds/mock")? {
            if SystemClock.boot() > patience {
                bail!("after {PATIENCE:?} there are still leases whose users are gone");
            }
            pause();
        }
        Ok(rate)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn per_second(mock: &Mock) -> f64 {
    mock.dropped() as f64 / mock.spread()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few seconds"
)]
fn whole(count: u64, rate: f64) -> u64 {
    (count as f64 / rate * 0.8).clamp(2.0, 60.0) as u64
}

/// Few readers with pauses: the server has time for its own work.
fn reads(server: &Server) -> Plan {
    Plan {
        address: server.address.clone(),
        connections: 4,
        seconds: 1,
        token: server.token.clone(),
        work: Work::Calm { keys: KEYS, pause_ms: 2 },
    }
}

impl Plan {
    /// Fills the store with what is read, then runs.
    fn run_filled(&self, server: &Server) -> Result<Figures> {
        let work = Work::Fill { keys: KEYS };
        Self { connections: 16, token: server.token.clone(), work, ..self.clone() }.run()?;
        self.run()
    }
}

fn millis(micros: u32) -> f64 {
    f64::from(micros) / 1000.0
}
