//! What a failure means, and what of it may be shown.
//!
//! The server's own sentence helps who wrote the statements ("role \"reader\" does not exist"). But a server quotes what it
//! was sent: in a syntax error that may be a piece of a password. So sentences about syntax and about values are left out,
//! and so is any that holds a secret.

use std::io;

use coffre_secret::SecretText;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::error::DbError;

use super::wire::ASKS_CLEAR;
use crate::{Error, ErrorKind};

/// The longest sentence of a server that is passed on, in characters.
const LONGEST: usize = 200;

/// What must not be shown, whatever a server says.
pub(super) struct Secrets(Vec<SecretText>);

impl Secrets {
    /// Of these, as they are and encoded for URLs.
    pub(super) fn of<const N: usize>(secrets: [&SecretText; N]) -> Self {
        let mut all = Vec::new();
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            // EXPOSE: to be looked for in what will be shown.
            let encoded = utf8_percent_encode(secret.expose(), NON_ALPHANUMERIC).to_string();
            all.push(SecretText::new(encoded));
            all.push(secret.duplicate());
        }
        Self(all)
    }

    fn in_text(&self, text: &str) -> bool {
        // EXPOSE: compared only.
        self.0.iter().any(|secret| text.contains(secret.expose().as_str()))
    }
}

/// Of a statement.
pub(super) fn of(error: &tokio_postgres::Error, secrets: &[&Secrets]) -> Error {
    if let Some(said) = error.as_db_error() {
        return of_server(said, secrets);
    }
    let source = std::error::Error::source(error);
    let io = source.and_then(|cause| cause.downcast_ref::<io::Error>());
    let (kind, message) = match error.to_string().as_str() {
        "error performing TLS handshake" => {
            return Error::new(ErrorKind::Unavailable, format!("TLS to PostgreSQL failed: {}", of_tls(io)));
        }
        "error communicating with the server" => return of_io(io),
        "authentication error" => (
            ErrorKind::Unavailable,
            "the login did not come about: the server's side of SCRAM-SHA-256 is wrong or of a kind that is not spoken here",
        ),
        "connection closed" => (ErrorKind::Unavailable, "PostgreSQL closed the connection"),
        "timeout waiting for server" => (ErrorKind::Unavailable, "PostgreSQL did not answer in time"),
        "db error" | "unexpected message from server" | "error parsing response from server" => {
            (ErrorKind::Unavailable, "the server's answer is not PostgreSQL's protocol")
        }
        _ => (ErrorKind::Failed, "the server's answer is not what was asked for"),
    };
    Error::new(kind, message)
}

/// Of a socket.
pub(super) fn of_io(error: Option<&io::Error>) -> Error {
    if error.is_some_and(|error| {
        error.kind() == io::ErrorKind::PermissionDenied && error.to_string() == ASKS_CLEAR
    }) {
        return Error::new(
            ErrorKind::Unavailable,
            format!("{ASKS_CLEAR}: it was not sent; use sslmode=verify-full"),
        );
    }
    let what = match error.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "the connection is refused",
        Some(io::ErrorKind::TimedOut) => "no answer in time",
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            "there is no way to its host"
        }
        Some(io::ErrorKind::NotFound) => "its host's name is not known",
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other) => {
            "what answers there does not speak its protocol"
        }
        _ => "the connection was lost",
    };
    Error::new(ErrorKind::Unavailable, format!("PostgreSQL is not reached: {what}"))
}

/// A new password that the server's own rules refuse (`passwordcheck` and the like raise 22023).
pub(super) fn of_password(error: Error) -> Error {
    let refused = error.kind() == ErrorKind::Failed && error.to_string().contains("SQLSTATE 22023");
    if refused {
        Error::new(ErrorKind::PasswordRefused, "PostgreSQL refuses the new password (SQLSTATE 22023)")
    } else {
        error
    }
}

fn of_tls(error: Option<&io::Error>) -> String {
    let cause = error.and_then(io::Error::get_ref).and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let why = format!("{why:?}");
            let word: String = why.chars().take_while(char::is_ascii_alphanumeric).collect();
            format!("its certificate is not accepted ({word})")
        }
        Some(rustls::Error::AlertReceived(_)) => {
            "the server ends the handshake; does it ask for a client certificate?".to_owned()
        }
        Some(_) => "the handshake went wrong".to_owned(),
        None if error.is_some() => "the connection was lost during the handshake".to_owned(),
        None => "the server does not have it".to_owned(),
    }
}

fn of_server(said: &DbError, secrets: &[&Secrets]) -> Error {
    let code: String = said.code().code().chars().filter(char::is_ascii_alphanumeric).take(5).collect();
    let (class, _) = code.split_at_checked(2).unwrap_or((&code, ""));
    let kind = match (class, code.as_str()) {
        ("28", _) => ErrorKind::Unauthenticated,
        (_, "42501") => ErrorKind::Denied,
        // A connection's, out of resources, an operator's doing, a lock's; all of them pass.
        ("08" | "53" | "57" | "58", _) | (_, "40001" | "40P01" | "55P03" | "55006" | "25006" | "XX000") => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Failed,
    };
    let message = match kind {
        ErrorKind::Unauthenticated => Some("the user name or password is not accepted".to_owned()),
        _ => sentence(said, class, &code, secrets),
    };
    match message {
        Some(message) => Error::new(kind, format!("PostgreSQL: {message} (SQLSTATE {code})")),
        None => Error::new(
            kind,
            format!("PostgreSQL refuses the statement (SQLSTATE {code}: {})", meaning(class, &code)),
        ),
    }
}

/// The server's sentence, if it can be shown.
fn sentence(said: &DbError, class: &str, code: &str, secrets: &[&Secrets]) -> Option<String> {
    if class == "22" || code == "42601" {
        return None;
    }
    // What still depends on a role stands in the detail.
    let detail = said.detail().filter(|_| code == "2BP01").map(|detail| format!(": {detail}"));
    let whole = format!("{}{}", said.message(), detail.unwrap_or_default());
    let shown = whole.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    // Looked for in the whole: what is cut off in the middle of a secret would not be found.
    let secret = secrets.iter().any(|secrets| secrets.in_text(&whole));
    (!secret).then_some(shown)
}

fn meaning(class: &str, code: &str) -> &'static str {
    match (class, code) {
        (_, "42601") => "a syntax error",
        ("22", _) => "a value that cannot be",
        _ => "see PostgreSQL's list of error codes",
    }
}
