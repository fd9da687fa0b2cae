//! Redis and Valkey: users are lists of access control (ACL, Redis 6 and later).
//!
//! * Passwords are sent as SHA-256 hashes, which is what the server stores; only `AUTH` sends a password itself.
//! * A change is written down in the same action, because the server forgets users otherwise ([`Persistence`]).
//! * A user can have several passwords at once, which is how a password is rotated without a second user ([`Admin`]).
//!
//! Removing a password or switching a user off leaves its open connections alone; removing the user ends them.

mod admin;
mod persist;
mod rules;
mod session;
pub mod wire;

pub use admin::{Account, Admin};
pub use persist::{Kept, Persistence};

use coffre_ambient::Wall;
use coffre_secret::SecretText;

use self::session::{Server, Session};
use self::wire::Reply;
use crate::{BoxFuture, Database, Error, ErrorKind, NewPassword, NewUser, Settings};

/// A server whose users come and go, as the database engine has them.
pub struct Redis {
    server: Server,
}

impl Redis {
    /// Checks the settings: `host`, `port` (6379), `username` (`default`), `password`, and TLS. Connects to nothing.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        Ok(Self { server: Server::new(settings)? })
    }

    /// `rollback_statements` have no meaning here: a user that could not be kept is removed.
    async fn made(&self, user: &NewUser<'_>) -> Result<(), Error> {
        rules::check_name(user.name)?;
        self.spare_ourselves(user.name)?;
        let rules = rules::parse(user.statements)?;
        let hash = format!("#{}", persist::hash(user.password));
        self.server
            .with(async |session| {
                let mut command: Vec<&[u8]> =
                    vec![b"ACL", b"SETUSER", user.name.as_bytes(), b"reset", b"on", hash.as_bytes()];
                command.extend(rules.iter().map(String::as_bytes));
                setuser(session, &command).await?;
                let kept = persist::keep(session).await;
                if kept.is_err() {
                    // Nobody was told the password yet; the caller also removes what it does not know to be there.
                    let _best_effort = session.ask(&[b"ACL", b"DELUSER", user.name.as_bytes()]).await;
                }
                kept.map(|_| ())
            })
            .await
    }

    /// All passwords that the user had are gone; who is connected stays connected.
    async fn changed(&self, change: &NewPassword<'_>) -> Result<(), Error> {
        rules::check_name(change.name)?;
        if !change.statements.is_empty() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "Redis has no statements for changing a password; leave them out",
            ));
        }
        let hash = format!("#{}", persist::hash(change.password));
        let name = change.name.as_bytes();
        self.server
            .with(async |session| {
                // SETUSER would make a user that is not there.
                if session.run(&[b"ACL", b"GETUSER", name]).await?.is_nil() {
                    return Err(Error::new(ErrorKind::Failed, "there is no such user in Redis"));
                }
                setuser(session, &[b"ACL", b"SETUSER", name, b"resetpass", hash.as_bytes()]).await?;
                persist::keep(session).await.map(|_| ())
            })
            .await
    }

    /// `DELUSER` closes the user's connections by itself; `CLIENT KILL` finds what began in between.
    async fn removed(&self, user: &str) -> Result<(), Error> {
        rules::check_name(user)?;
        self.spare_ourselves(user)?;
        self.server
            .with(async |session| {
                session.run(&[b"ACL", b"DELUSER", user.as_bytes()]).await?;
                kill(session, user).await?;
                // Also if nobody was there: the removal may be one that was not written down.
                persist::keep(session).await.map(|_| ())
            })
            .await
    }

    /// The server has no way to ask for a part of the names.
    async fn named(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let reply = self.server.with(async |session| session.run(&[b"ACL", b"USERS"]).await).await?;
        let names = reply.items().iter().filter_map(Reply::text);
        let mut names: Vec<String> =
            names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Making or removing the administrator would end all administration.
    fn spare_ourselves(&self, user: &str) -> Result<(), Error> {
        if user == self.server.username || user == "default" {
            return Err(Error::new(
                ErrorKind::Invalid,
                "this is the administrator's own user or Redis' default user",
            ));
        }
        Ok(())
    }
}

impl Database for Redis {
    fn verify(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.server.with(async |session| session.run(&[b"ACL", b"WHOAMI"]).await.map(|_| ())))
    }

    fn create<'a>(&'a self, user: &'a NewUser<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.made(user))
    }

    /// Redis knows no end of a user.
    fn extend<'a>(&'a self, _: &'a str, _: Wall, _: &'a [String]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn set_password<'a>(&'a self, change: &'a NewPassword<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.changed(change))
    }

    /// Statements have no meaning here, as in Vault: the user is deleted and its connections are closed.
    fn remove<'a>(&'a self, user: &'a str, _: &'a [String]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.removed(user))
    }

    fn logs_in<'a>(&'a self, user: &'a str, password: &'a SecretText) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(logs_in(&self.server, user, password))
    }

    fn users<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(self.named(prefix))
    }

    /// Nothing is kept open between actions.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// `AUTH` and nothing else. A user who is switched off is refused like one with another password.
async fn logs_in(server: &Server, user: &str, password: &SecretText) -> Result<bool, Error> {
    rules::check_name(user)?;
    match server.with_user(user, password, async |_| Ok(())).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Unauthenticated => Ok(false),
        Err(error) => Err(error),
    }
}

/// `ACL SETUSER`, whose errors are mostly about a rule that the server does not know.
async fn setuser(session: &mut Session<'_>, command: &[&[u8]]) -> Result<(), Error> {
    match session.ask(command).await? {
        Reply::Error(code, detail)
            if code == "ERR" && detail.starts_with("Error in ACL SETUSER modifier") =>
        {
            Err(Error::new(
                ErrorKind::Invalid,
                "Redis does not know one of the ACL rules (a command or category of another version, a bad pattern)",
            ))
        }
        Reply::Error(code, detail) => Err(session::refused("ACL SETUSER", &code, &detail)),
        _ => Ok(()),
    }
}

/// Closes the connections of a user; a user who is not there has none.
async fn kill(session: &mut Session<'_>, user: &str) -> Result<(), Error> {
    match session.ask(&[b"CLIENT", b"KILL", b"USER", user.as_bytes()]).await? {
        Reply::Error(code, detail) if code == "ERR" && detail.starts_with("No such user") => Ok(()),
        Reply::Error(code, detail) => Err(session::refused("CLIENT KILL", &code, &detail)),
        _ => Ok(()),
    }
}
