//! The load generator: keep-alive HTTP/1.1 connections, each with one request under way, on one thread.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use coffre_ambient::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Where AppRole logs in.
pub(super) const LOGIN: &str = "/v1/auth/approle/login";

/// Where tokens are made.
const TOKENS: &str = "/v1/auth/token/create";
const TOKEN_BODY: &str = r#"{"policies":["bench"],"ttl":"2h","no_default_policy":true}"#;

/// A typical pair of credentials.
const SECRET: &str = r#"{"data":{"username":"svc-bench","password":"kq7-R2mW9x_Lb4TzVd0Yh8NcPs3Jf6Ga"}}"#;

/// What to send, to whom, for how long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) address: String,
    pub(super) connections: usize,
    pub(super) seconds: u64,
    pub(super) token: String,
    pub(super) work: Work,
}

/// The kind of request. Keys are picked at random, uniformly.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Work {
    Read {
        keys: u64,
    },
    Write {
        keys: u64,
    },
    /// Each key once, however long it takes.
    Fill {
        keys: u64,
    },
    /// This many service tokens, however long it takes; the plan's token makes them.
    Tokens {
        count: u64,
    },
    Login {
        body: String,
    },
    /// Reads of one path, each of which makes something: this many; 0 is until the time is over.
    Make {
        path: String,
        count: u64,
    },
    /// Reads with a pause after each, for latencies of a server that has other things to do.
    Calm {
        keys: u64,
        pause_ms: u64,
    },
}

/// What came out of a round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) requests: u64,
    /// Answers that were no success. A round with any is refused.
    pub(super) errors: u64,
    pub(super) seconds: f64,
    /// Median and ninety-ninth percentile of the latency, in microseconds.
    pub(super) p50: u32,
    pub(super) p99: u32,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "request counts are far below 2^52")]
    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

