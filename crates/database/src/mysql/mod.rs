//! MySQL and MariaDB: users `'name'@'%'`, or whatever hosts the role's statements give them.
//!
//! Statements that define users end a transaction by themselves here, so a user that was made by half is removed again.
//! There is no end of a user in the database (`VALID UNTIL`); only its lease ends it.
//!
//! MariaDB writes statements into its query and binary logs as they are, so it is told the hash of a password, where the
//! role's statements allow that (`IDENTIFIED BY '{{password}}'`) and no plug-in wants to see passwords in order to judge
//! them. MySQL takes the password as it is, and leaves it out of its logs by itself.

mod destination;
mod hashes;
mod session;

use coffre_ambient::Wall;
use coffre_secret::SecretText;

use self::session::{Server, Session, quoted};
use crate::statements::{self, Dialect, Values};
use crate::{BoxFuture, Database, Error, ErrorKind, NewPassword, NewUser, Plugin, Settings, names};

/// Names that one question gives at most.
const MAX_USERS: u32 = 100_000;

/// A server as its administrator.
pub struct Mysql {
    server: Server,
}

impl Mysql {
    /// Checks the settings: `connection_url` as `{{username}}:{{password}}@tcp(host:port)/`, and TLS. Connects to
    /// nothing.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        Ok(Self { server: Server::new(settings)? })
    }

    /// Statement by statement, since none can be taken back; after a failure what is there is removed.
    async fn made(&self, user: &NewUser<'_>) -> Result<(), Error> {
        check_name(user.name)?;
        let until = expiration(user.until);
        let values =
            Values { name: Some(user.name), password: Some(user.password), expiration: Some(&until) };
        // Refused before anything is asked of the database.
        if statements::render(user.statements, Dialect::Mysql, &values)?.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "the role has no creation_statements"));
        }
        // Undone without knowing that it is ours, it would be somebody else's that is removed.
        self.server
            .with(async |session| match hosts(session, user.name).await?.is_empty() {
                true => Ok(()),
                false => {
                    Err(Error::new(ErrorKind::Failed, "there is a user of that name in the database already"))
                }
            })
            .await?;
        let done = self
            .server
            .with(async |session| {
                let hashed = hashes::are_taken(session).await?;
                all(session, &hashes::render(user.statements, &values, hashed)?).await
            })
            .await;
        if done.is_err() {
            self.undo(user).await;
        }
        done
    }

    async fn undo(&self, user: &NewUser<'_>) {
        if let Err(error) = self.removed(user.name, user.rollback).await {
            tracing::warn!(user = user.name, %error, "a user that was not made could not be cleared away either");
        }
    }

    /// By the statements, else for each host of the user.
    async fn changed(&self, change: &NewPassword<'_>) -> Result<(), Error> {
        check_name(change.name)?;
        let values = Values { name: Some(change.name), password: Some(change.password), expiration: None };
        statements::render(change.statements, Dialect::Mysql, &values)?;
        self.server
            .with(async |session| {
                let hashed = hashes::are_taken(session).await?;
                if !change.statements.is_empty() {
                    return all(session, &hashes::render(change.statements, &values, hashed)?).await;
                }
                let hosts = hosts(session, change.name).await?;
                if hosts.is_empty() {
                    return Err(Error::new(ErrorKind::Failed, "there is no such user in the database"));
                }
                for host in hosts {
                    let account = account(change.name, &host);
                    let password = hashes::literal(change.password, hashed);
                    // EXPOSE: the statement sets the password.
                    let sql = format!("ALTER USER {account} IDENTIFIED BY {}", password.expose());
                    session.run(&SecretText::new(sql)).await?;
                }
                Ok(())
            })
            .await
    }

    async fn lengthened(&self, user: &str, until: Wall, list: &[String]) -> Result<(), Error> {
        let until = expiration(until);
        let values = Values { name: Some(user), password: None, expiration: Some(&until) };
        let list = statements::render(list, Dialect::Mysql, &values)?;
        if list.is_empty() {
            return Ok(());
        }
        self.server.with(async |session| all(session, &list).await).await
    }

    /// Dropping a user leaves its sessions, so they are ended: after the user is gone, when no new one can begin.
    async fn removed(&self, user: &str, list: &[String]) -> Result<(), Error> {
        check_name(user)?;
        if self.server.is_administrator(user) {
            return Err(Error::new(ErrorKind::Invalid, "this is the administrator's own user"));
        }
        let values = Values { name: Some(user), ..Values::default() };
        let list = statements::render(list, Dialect::Mysql, &values)?;
        self.server
            .with(async |session| {
                let done =
                    if list.is_empty() { drop_user(session, user).await } else { all(session, &list).await };
                // A statement about a user who is gone fails; that is what was wanted.
                if done.is_err() && !hosts(session, user).await?.is_empty() {
                    return done;
                }
                end_sessions(session, user).await
            })
            .await
    }

    async fn named(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let (prefix, length) = (quoted(prefix), prefix.chars().count());
        let sql = format!(
            "SELECT DISTINCT CAST(User AS CHAR) FROM mysql.user WHERE BINARY LEFT(User, {length}) = BINARY {prefix} \
             LIMIT {MAX_USERS}"
        );
        let mut names = self.server.with(async |session| session.texts(&sql).await).await?;
        names.sort_unstable();
        Ok(names)
    }
}

