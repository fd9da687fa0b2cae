//! What stays in the memory of an application: while a value may be used it is there, and when its bound has passed, or
//! the server denied it, or the secrets were closed, it is not.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::stand_in::{self, Server};
use crate::{LOOKUP, TOKEN_IS_GOOD};

/// A program in a process of its own, so that its memory holds nothing of this test.
struct Application {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _directory: tempfile::TempDir,
}

impl Application {
    fn start(server: &Server) -> Self {
        let test = std::env::current_exe().unwrap();
        let program = test.parent().unwrap().parent().unwrap().join("examples/bounded");
        let directory = stand_in::project();
        let mut child = Command::new(program)
            .current_dir(directory.path())
            .env_clear()
            .env("VAULT_ADDR", &server.address)
            .env("VAULT_ROLE_ID", "role")
            .env("VAULT_SECRET_ID", "secret")
            .env("REDIS_HOST", "cache")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut application = Self { child, input, output, _directory: directory };
        assert_eq!(application.line(), "open vault");
        application
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn tell(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").unwrap();
        self.line()
    }

    /// How often a text is in its memory.
    fn holds(&self, text: &str) -> usize {
        let id = self.child.id();
        let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
        let mut memory = std::fs::File::open(format!("/proc/{id}/mem")).unwrap();
        let mut found = 0;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let (start, end) =
                (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            memory.seek(SeekFrom::Start(start)).unwrap();
            // Some pages of the system's cannot be read.
            if memory.read_exact(&mut bytes).is_ok() {
                found += bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
            }
        }
        found
    }

    /// Whether a text leaves its memory at once, but for what another thread is still doing: a reader may hold the table
    /// of before, and the background ends its turn.
    fn loses(&self, text: &str) -> bool {
        (0..50).any(|_| {
            let gone = self.holds(text) == 0;
            if !gone {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            gone
        })
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nothing_is_left_after_the_bound() {
    let server = Server::start();
    let value = "c9b1d8f4a7-value-of-the-jwt-key";
    server.holds("jwt/secret_key", 1, value);
    let mut application = Application::start(&server);
    assert!(application.holds(value) > 0, "the search finds what is there");
    server.down();
    for _ in 0..59 {
        application.tell("pass 60");
        assert_eq!(application.tell("get JWT_SECRET_KEY"), format!("{} bytes", value.len()));
    }
    application.tell("pass 120");
    assert_eq!(application.tell("get JWT_SECRET_KEY"), "stale");
    assert!(application.loses(value));
}

#[test]
fn nothing_is_left_after_a_denial_and_after_closing() {
    let server = Server::start();
    let (jwt, redis) = ("3f8e-value-of-the-jwt-key", "77ab-value-of-the-redis-password");
    server.holds("jwt/secret_key", 1, jwt);
    server.holds("redis/password", 1, redis);
    let mut application = Application::start(&server);
    server.says(LOOKUP, 200, TOKEN_IS_GOOD);
    server.fails("jwt/secret_key", 403);
    application.tell("pass 301");
    for _ in 0..200 {
        if application.tell("get JWT_SECRET_KEY") == "denied" {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!(application.tell("get JWT_SECRET_KEY"), "denied");
    assert!(application.loses(jwt));
    assert!(application.holds(redis) > 0);
    assert_eq!(application.tell("close"), "closed");
    assert!(application.loses(redis));
}
