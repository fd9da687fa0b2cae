//! The administrator of users that stay, for whoever rotates their passwords.
//!
//! Two rotators may believe that it is their turn; one may have slept. So each change carries a fence, a number that grows
//! with each turn, and the role remembers the largest in its comment: lock, read it, refuse if it is larger than ours,
//! change, write it down, in one transaction. Needs `CREATEROLE` (from PostgreSQL 16 with the admin option on the roles).

use std::sync::Arc;

use coffre_ambient::{Entropy, ids};
use coffre_secret::SecretText;
use tokio_postgres::types::Type;

use super::connect::Session;
use super::failure::{self, Secrets};
use super::pool::Pool;
use super::{alter_password, no_nul, remove, verifier};
use crate::statements::{identifier, literal};
use crate::{Error, ErrorKind, Plugin, Settings, names};

/// How the line with the fence begins in a role's comment. The other lines are somebody else's and stay.
const FENCE: &str = "coffre fence ";
/// The namespace of our advisory locks ("coff"), so that they meet nobody else's; the second number is the role's.
pub(super) const LOCKS: i32 = 0x636f_6666;

/// A PostgreSQL server as its administrator, or as a consumer sees it: host, port and database are the settings'.
///
/// Every call ends within the settings' time, and may be repeated. Names are quoted; nothing in them is run.
pub struct Admin {
    pool: Arc<Pool>,
}

/// A password to be set.
pub struct FencedPassword<'a> {
    /// The role, which exists.
    pub role: &'a str,
    /// What it will log in with.
    pub password: &'a SecretText,
    /// Ours; a larger one in the database refuses the change.
    pub fence: u64,
    /// A role that it is made to act as at the beginning of each session (`ALTER ROLE … SET role`), so that what one of a
    /// pair makes belongs to both.
    pub owner: Option<&'a str>,
}

/// What a user must be able to do before anybody is sent to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe<'a> {
    /// `current_user` of a new session.
    pub owner: Option<&'a str>,
    /// Tables and the privilege on each, for example `("public.orders", "INSERT")`.
    pub privileges: &'a [(&'a str, &'a str)],
    /// A query that must succeed; `SELECT 1` without.
    pub read: Option<&'a str>,
    /// A statement that must succeed and is rolled back; a temporary table without.
    pub write: Option<&'a str>,
}

impl Admin {
    /// Checks the settings; connects nothing.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        Ok(Self { pool: Arc::new(Pool::open(settings)?) })
    }

    pub(super) const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Connects and asks something trivial.
    pub async fn verify(&self) -> Result<(), Error> {
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                lease.query("SELECT 1::int8", &[]).await?;
                lease.give_back();
                Ok(())
            })
            .await
    }

    /// Sets a password and lets the role log in. With the same fence it may be repeated. [`ErrorKind::Fenced`]: a newer
    /// holder was here, and nothing was changed.
    pub async fn set_password(&self, change: &FencedPassword<'_>) -> Result<(), Error> {
        no_nul(change.password)?;
        let verifier = verifier(change.password);
        let mut sql = vec![alter_password(change.role, &verifier, Some(true))];
        if let Some(owner) = change.owner {
            let role = identifier(change.role);
            sql.push(SecretText::new(format!("ALTER ROLE {role} SET role = {}", literal(owner))));
        }
        let done =
            self.fenced(change.role, change.fence, &sql, &Secrets::of([change.password, &verifier])).await;
        done.map_err(failure::of_password)
    }

    /// Nobody logs in as this role any more: `NOLOGIN`, and a verifier of a password that nobody knows. Sessions go on.
    pub async fn lock_out(&self, role: &str, fence: u64, entropy: &dyn Entropy) -> Result<(), Error> {
        let unknown = ids::base62(entropy, 43).map(SecretText::new);
        let unknown = unknown.map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))?;
        let sql = [alter_password(role, &verifier(&unknown), Some(false))];
        self.fenced(role, fence, &sql, &Secrets::of([])).await
    }

    /// The largest fence that the role has seen; 0 before the first. [`ErrorKind::Failed`]: there is no such role.
    pub async fn fence(&self, role: &str) -> Result<u64, Error> {
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                let (_, comment) = comment(&lease, role).await?;
                lease.give_back();
                Ok(fence_in(comment.as_deref()))
            })
            .await
    }

    /// Open sessions of this role.
    pub async fn sessions(&self, role: &str) -> Result<u64, Error> {
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                let count = lease
                    .value::<i64>(
                        "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = $1::text::name",
                        &[(&role, Type::TEXT)],
                    )
                    .await?;
                lease.give_back();
                Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
            })
            .await
    }

    /// Whether there is such a role.
    pub async fn exists(&self, role: &str) -> Result<bool, Error> {
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                let found = remove::exists(&lease, role).await?;
                lease.give_back();
                Ok(found)
            })
            .await
    }

    /// Ends all sessions of a role that was locked out; how many there were. One that can log in again is left alone:
    /// whoever let it is newer than we are. Needs membership in it, or in `pg_signal_backend`.
    pub async fn terminate(&self, role: &str) -> Result<u64, Error> {
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                let ended = remove::terminate(&lease, role).await?;
                lease.give_back();
                Ok(ended)
            })
            .await
    }

    /// Whether this user and password log in here. `Ok(false)` only if the server said so.
    pub async fn logs_in(&self, user: &str, password: &SecretText) -> Result<bool, Error> {
        self.pool
            .timed(async {
                match self.pool.login(user, password).await {
                    Ok(_) => Ok(true),
                    Err(error) if error.kind() == ErrorKind::Unauthenticated => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await
    }

    /// Logs in and does what the probe says; nothing of it stays. [`ErrorKind::Unauthenticated`]: no login.
    /// [`ErrorKind::Denied`] names what is missing.
    pub async fn probe(&self, user: &str, password: &SecretText, probe: &Probe<'_>) -> Result<(), Error> {
        self.pool
            .timed(async {
                let session = self.pool.login(user, password).await?;
                acts_as(&session, probe.owner).await?;
                for (table, privilege) in probe.privileges {
                    has(&session, table, privilege).await?;
                }
                let read = probe.read.unwrap_or("SELECT 1");
                let write = probe.write.unwrap_or("CREATE TEMPORARY TABLE coffre_probe (one int)");
                rolled_back(&session, read, "probe's read").await?;
                rolled_back(&session, write, "probe's write").await
            })
            .await
    }

    /// All statements, and the fence, or nothing.
    async fn fenced(
        &self,
        role: &str,
        fence: u64,
        sql: &[SecretText],
        secrets: &Secrets,
    ) -> Result<(), Error> {
        names::check(Plugin::Postgresql, role)?;
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                lease.batch("BEGIN", secrets).await?;
                let (id, _) = comment(&lease, role).await?;
                lock(&lease, id).await?;
                // Again, now that nobody else writes it.
                let (_, comment) = comment(&lease, role).await?;
                let theirs = fence_in(comment.as_deref());
                if theirs > fence {
                    return Err(Error::new(
                        ErrorKind::Fenced,
                        format!("a newer rotation (fence {theirs}) has changed this role; ours is {fence}"),
                    ));
                }
                let mut whole = SecretText::new(String::new());
                for one in sql {
                    // EXPOSE: to be sent.
                    whole.expose_mut().push_str(one.expose());
                    whole.expose_mut().push_str(";\n");
                }
                let comment = literal(&with_fence(comment.as_deref(), fence));
                whole
                    .expose_mut()
                    .push_str(&format!("COMMENT ON ROLE {} IS {comment};\nCOMMIT", identifier(role)));
                lease.batch(whole.expose(), secrets).await?;
                lease.give_back();
                Ok(())
            })
            .await
    }
}

