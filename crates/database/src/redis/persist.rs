//! Users outlive the process only if they are written down, and a server has two ways that exclude each other:
//! `ACL SAVE` where an `aclfile` is configured, `CONFIG REWRITE` where none is. The wrong one of the two answers OK and
//! loses every user at the next restart, so the server is asked which it is, and its file read where that can be done.

use std::path::Path;

use coffre_crypto::digest;
use tokio::io::AsyncReadExt as _;

use super::session::{Server, Session};
use super::wire::Reply;
use crate::{Error, ErrorKind};

/// The most of a file that is read to see a user in it.
const MAX_FILE: u64 = 16 << 20;

/// How users are kept over restarts of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// As the server says, and its file is read to prove it. For a server whose file cannot be read from here, one of
    /// the others has to be declared.
    #[default]
    Proven,
    /// It has an `aclfile`: `ACL SAVE`. Its file is read where that can be done, but need not be.
    AclFile,
    /// It has none, but a configuration file: `CONFIG REWRITE`. As above.
    Rewrite,
    /// Not at all: a restart loses all changes. Somebody else brings the users back.
    Volatile,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The file holds it: it was read.
    Proven,
    /// The server says so.
    Said,
    /// The server has no file to keep users in.
    Nowhere,
}

/// What a file should say about a user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) user: &'a str,
    /// SHA-256 in hexadecimal of the passwords that should be there; `None`: no such user.
    pub(super) hashes: Option<&'a [String]>,
}

enum Way {
    AclFile(String),
    Rewrite,
}

/// Writes the users down by the way that the server has, whatever that is; for users that come and go. A server without
/// any file is fine here: what it forgets is gone, and what was removed does not come back either.
pub(super) async fn keep(session: &mut Session<'_>) -> Result<Kept, Error> {
    match way(session).await? {
        Some(Way::AclFile(_)) => session.run(&[b"ACL", b"SAVE"]).await.map(|_| Kept::Said),
        Some(Way::Rewrite) => rewrite(session).await,
        // CONFIG is closed to us; ACL SAVE tells by its error whether there is an ACL file.
        None => match session.ask(&[b"ACL", b"SAVE"]).await? {
            Reply::Error(code, detail) if code == "ERR" && detail.contains("ACL file") => Ok(Kept::Nowhere),
            Reply::Error(code, detail) => Err(super::session::refused("ACL SAVE", &code, &detail)),
            _ => Ok(Kept::Said),
        },
    }
}

/// Writes the users down in the declared way and proves it where nothing is declared; for users that stay.
pub(super) async fn keep_surely(
    server: &Server,
    session: &mut Session<'_>,
    declared: Persistence,
    expected: Expected<'_>,
) -> Result<Kept, Error> {
    let (way, must) = match decided(session, declared).await? {
        None => return Ok(Kept::Nowhere),
        Some(decided) => decided,
    };
    let path = match way {
        Way::AclFile(path) => {
            session.run(&[b"ACL", b"SAVE"]).await?;
            path
        }
        Way::Rewrite => {
            somewhere(rewrite(session).await?)?;
            config_file(session).await?
        }
    };
    match read(server, Path::new(&path)).await {
        Some(text) if holds(&text, expected) => Ok(Kept::Proven),
        // Declared: what lies there may be another machine's file.
        _ if !must => Ok(Kept::Said),
        None => Err(unread()),
        Some(_) => Err(Error::new(
            ErrorKind::Failed,
            "Redis said that it wrote its users down, but its file does not hold the change; if the file is another \
             machine's, declare persistence as `aclfile` or `rewrite`",
        )),
    }
}

/// Whether users could be written down as declared, as far as can be seen without writing.
pub(super) async fn check(
    server: &Server,
    session: &mut Session<'_>,
    declared: Persistence,
) -> Result<(), Error> {
    let Some((way, must)) = decided(session, declared).await? else { return Ok(()) };
    let path = match way {
        Way::AclFile(path) => path,
        Way::Rewrite => {
            let path = config_file(session).await?;
            // A server that does not tell its INFO is one that does not tell where its file is.
            somewhere(if path.is_empty() && must { Kept::Nowhere } else { Kept::Said })?;
            path
        }
    };
    if must && read(server, Path::new(&path)).await.is_none() { Err(unread()) } else { Ok(()) }
}

