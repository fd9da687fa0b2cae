//! A real server on a socket of its own, and a client that sends bytes as they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, SystemClock, SystemEntropy};
use coffre_core::{Kernel, Settings};
use coffre_http::{ForwardedFor, Limits, Listener, serve};
use coffre_storage::{Memory, Store};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// What came back on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Of the first answer; 0 if there was none.
    pub(crate) status: u16,
    /// The first answer's head, lower case.
    pub(crate) head: String,
    /// Everything after it.
    pub(crate) body: String,
    /// How many answers came.
    pub(crate) answers: usize,
    /// Whether the server closed the connection.
    pub(crate) closed: bool,
}

impl Reply {
    fn of(text: &str, closed: bool) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let answers = text.matches("HTTP/1.1 ").count();
        Self { status, head: head.to_lowercase(), body: body.to_owned(), answers, closed }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// A development server: `secret/` is KV version 2, the root token is `myroot`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _stop: watch::Sender<bool>,
}

pub(crate) const ROOT: &str = "myroot";

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let kernel = Kernel::new(store, clock, Arc::new(SystemEntropy), Settings::default());
        kernel.start_dev(Some(ROOT.into())).await.unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (sender, stop) = watch::channel(false);
        tokio::spawn(serve(
            kernel,
            Listener { socket, tls: None, limits, forwarded: ForwardedFor::default() },
            stop,
        ));
        Self { address, _stop: sender }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a new connection and reads until the server closes it or says nothing for half a second.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        // The server may answer and close before all of it was taken.
        let _ = stream.write_all(bytes).await;
        read(&mut stream, Duration::from_millis(500)).await
    }

    /// A well-formed request with these header lines (each with its line end).
    pub(crate) async fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> Reply {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}{length}\r\n");
        let mut stream = self.connect().await;
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(body.as_bytes()).await;
        read(&mut stream, Duration::from_secs(20)).await
    }

    pub(crate) async fn ask(&self, method: &str, target: &str, token: &str, body: &str) -> Reply {
        let token = if token.is_empty() { String::new() } else { format!("X-Vault-Token: {token}\r\n") };
        self.send(method, target, &token, body).await
    }

    pub(crate) async fn root(&self, method: &str, target: &str, body: &str) -> Reply {
        self.ask(method, target, ROOT, body).await
    }

    /// A token with one policy of this text.
    pub(crate) async fn holder(&self, policy: &str) -> String {
        let body = serde_json::json!({ "policy": policy }).to_string();
        self.root("POST", "/v1/sys/policies/acl/p", &body).await.is(204);
        let made = self.root("POST", "/v1/auth/token/create", r#"{"policies":["p"]}"#).await.is(200);
        made.json()["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

/// Reads until the end, or until nothing comes for so long.
pub(crate) async fn read(stream: &mut TcpStream, patience: Duration) -> Reply {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match timeout(patience, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return Reply::of(&String::from_utf8_lossy(&all), true),
            Ok(Ok(count)) => all.extend_from_slice(&buffer[..count]),
            Err(_) => return Reply::of(&String::from_utf8_lossy(&all), false),
        }
    }
}
