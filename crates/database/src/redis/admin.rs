//! Users that stay: what rotation does to them.

use coffre_secret::SecretText;

use super::persist::{self, Expected, Kept, Persistence};
use super::session::{self, Server, Session};
use super::wire::Reply;
use super::{kill, logs_in, rules};
use crate::{Error, ErrorKind, Settings};

/// How often a change is tried again when the fence moved while it was made.
const ATTEMPTS: usize = 3;
/// Passwords of one user. Two during a rotation; more means that something else adds them.
const MAX_PASSWORDS: usize = 8;

/// A user as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whether it may log in at all.
    pub enabled: bool,
    /// Whether it may log in with any password.
    pub nopass: bool,
    /// SHA-256 of its passwords, in hexadecimal.
    pub hashes: Vec<String>,
}

impl Account {
    /// Whether this is one of its passwords.
    #[must_use]
    pub fn has(&self, password: &SecretText) -> bool {
        self.hashes.contains(&persist::hash(password))
    }
}

/// A server with users that stay and whose passwords are rotated: the new one is added, consumers move to it, the old
/// one is removed.
///
/// Changes carry a *fence*, a number that grows with each holder of the rotation. The largest one seen is kept in the key
/// `_rot:fence:<user>` of database 0 and watched while the change is made (`WATCH`, `MULTI`, `EXEC`): a holder that was
/// paused and comes back with a smaller one gets [`ErrorKind::Fenced`] and changes nothing. The fence is as durable as
/// the server's data.
///
/// Needs a user with `+acl|setuser +acl|getuser +acl|save +acl|whoami +acl|dryrun +config|get +config|rewrite +client|kill +info +get +set
/// +watch +unwatch +multi +exec` on `~_rot:fence:*`.
pub struct Admin {
    server: Server,
    persistence: Persistence,
}