/// The way, and whether it must be proven; `None`: nothing is to be written down.
async fn decided(session: &mut Session<'_>, declared: Persistence) -> Result<Option<(Way, bool)>, Error> {
    let way = if declared == Persistence::Volatile { None } else { way(session).await? };
    match (declared, way) {
        (Persistence::Volatile, _) => Ok(None),
        (Persistence::AclFile, Some(Way::Rewrite)) => Err(invalid(
            "persistence is declared as `aclfile`, but this Redis has no ACL file: ACL SAVE would fail; declare `rewrite`",
        )),
        (Persistence::Rewrite, Some(Way::AclFile(_))) => Err(invalid(
            "persistence is declared as `rewrite`, but this Redis has an ACL file: CONFIG REWRITE would say OK and lose \
             every user at the next restart; declare `aclfile`",
        )),
        (Persistence::Proven, None) => Err(invalid(
            "Redis does not tell how it keeps users (CONFIG GET aclfile is refused): declare persistence as `aclfile`, \
             `rewrite` or `volatile`",
        )),
        (Persistence::AclFile, None) => Ok(Some((Way::AclFile(String::new()), false))),
        (Persistence::Rewrite, None) => Ok(Some((Way::Rewrite, false))),
        (declared, Some(way)) => Ok(Some((way, declared == Persistence::Proven))),
    }
}

/// As the server says; `None`: it does not, because `CONFIG` is closed to us or renamed.
async fn way(session: &mut Session<'_>) -> Result<Option<Way>, Error> {
    match session.ask(&[b"CONFIG", b"GET", b"aclfile"]).await? {
        Reply::Error(code, _) if code == "NOPERM" || code == "ERR" => Ok(None),
        Reply::Error(code, detail) => Err(super::session::refused("CONFIG GET", &code, &detail)),
        reply => match reply.field("aclfile").and_then(Reply::text) {
            None => Ok(None),
            Some("") => Ok(Some(Way::Rewrite)),
            Some(path) => Ok(Some(Way::AclFile(path.to_owned()))),
        },
    }
}

/// A server that was started without a file has nothing to rewrite.
async fn rewrite(session: &mut Session<'_>) -> Result<Kept, Error> {
    match session.ask(&[b"CONFIG", b"REWRITE"]).await? {
        Reply::Error(code, detail) if code == "ERR" && detail.contains("without a config file") => {
            Ok(Kept::Nowhere)
        }
        Reply::Error(code, detail) => Err(super::session::refused("CONFIG REWRITE", &code, &detail)),
        _ => Ok(Kept::Said),
    }
}

/// Users that stay need a place.
fn somewhere(kept: Kept) -> Result<Kept, Error> {
    if kept != Kept::Nowhere {
        return Ok(kept);
    }
    Err(invalid(
        "this Redis runs without a configuration file and without an ACL file, so it forgets users when it restarts: \
         give it an `aclfile`, or declare persistence as `volatile`",
    ))
}

/// Where the configuration lies; empty if the server has no file, or does not tell.
async fn config_file(session: &mut Session<'_>) -> Result<String, Error> {
    let info = session.ask(&[b"INFO", b"server"]).await?;
    let line = info.text().and_then(|text| text.lines().find_map(|line| line.strip_prefix("config_file:")));
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// Reads the file if it is this machine's; never `ACL LOAD`, which would replace the users that are alive by those of
/// the file.
async fn read(server: &Server, path: &Path) -> Option<String> {
    if !server.local() || !path.is_absolute() {
        return None;
    }
    let file = tokio::fs::File::open(path).await.ok()?;
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).await.ok()?;
    Some(text)
}

fn unread() -> Error {
    invalid(
        "the file in which Redis keeps users cannot be read from here, so nothing proves that they outlive a restart: \
         declare persistence as `aclfile` or `rewrite`",
    )
}

/// Whether the file has the user with exactly these passwords, or has no such user.
fn holds(file: &str, expected: Expected<'_>) -> bool {
    let mut lines = file.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("user") && words.next() == Some(expected.user)).then_some(words)
    });
    match (lines.next_back(), expected.hashes) {
        (None, None) => true,
        (Some(words), Some(hashes)) => {
            let mut there: Vec<&str> = words.filter_map(|word| word.strip_prefix('#')).collect();
            let mut wanted: Vec<&str> = hashes.iter().map(String::as_str).collect();
            there.sort_unstable();
            wanted.sort_unstable();
            there == wanted
        }
        _ => false,
    }
}

/// A password as Redis stores and takes it: SHA-256 in hexadecimal, so that no log of commands holds the password.
pub(super) fn hash(password: &coffre_secret::SecretText) -> String {
    // EXPOSE: what leaves is the hash. Generated passwords have more entropy than anybody can search.
    digest::hex(&digest::sha256(password.expose().as_bytes()))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_by_its_user_lines() {
        let file = "port 1\nuser default on #aa ~* +@all\n user app on sanitize-payload #bb #cc ~* -@all\r\nuser appx on #dd\n";
        let hashes = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let says = |user, list: Option<&[String]>| holds(file, Expected { user, hashes: list });
        assert!(says("app", Some(&hashes(&["cc", "bb"]))));
        assert!(!says("app", Some(&hashes(&["bb"]))), "an old password is still in the file");
        assert!(!says("app", Some(&hashes(&["bb", "cc", "dd"]))));
        assert!(!says("app", None) && says("ap", None) && !says("ap", Some(&[])));
    }
}
