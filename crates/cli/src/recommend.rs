//! What a person is told when something fails, and what to do next.

use std::fmt::Write as _;

use coffre_client::{Error, ErrorKind};

/// The text for a failed call: what was asked, where, what came back, and the next step. Scripts look for the
/// `Code: NNN. Errors:` line, so it has Vault's form.
pub(crate) fn for_call(doing: &str, address: &str, error: &Error) -> String {
    let mut text = format!("Error {doing}: ");
    match error.status() {
        None => {
            text.push_str(if speaks_plain_http(error) {
                "the server does not speak TLS"
            } else {
                headline(error.kind())
            });
            if !error.messages().is_empty() {
                // Writing to a String cannot fail, here and below.
                let _ = write!(text, ": {}", error.messages().join("; "));
            }
            if error.kind() != ErrorKind::Config {
                let _ = write!(text, "\n\nAddress: {address}");
            }
        }
        Some(status) => {
            let (headline, request) = (headline(error.kind()), request(error, address));
            let _ = write!(text, "{headline}\n\nURL: {request}\nCode: {status}. Errors:\n");
            for message in error.messages() {
                let _ = write!(text, "\n* {message}");
            }
            if error.messages().is_empty() {
                text.push_str("\n* (the server gave no reason)");
            }
        }
    }
    let _ = write!(text, "\n\nNext: {}", next_step(error, address));
    text
}

/// `PUT http://host:8200/v1/sys/mounts/x`, as Vault's own messages have it.
fn request(error: &Error, address: &str) -> String {
    let (word, path) = error.action().split_once(' ').unwrap_or(("", error.action()));
    let method = match word {
        "write" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        _ => "GET",
    };
    format!("{method} {address}/v1/{path}")
}

fn headline(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unreachable => "the server cannot be reached",
        ErrorKind::Tls => "the server's certificate is not trusted",
        ErrorKind::Sealed => "the server is sealed or not ready",
        ErrorKind::Unauthenticated => "not logged in",
        ErrorKind::Denied => "permission denied",
        ErrorKind::NotFound => "nothing is there",
        ErrorKind::Conflict => "somebody else wrote in between",
        ErrorKind::Config => "the settings are wrong",
        ErrorKind::Decode => "the answer was not understood",
        _ => "the request failed",
    }
}

fn next_step(error: &Error, address: &str) -> String {
    match error.kind() {
        ErrorKind::Tls if speaks_plain_http(error) => {
            format!(
                "The server speaks plain HTTP. Set VAULT_ADDR=http://{}.",
                address.trim_start_matches("https://")
            )
        }
        ErrorKind::Unreachable => {
            format!(
                "Check that a server runs at {address}; another address goes into VAULT_ADDR or -address."
            )
        }
        // Any token may look itself up, unless it was made without the policy `default`.
        ErrorKind::Denied if error.action().ends_with("auth/token/lookup-self") => {
            "The server does not know this token, or it has ended: log in again, or get another one."
                .to_owned()
        }
        ErrorKind::Unauthenticated => "Log in (`login`), or set VAULT_TOKEN.".to_owned(),
        _ => error.advice().to_owned(),
    }
}

/// An HTTP answer where the TLS handshake should begin.
fn speaks_plain_http(error: &Error) -> bool {
    let says = |message: &String| message.contains("corrupt message");
    error.kind() == ErrorKind::Tls && error.messages().iter().any(says)
}

/// The closest known words, for a mistyped one: at most two letters away.
pub(crate) fn similar<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let best = known.map(|word| (distance(typed, word), word)).min_by_key(|(distance, _)| *distance)?;
    (best.0 <= 2).then_some(best.1)
}

/// Levenshtein's distance, over bytes: command names are ASCII.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, x) in a.bytes().enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let replaced = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("unseal", "unseal"), 0);
        assert_eq!(distance("staus", "status"), 1);
        assert_eq!(similar("staus", ["status", "server"].into_iter()), Some("status"));
        assert_eq!(similar("zzzzzz", ["status", "server"].into_iter()), None);
    }
}