#[derive(Clone, Copy)]
enum Change<'a> {
    Add(&'a str),
    Remove(&'a str),
}

impl Admin {
    /// Checks the settings; connects to nothing.
    pub fn open(settings: Settings, persistence: Persistence) -> Result<Self, Error> {
        Ok(Self { server: Server::new(settings)?, persistence })
    }

    /// Connects.
    pub async fn verify(&self) -> Result<(), Error> {
        self.server.with(async |session| session.run(&[b"ACL", b"WHOAMI"]).await.map(|_| ())).await
    }

    /// The user, or `None` if there is none.
    pub async fn account(&self, user: &str) -> Result<Option<Account>, Error> {
        rules::check_name(user)?;
        self.server.with(async |session| account(session, user).await).await
    }

    /// Lets the user log in with this password too, and writes that down. Succeeds if it already may; then it is written
    /// down again, because the last attempt may have ended in between.
    pub async fn add(&self, user: &str, password: &SecretText, fence: u64) -> Result<Kept, Error> {
        self.change(user, Change::Add(&persist::hash(password)), fence).await
    }

    /// Takes a password away, and writes that down. Connections that are open stay. Succeeds if it is not there.
    /// [`ErrorKind::Invalid`] if it is the user's only one: nobody could log in any more.
    pub async fn remove(&self, user: &str, password: &SecretText, fence: u64) -> Result<Kept, Error> {
        self.change(user, Change::Remove(&persist::hash(password)), fence).await
    }

    /// Writes down what is, and proves it or not as [`Persistence`] says.
    pub async fn persist(&self, user: &str) -> Result<Kept, Error> {
        rules::check_name(user)?;
        self.server.with(async |session| self.keep(session, user).await).await
    }

    /// Closes all connections of the user, who may log in again.
    pub async fn kill(&self, user: &str) -> Result<(), Error> {
        rules::check_name(user)?;
        self.server.with(async |session| kill(session, user).await).await
    }

    /// Whether the user can log in with this password.
    pub async fn logs_in(&self, user: &str, password: &SecretText) -> Result<bool, Error> {
        logs_in(&self.server, user, password).await
    }

    /// Does one command as the user, on the way that consumers take, and says whether the user is allowed to:
    /// `Ok(false)` is `NOPERM`, and only that. Other errors of the command (no such key, wrong type) mean it was allowed.
    /// [`ErrorKind::Unauthenticated`] if the user cannot log in.
    pub async fn allows(&self, user: &str, password: &SecretText, command: &[String]) -> Result<bool, Error> {
        rules::check_name(user)?;
        if command.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "a probe is a command with its arguments"));
        }
        let arguments: Vec<&[u8]> = command.iter().map(String::as_bytes).collect();
        let reply =
            self.server.with_user(user, password, async |session| session.ask(&arguments).await).await?;
        match reply {
            Reply::Error(code, _) if code == "NOPERM" => Ok(false),
            Reply::Error(code, detail) if code == "LOADING" || code == "NOAUTH" => {
                Err(session::refused("the probe", &code, &detail))
            }
            Reply::Error(_, detail) if detail.starts_with("unknown command") => Err(unknown_command()),
            _ => Ok(true),
        }
    }

    /// Whether the user is refused this command, which is never carried out: it is only queued (`MULTI`, `DISCARD`), and
    /// Redis looks at rights when it queues. Where the user may not use `MULTI`, the administrator asks (`ACL DRYRUN`,
    /// Redis 7).
    pub async fn denies(&self, user: &str, password: &SecretText, command: &[String]) -> Result<bool, Error> {
        rules::check_name(user)?;
        let arguments = words(command)?;
        let queued = self
            .server
            .with_user(user, password, async |session| {
                if matches!(session.ask(&[b"MULTI"]).await?, Reply::Error(..)) {
                    return Ok(None);
                }
                session.ask(&arguments).await.map(Some)
            })
            .await?;
        match queued {
            Some(Reply::Error(code, _)) if code == "NOPERM" => Ok(true),
            Some(Reply::Error(_, detail)) if detail.starts_with("unknown command") => Err(unknown_command()),
            Some(_) => Ok(false),
            None => self.dry_run(user, &arguments).await,
        }
    }

    async fn dry_run(&self, user: &str, arguments: &[&[u8]]) -> Result<bool, Error> {
        let mut command: Vec<&[u8]> = vec![b"ACL", b"DRYRUN", user.as_bytes()];
        command.extend(arguments);
        let reply = self.server.with(async |session| session.run(&command).await).await?;
        Ok(reply.text() != Some("OK"))
    }

    /// What would stop [`add`](Self::add) from being written down, without writing anything.
    pub async fn check_persistence(&self) -> Result<(), Error> {
        self.server.with(async |session| persist::check(&self.server, session, self.persistence).await).await
    }

    /// Rules that the administrator lacks for changing this user (`+watch`, `~_rot:fence:*`, …); none is carried out. From
    /// Redis 7 on; older servers do not tell, and nothing is said of them.
    pub async fn missing_rights(&self, user: &str) -> Result<Vec<&'static str>, Error> {
        rules::check_name(user)?;
        let key = fence_key(user);
        self.server
            .with(async |session| {
                let me = session.run(&[b"ACL", b"WHOAMI"]).await?;
                let me = me.text().unwrap_or_default().as_bytes();
                let mut missing = Vec::new();
                for (rule, command) in needed(user.as_bytes(), key.as_bytes(), self.persistence) {
                    let ask: Vec<&[u8]> =
                        [b"ACL".as_slice(), b"DRYRUN", me].into_iter().chain(command).collect();
                    match session.ask(&ask).await? {
                        Reply::Error(code, _) if code == "NOPERM" => return Ok(vec!["+acl|dryrun"]),
                        Reply::Error(..) => return Ok(Vec::new()),
                        reply if reply.text() == Some("OK") => {}
                        reply if reply.text().is_some_and(|said| said.contains("access")) => {
                            missing.push("~_rot:fence:*");
                        }
                        _ => missing.push(rule),
                    }
                }
                missing.sort_unstable();
                missing.dedup();
                Ok(missing)
            })
            .await
    }

    async fn change(&self, user: &str, change: Change<'_>, fence: u64) -> Result<Kept, Error> {
        rules::check_name(user)?;
        self.server
            .with(async |session| {
                for _ in 0..ATTEMPTS {
                    if fenced(session, user, change, fence).await? {
                        return self.keep(session, user).await;
                    }
                }
                Err(Error::new(ErrorKind::Unavailable, "others change the same Redis user at the same time"))
            })
            .await
    }

    async fn keep(&self, session: &mut Session<'_>, user: &str) -> Result<Kept, Error> {
        let now = account(session, user).await?;
        let hashes = now.as_ref().map(|account| account.hashes.as_slice());
        persist::keep_surely(&self.server, session, self.persistence, Expected { user, hashes }).await
    }
}

/// What a change of a user asks of Redis: a rule that allows it, and the command.
fn needed<'a>(user: &'a [u8], key: &'a [u8], persistence: Persistence) -> Vec<(&'static str, Vec<&'a [u8]>)> {
    let mut needed: Vec<(&'static str, Vec<&[u8]>)> = vec![
        ("+watch", vec![b"WATCH", key]),
        ("+get", vec![b"GET", key]),
        ("+set", vec![b"SET", key, b"1"]),
        ("+multi", vec![b"MULTI"]),
        ("+exec", vec![b"EXEC"]),
        ("+acl|getuser", vec![b"ACL", b"GETUSER", user]),
        ("+acl|setuser", vec![b"ACL", b"SETUSER", user]),
        ("+client|kill", vec![b"CLIENT", b"KILL", b"USER", user]),
    ];
    match persistence {
        Persistence::AclFile => needed.push(("+acl|save", vec![b"ACL", b"SAVE"])),
        Persistence::Rewrite => needed.push(("+config|rewrite", vec![b"CONFIG", b"REWRITE"])),
        _ => {}
    }
    needed
}

