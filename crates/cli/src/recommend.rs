//! What a person is told when something fails, and what to do next.

use std::fmt::Write as _;

use coffre_client::{Error, ErrorKind};

/// The text for a failed call: what was asked, where, what came back, and the next step. Scripts look for the
/// `Code: NNN. Errors:` line, so it has Vault's form.
pub(crate) fn for_call(doing: &str, address: &str, error: &Error) -> String {
    let mut text = format!("Error {doing}: ");
    match error.status() {
        None => {
            text.push_str(headline(error.kind()));
            if !error.messages().is_empty() {
                // Writing to a String cannot fail, here and below.
                let _ = write!(text, ": {}", error.messages().join("; "));
            }
            if error.kind() != ErrorKind::Config {
                let _ = write!(text, "\n\nAddress: {address}");
            }
        }
        Some(status) => {
            let _ = write!(
                text,
                "{}\n\nURL: {address} ({})\nCode: {status}. Errors:\n",
                headline(error.kind()),
                error.action()
            );
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
    let plain_http = || error.messages().iter().any(|message| message.contains("corrupt message"));
    match error.kind() {
        ErrorKind::Tls if plain_http() => {
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
        ErrorKind::Unauthenticated => "Log in (`login`), or set VAULT_TOKEN.".to_owned(),
        _ => error.advice().to_owned(),
    }
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
