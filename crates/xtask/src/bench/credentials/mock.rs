//! What speaks PostgreSQL's protocol and answers everything at once, so that what is measured is the server's own work.
//! It counts the users that are dropped, and when; told to, it does not answer at all.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use coffre_ambient::{Clock as _, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The stand-in, on a thread of its own until the program ends.
#[derive(Clone)]
pub(super) struct Mock {
    pub(super) port: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    silent: AtomicBool,
    /// When a user was first dropped.
    dropped: Mutex<Dropped>,
}

/// One that is dropped a second time counts once.
#[derive(Default)]
struct Dropped {
    seen: HashSet<String>,
    first: Duration,
    last: Duration,
}

impl Mock {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
        listener.set_nonblocking(true)?;
        let mock = Self { port: listener.local_addr()?.port().to_string(), state: Arc::default() };
        let state = Arc::clone(&mock.state);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || tokio::task::LocalSet::new().block_on(&runtime, listen(listener, state)));
        Ok(mock)
    }

    /// From now on nothing is answered.
    pub(super) fn fall_silent(&self) {
        self.state.silent.store(true, Ordering::Relaxed);
    }

    /// How many users were dropped.
    pub(super) fn dropped(&self) -> usize {
        self.state.dropped().seen.len()
    }

    /// Seconds from the first to the last user that was dropped.
    pub(super) fn spread(&self) -> f64 {
        let dropped = self.state.dropped();
        dropped.last.saturating_sub(dropped.first).as_secs_f64()
    }

    /// Begins to count anew.
    pub(super) fn forget(&self) {
        *self.state.dropped() = Dropped::default();
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(serve(stream, Arc::clone(&state)));
    }
}

/// One connection, until it breaks.
async fn serve(mut stream: TcpStream, state: Arc<State>) -> std::io::Result<()> {
    let length = stream.read_u32().await?;
    message_rest(&mut stream, length).await?;
    let mut answer = Answer::default();
    answer.message(b'R', &0_u32.to_be_bytes());
    answer.message(b'S', b"server_version\x0015.0\0");
    answer.message(b'K', &[0; 8]);
    answer.message(b'Z', b"I");
    let mut asked = String::new();
    loop {
        if state.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        stream.write_all(&answer.0).await?;
        answer.0.clear();
        let kind = stream.read_u8().await?;
        let length = stream.read_u32().await?;
        let body = message_rest(&mut stream, length).await?;
        match kind {
            b'Q' => {
                state.hear(&text(&body));
                answer.message(b'C', b"OK\0");
                answer.message(b'Z', b"I");
            }
            b'P' => asked = text(&body),
            b'S' => answer.to(&asked),
            b'X' => return Ok(()),
            _ => {}
        }
    }
}

impl State {
    fn dropped(&self) -> MutexGuard<'_, Dropped> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, sql: &str) {
        if !sql.contains("DROP ROLE") {
            return;
        }
        let now = SystemClock.boot();
        let mut dropped = self.dropped();
        if dropped.seen.is_empty() {
            dropped.first = now;
        }
        if dropped.seen.insert(sql.to_owned()) {
            dropped.last = now;
        }
    }
}

async fn message_rest(stream: &mut TcpStream, length: u32) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(length.saturating_sub(4).min(1 << 20)).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// Messages to the client.
#[derive(Default)]
struct Answer(Vec<u8>);

const BOOL: u32 = 16;
const INT8: u32 = 20;

impl Answer {
    fn message(&mut self, kind: u8, body: &[u8]) {
        self.0.push(kind);
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        self.0.extend(length.to_be_bytes());
        self.0.extend(body);
    }

    /// To a question with values: every user is there, is a member, has no session and owns nothing.
    fn to(&mut self, sql: &str) {
        self.message(b'1', b"");
        self.message(b'2', b"");
        self.message(b't', &0_u16.to_be_bytes());
        if sql.contains("EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1::text::name)")
            || sql.contains("pg_has_role($1")
        {
            self.row(BOOL, &[1]);
        } else if sql.contains("count(") || sql.contains("::int8") {
            self.row(INT8, &0_u64.to_be_bytes());
        } else {
            self.message(b'n', b"");
        }
        self.message(b'C', b"SELECT\0");
        self.message(b'Z', b"I");
    }

    fn row(&mut self, kind: u32, value: &[u8]) {
        let size = u16::try_from(value.len()).unwrap_or(0);
        let mut column = vec![0, 1, b'c', 0, 0, 0, 0, 0, 0, 0];
        column.extend(kind.to_be_bytes());
        column.extend(size.to_be_bytes());
        column.extend([0xff, 0xff, 0xff, 0xff, 0, 1]);
        self.message(b'T', &column);
        let mut row = vec![0, 1];
        row.extend(u32::from(size).to_be_bytes());
        row.extend(value);
        self.message(b'D', &row);
    }
}