/// Where the largest fence of a user stands.
fn fence_key(user: &str) -> String {
    format!("_rot:fence:{user}")
}

fn words(command: &[String]) -> Result<Vec<&[u8]>, Error> {
    if command.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "a probe is a command with its arguments"));
    }
    Ok(command.iter().map(String::as_bytes).collect())
}

fn unknown_command() -> Error {
    Error::new(ErrorKind::Invalid, "this Redis does not know the command of the probe")
}

/// Makes the change if the fence allows it; `false` if the fence moved meanwhile and nothing was done.
async fn fenced(
    session: &mut Session<'_>,
    user: &str,
    change: Change<'_>,
    fence: u64,
) -> Result<bool, Error> {
    let key = fence_key(user);
    session.run(&[b"WATCH", key.as_bytes()]).await?;
    let seen = seen(session, &key).await?;
    if seen > fence {
        return Err(Error::new(
            ErrorKind::Fenced,
            format!("a newer rotation of this Redis user was here (fence {seen}, ours is {fence})"),
        ));
    }
    let now = account(session, user).await?;
    let rule = checked(now.as_ref(), change)?;
    session.run(&[b"MULTI"]).await?;
    session.run(&[b"SET", key.as_bytes(), fence.to_string().as_bytes()]).await?;
    if let Some(rule) = &rule {
        session.run(&[b"ACL", b"SETUSER", user.as_bytes(), rule.as_bytes()]).await?;
    }
    let done = session.run(&[b"EXEC"]).await?;
    let failed = done.items().iter().find_map(|reply| match reply {
        Reply::Error(code, detail) => Some(session::refused("ACL SETUSER", code, detail)),
        _ => None,
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(!done.is_nil()),
    }
}

/// The rule that makes the change, or `None` if it is so already.
fn checked(now: Option<&Account>, change: Change<'_>) -> Result<Option<String>, Error> {
    let refuse = |kind, message: &str| Err(Error::new(kind, message));
    let Some(now) = now else {
        return refuse(
            ErrorKind::Failed,
            "there is no such user in Redis; make it, or mend its name in the settings",
        );
    };
    let has = |hash: &str| now.hashes.iter().any(|there| there == hash);
    match change {
        _ if now.nopass => refuse(
            ErrorKind::Invalid,
            "this Redis user may log in with any password (`nopass`): give it one before it is rotated",
        ),
        Change::Add(hash) if has(hash) => Ok(None),
        Change::Add(_) if now.hashes.len() >= MAX_PASSWORDS => refuse(
            ErrorKind::Failed,
            "this Redis user has 8 passwords already; remove those that nobody uses",
        ),
        Change::Add(hash) => Ok(Some(format!("#{hash}"))),
        Change::Remove(hash) if !has(hash) => Ok(None),
        Change::Remove(_) if now.hashes.len() == 1 => {
            refuse(ErrorKind::Invalid, "this is the only password of the Redis user; it is not removed")
        }
        Change::Remove(hash) => Ok(Some(format!("!{hash}"))),
    }
}

/// The largest fence that was here; 0: none.
async fn seen(session: &mut Session<'_>, key: &str) -> Result<u64, Error> {
    let reply = session.run(&[b"GET", key.as_bytes()]).await?;
    if reply.is_nil() {
        return Ok(0);
    }
    reply.text().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::new(
            ErrorKind::Failed,
            format!("the key {key} in Redis should hold a number; look who writes it"),
        )
    })
}

/// Reads `ACL GETUSER`, whose answer is a flat list of names and values.
async fn account(session: &mut Session<'_>, user: &str) -> Result<Option<Account>, Error> {
    let reply = session.run(&[b"ACL", b"GETUSER", user.as_bytes()]).await?;
    if reply.is_nil() {
        return Ok(None);
    }
    let words = |name| reply.field(name).map(Reply::items).unwrap_or_default().iter().filter_map(Reply::text);
    let flag = |wanted: &str| words("flags").any(|flag| flag == wanted);
    Ok(Some(Account {
        enabled: flag("on"),
        nopass: flag("nopass"),
        hashes: words("passwords").map(str::to_owned).collect(),
    }))
}