impl Plan {
    /// Runs it in a process of its own. The plan holds a token and goes through standard input, not the command line.
    pub(super) fn run(&self) -> Result<Figures> {
        let own = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(own)
            .args(["bench", "--as=load"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the load generator")?;
        let mut input = child.stdin.take().context("the load generator has no standard input")?;
        input.write_all(&serde_json::to_vec(self)?)?;
        drop(input);
        let output = child.wait_with_output().context("waiting for the load generator")?;
        if !output.status.success() {
            bail!("the load generator failed: {}", String::from_utf8_lossy(&output.stdout).trim());
        }
        let figures: Figures = serde_json::from_slice(&output.stdout).context("reading the figures")?;
        if figures.errors > 0 || figures.requests == 0 {
            bail!(
                "{} of {} requests failed; the figures would mean nothing",
                figures.errors,
                figures.requests
            );
        }
        Ok(figures)
    }
}

/// The role `--as=load`: a plan on standard input, figures on standard output.
pub(super) fn generate() -> Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("reading the plan")?;
    let plan: Plan = serde_json::from_str(&text).context("reading the plan")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = tokio::task::LocalSet::new().block_on(&runtime, drive(plan))?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

async fn drive(plan: Plan) -> Result<Figures> {
    let plan = Rc::new(plan);
    let next = Rc::new(Cell::new(0));
    let start = SystemClock.boot();
    let end = match plan.work {
        Work::Fill { .. } | Work::Tokens { .. } | Work::Make { count: 1.., .. } => Duration::MAX,
        _ => start + Duration::from_secs(plan.seconds),
    };
    let mut tasks = Vec::new();
    for number in 0..plan.connections {
        let connection = Connection::open(&plan.address).await?;
        let driver =
            Driver { plan: Rc::clone(&plan), next: Rc::clone(&next), connection, dice: Dice::new(number) };
        tasks.push(tokio::task::spawn_local(driver.run(end)));
    }
    let mut latencies = Vec::new();
    let mut errors = 0;
    for task in tasks {
        let (mine, failed) = task.await??;
        latencies.extend(mine);
        errors += failed;
    }
    let took = SystemClock.boot().saturating_sub(start);
    latencies.sort_unstable();
    let at = |percent: usize| {
        latencies.get(latencies.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0)
    };
    let requests = u64::try_from(latencies.len()).unwrap_or(u64::MAX);
    Ok(Figures { requests, errors, seconds: took.as_secs_f64(), p50: at(50), p99: at(99) })
}

struct Driver {
    plan: Rc<Plan>,
    next: Rc<Cell<u64>>,
    connection: Connection,
    dice: Dice,
}

impl Driver {
    /// Latencies in microseconds, and how many answers were no success.
    async fn run(mut self, end: Duration) -> Result<(Vec<u32>, u64)> {
        let mut latencies = Vec::with_capacity(1 << 16);
        let mut errors = 0;
        let mut request = Vec::with_capacity(1024);
        loop {
            let sent = SystemClock.boot();
            if sent >= end || !self.write_request(&mut request) {
                return Ok((latencies, errors));
            }
            let status = self.connection.exchange(&request).await?;
            if !(200..300).contains(&status) {
                errors += 1;
            }
            let took = SystemClock.boot().saturating_sub(sent);
            latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
            if let Work::Calm { pause_ms, .. } = self.plan.work {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
        }
    }

    /// Writes the next request; false if the work is done.
    fn write_request(&mut self, request: &mut Vec<u8>) -> bool {
        let (method, path, body) = match &self.plan.work {
            Work::Read { keys } | Work::Calm { keys, .. } => ("GET", key_path(self.dice.below(*keys)), ""),
            Work::Write { keys } => ("POST", key_path(self.dice.below(*keys)), SECRET),
            Work::Fill { keys } => match self.number(*keys) {
                Some(number) => ("POST", key_path(number), SECRET),
                None => return false,
            },
            Work::Tokens { count } => match self.number(*count) {
                Some(_) => ("POST", TOKENS.to_owned(), TOKEN_BODY),
                None => return false,
            },
            Work::Login { body } => ("POST", LOGIN.to_owned(), body.as_str()),
            Work::Make { path, count } => match self.number(if *count == 0 { u64::MAX } else { *count }) {
                Some(_) => ("GET", path.clone(), ""),
                None => return false,
            },
        };
        request.clear();
        let Plan { address, token, .. } = &*self.plan;
        let login = matches!(self.plan.work, Work::Login { .. });
        let token = if !login { format!("X-Vault-Token: {token}\r\n") } else { String::new() };
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        // Writing into a vector cannot fail.
        let _ = write!(request, "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{token}{length}\r\n{body}");
        true
    }

    /// The next number of those that all connections share, if it is below the bound.
    fn number(&self, bound: u64) -> Option<u64> {
        let number = self.next.replace(self.next.get() + 1);
        (number < bound).then_some(number)
    }
}

fn key_path(key: u64) -> String {
    format!("/v1/secret/data/bench/{key}")
}

/// A keep-alive connection; one request at a time.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends, reads the whole answer, gives its status.
    async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if let Some((status, length)) = whole(&self.buffer)? {
                if self.buffer.len() > length {
                    bail!("the answer is longer than it says");
                }
                return Ok(status);
            }
        }
    }
}

/// Status and length of an answer, if all of it is there.
fn whole(bytes: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text =
        std::str::from_utf8(bytes.get(..head).unwrap_or_default()).context("a head that is not text")?;
    let mut lines = text.split("\r\n");
    let status: u16 = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .context("an answer without a status")?;
    let stated = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let body = match stated {
        Some(length) => length,
        None if status == 204 => 0,
        None => bail!("an answer without Content-Length"),
    };
    let length = head + 4 + body;
    Ok((bytes.len() >= length).then_some((status, length)))
}

/// Xorshift, seeded by the connection's number: the same keys in each run.
struct Dice(u64);

impl Dice {
    fn new(number: usize) -> Self {
        Self(u64::try_from(number).unwrap_or(0).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 3\r\n\r\nabc";
        assert_eq!(whole(answer).unwrap(), Some((200, answer.len())));
        for cut in 0..answer.len() {
            assert_eq!(whole(&answer[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(whole(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Some((204, 27)));
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn the_dice_reach_every_key() {
        let mut dice = Dice::new(0);
        let mut seen = [false; 16];
        for _ in 0..1000 {
            seen[usize::try_from(dice.below(16)).unwrap()] = true;
        }
        assert!(seen.iter().all(|hit| *hit));
    }
}