/// The role's number and comment.
async fn comment(session: &Session, role: &str) -> Result<(u32, Option<String>), Error> {
    let rows = session
        .query(
            "SELECT oid, pg_catalog.shobj_description(oid, 'pg_authid') FROM pg_catalog.pg_roles \
             WHERE rolname = $1::text::name",
            &[(&role, Type::TEXT)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| {
        Error::new(
            ErrorKind::Failed,
            "the role does not exist in PostgreSQL: make it first (CREATE ROLE … NOLOGIN)",
        )
    })?;
    let read = |error| failure::of(&error, &[]);
    Ok((row.try_get(0).map_err(read)?, row.try_get(1).map_err(read)?))
}

async fn lock(session: &Session, id: u32) -> Result<(), Error> {
    let id = i32::from_ne_bytes(id.to_ne_bytes());
    let sql = "SELECT pg_catalog.pg_advisory_xact_lock($1, $2)::text";
    session.query(sql, &[(&LOCKS, Type::INT4), (&id, Type::INT4)]).await.map(drop)
}

fn fence_in(comment: Option<&str>) -> u64 {
    let lines = comment.unwrap_or_default().lines();
    lines.filter_map(|line| line.strip_prefix(FENCE)?.trim().parse().ok()).max().unwrap_or(0)
}

fn with_fence(comment: Option<&str>, fence: u64) -> String {
    let others = comment.unwrap_or_default().lines().filter(|line| !line.starts_with(FENCE));
    let mut lines: Vec<String> = others.map(str::to_owned).collect();
    lines.push(format!("{FENCE}{fence}"));
    lines.join("\n")
}

async fn acts_as(session: &Session, owner: Option<&str>) -> Result<(), Error> {
    let Some(owner) = owner else { return Ok(()) };
    let current = session.value::<String>("SELECT current_user::text", &[]).await?;
    if current.as_deref() == Some(owner) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Denied,
        format!(
            "a session of this user does not act as {owner}: GRANT {owner} to it and ALTER ROLE … SET role = {owner}"
        ),
    ))
}

async fn has(session: &Session, table: &str, privilege: &str) -> Result<(), Error> {
    let has = session
        .value::<bool>(
            "SELECT pg_catalog.has_table_privilege($1, $2)",
            &[(&table, Type::TEXT), (&privilege, Type::TEXT)],
        )
        .await?;
    if has == Some(true) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Denied, format!("this user has no {privilege} on {table}")))
}

async fn rolled_back(session: &Session, sql: &str, what: &str) -> Result<(), Error> {
    session.batch("BEGIN", &Secrets::of([])).await?;
    let done = session.batch(sql, &Secrets::of([])).await;
    let done = done.map_err(|error| Error::new(error.kind(), format!("the {what} failed: {error}")));
    session.batch("ROLLBACK", &Secrets::of([])).await?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fence_lives_beside_other_comments() {
        assert_eq!(fence_in(None), 0);
        assert_eq!(with_fence(None, 7), "coffre fence 7");
        let both = with_fence(Some("the shop's\ncoffre fence 7"), 9);
        assert_eq!(both, "the shop's\ncoffre fence 9");
        assert_eq!(fence_in(Some(&both)), 9);
        assert_eq!(fence_in(Some("coffre fence x\ncoffre fence 3")), 3);
    }
}