impl Database for Mysql {
    fn verify(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.server.with(async |session| session.texts("SELECT '1'").await.map(drop)))
    }

    fn create<'a>(&'a self, user: &'a NewUser<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.made(user))
    }

    fn extend<'a>(
        &'a self,
        user: &'a str,
        until: Wall,
        statements: &'a [String],
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.lengthened(user, until, statements))
    }

    fn set_password<'a>(&'a self, change: &'a NewPassword<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.changed(change))
    }

    fn remove<'a>(&'a self, user: &'a str, statements: &'a [String]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.removed(user, statements))
    }

    fn logs_in<'a>(&'a self, user: &'a str, password: &'a SecretText) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            check_name(user)?;
            match self.server.with_user(user, password, async |_| Ok(())).await {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::Unauthenticated => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    fn users<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(self.named(prefix))
    }

    /// Nothing is kept open between actions.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Blanks at the end are not kept in the table of users, so two names would be one.
fn check_name(name: &str) -> Result<(), Error> {
    if name.ends_with(' ') {
        return Err(Error::new(ErrorKind::Invalid, "a user name in MySQL does not end with a blank"));
    }
    names::check(Plugin::Mysql, name)
}

async fn all(session: &mut Session<'_>, list: &[SecretText]) -> Result<(), Error> {
    for sql in list {
        session.run(sql).await?;
    }
    Ok(())
}

/// With all hosts that the name has; its grants go with it.
async fn drop_user(session: &mut Session<'_>, user: &str) -> Result<(), Error> {
    for host in hosts(session, user).await? {
        let sql = format!("DROP USER IF EXISTS {}", account(user, &host));
        session.run(&SecretText::new(sql)).await?;
    }
    Ok(())
}

/// Needs `PROCESS` to see the sessions of others, and `CONNECTION ADMIN` (MySQL: `CONNECTION_ADMIN`) or `SUPER` to end
/// them.
async fn end_sessions(session: &mut Session<'_>, user: &str) -> Result<(), Error> {
    let sql = format!(
        "SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST WHERE BINARY USER = BINARY {}",
        quoted(user)
    );
    for id in session.texts(&sql).await? {
        let Ok(id) = id.parse::<u64>() else { continue };
        match session.run(&SecretText::new(format!("KILL CONNECTION {id}"))).await {
            // It ended by itself meanwhile.
            Err(error) if error.kind() == ErrorKind::Failed => {}
            done => done?,
        }
    }
    Ok(())
}

/// The hosts from which a user of this name may come: each is an account of its own.
async fn hosts(session: &mut Session<'_>, user: &str) -> Result<Vec<String>, Error> {
    let sql =
        format!("SELECT CAST(Host AS CHAR) FROM mysql.user WHERE BINARY User = BINARY {}", quoted(user));
    session.texts(&sql).await
}

fn account(user: &str, host: &str) -> String {
    format!("{}@{}", quoted(user), quoted(host))
}

/// As Vault has it for MySQL: `2026-11-22 10:00:00+0000`.
fn expiration(until: Wall) -> String {
    let text = until.rfc3339();
    format!("{} {}+0000", text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default())
}
