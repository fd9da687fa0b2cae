//! The end of a user: no login, commit, end its sessions, hand over what it owns, drop.

use std::sync::Arc;
use std::time::Duration;

use coffre_secret::SecretText;
use tokio_postgres::types::Type;

use super::admin::LOCKS;
use super::connect::Session;
use super::failure::Secrets;
use super::pool::Pool;
use crate::statements::{self, Dialect, Values, identifier, literal};
use crate::{Error, ErrorKind, Plugin, names};

/// How often sessions that were told to end are looked for again, and how long is waited each time.
const LOOKS: u32 = 40;
const BETWEEN: Duration = Duration::from_millis(25);

/// Ends a user by `list`, or by default. Whoever is not there is a success.
pub(super) async fn user(pool: &Arc<Pool>, name: &str, list: &[String]) -> Result<(), Error> {
    names::check(Plugin::Postgresql, name)?;
    let values = Values { name: Some(name), ..Values::default() };
    let sql = statements::render(list, Dialect::Postgresql, &values)?;
    let lease = pool.lease().await?;
    let closed = no_login(&lease, name).await;
    if let Err(error) = &closed {
        // Whoever did not get the lock does not know whether the user is there.
        if error.kind() == ErrorKind::Unavailable {
            return closed;
        }
        if !exists(&lease, name).await? {
            lease.give_back();
            return Ok(());
        }
    }
    if sql.is_empty() {
        closed?;
        by_default(&lease, pool, name).await?;
    } else {
        // The statements may be all that this administrator is allowed, a function of the database for example.
        let ended = match closed {
            Ok(()) => end_sessions(&lease, pool.user(), name).await,
            denied => denied,
        };
        match ended {
            Err(error) if error.kind() != ErrorKind::Denied => return Err(error),
            _ => lease.batch(&joined(&sql), &Secrets::of([])).await?,
        }
    }
    lease.give_back();
    Ok(())
}

/// What ends a user who cannot log in any more. Mostly there is neither a session nor anything owned: both is asked at
/// once, in this order.
async fn by_default(session: &Session, pool: &Arc<Pool>, name: &str) -> Result<(), Error> {
    let admin = pool.user();
    let (none, owns) = futures_util::join!(terminate(session, name), owned(session, name));
    let owns = if matches!(none, Ok(0)) {
        owns?
    } else {
        end_sessions(session, admin, name).await?;
        owned(session, name).await?
    };
    if owns.here || !owns.others.is_empty() {
        join(session, admin, name).await?;
    }
    if owns.here {
        session.batch(&transaction(&hand_over_sql(session, admin, name).await?), &Secrets::of([])).await?;
    }
    for database in owns.others {
        let there = pool.connect(&database).await?;
        let sql = hand_over_sql(&there, admin, name).await?;
        there.batch(&transaction(&sql), &Secrets::of([])).await?;
    }
    dropped(session, name).await
}

/// One transaction: nobody else is making or unmaking the user, and nobody logs in as it any more. It need not outlive a
/// crash of the server: what is done on top of it does, and whoever did not come that far begins again.
async fn no_login(session: &Session, name: &str) -> Result<(), Error> {
    let sql = format!(
        "SET LOCAL synchronous_commit = off; {}; ALTER ROLE {} NOLOGIN",
        settled(name),
        identifier(name)
    );
    session.batch(&sql, &Secrets::of([])).await
}

/// Waits until nobody is making or unmaking a user of that name: whoever gave up waiting for a user to be made does not
/// know how that ends, and must not take "not there yet" for "not there". Held to the end of the transaction; the lock
/// meets those of [`Admin`](super::Admin) at worst, which costs a wait.
pub(super) fn settled(name: &str) -> String {
    let name = literal(name);
    format!("SELECT pg_catalog.pg_advisory_xact_lock({LOCKS}, pg_catalog.hashtext({name}))")
}

/// Whether there is a role of that name.
pub(super) async fn exists(session: &Session, name: &str) -> Result<bool, Error> {
    let found = session
        .value::<bool>(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1::text::name)",
            &[(&name, Type::TEXT)],
        )
        .await?;
    Ok(found.unwrap_or(false))
}

/// Whoever is logged in as this user is thrown out.
async fn end_sessions(session: &Session, admin: &str, name: &str) -> Result<(), Error> {
    if terminate(session, name).await.is_err() {
        // Ending another's sessions and taking over what it owns needs membership, which the right to make roles
        // includes the right to give (in PostgreSQL 16 to the maker alone).
        join(session, admin, name).await?;
        terminate(session, name).await?;
    }
    Ok(())
}

/// Makes the administrator a member, if it is not one.
async fn join(session: &Session, admin: &str, name: &str) -> Result<(), Error> {
    let member = session
        .value::<bool>(
            "SELECT pg_catalog.pg_has_role($1::text::name, $2::text::name, 'USAGE')",
            &[(&admin, Type::TEXT), (&name, Type::TEXT)],
        )
        .await?;
    if member == Some(true) {
        return Ok(());
    }
    session.batch(&format!("GRANT {} TO {}", identifier(name), identifier(admin)), &Secrets::of([])).await
}

/// Ends all sessions of a role that cannot log in, and waits until they are gone; how many there were. One that can log in
/// is in use again, by another's doing, and is left alone.
pub(super) async fn terminate(session: &Session, name: &str) -> Result<u64, Error> {
    let mut ended = 0;
    for look in 0..LOOKS {
        let told = session
            .value::<i64>(
                "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
                 WHERE usename = $1::text::name AND pid <> pg_catalog.pg_backend_pid() AND NOT EXISTS \
                 (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1::text::name AND rolcanlogin)",
                &[(&name, Type::TEXT)],
            )
            .await?
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or(0);
        if told == 0 {
            return Ok(ended);
        }
        ended = told.max(ended);
        if look > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
    }
    Err(Error::new(ErrorKind::Unavailable, "sessions of the user do not end; they are told to again later"))
}

/// Where a user owns something or was given rights.
struct Owned {
    /// In this database, or in none.
    here: bool,
    /// The names of other databases.
    others: Vec<String>,
}

async fn owned(session: &Session, name: &str) -> Result<Owned, Error> {
    let rows = session
        .query(
            "SELECT DISTINCT s.dbid = 0 OR d.datname = pg_catalog.current_database(), d.datname::text \
             FROM pg_catalog.pg_shdepend s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid \
             WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass \
             AND s.refobjid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1::text::name)",
            &[(&name, Type::TEXT)],
        )
        .await?;
    let mut others = Vec::new();
    let mut here = false;
    for row in rows {
        let ours: Option<bool> = row.try_get(0).ok();
        let database: Option<String> = row.try_get(1).ok();
        match (ours, database) {
            (Some(false), Some(database)) => others.push(database),
            _ => here = true,
        }
    }
    Ok(Owned { here, others })
}

/// To the role that its sessions begin as (`ALTER ROLE … SET role`), else the first it is a member of that is no user
/// itself, else the administrator: nothing that was made in its name is lost.
async fn hand_over_sql(session: &Session, admin: &str, name: &str) -> Result<String, Error> {
    let heir = session
        .value::<String>(
            "SELECT coalesce( \
               (SELECT r.rolname::text FROM pg_catalog.pg_db_role_setting s \
                  CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c(setting) \
                  JOIN pg_catalog.pg_roles r ON 'role=' || r.rolname::text = c.setting \
                  WHERE s.setrole = u.oid AND pg_catalog.pg_has_role(r.oid, 'USAGE') LIMIT 1), \
               (SELECT r.rolname::text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.roleid \
                  WHERE m.member = u.oid AND NOT r.rolcanlogin AND r.rolname !~ '^pg_' \
                  AND pg_catalog.pg_has_role(r.oid, 'USAGE') ORDER BY r.oid LIMIT 1)) \
             FROM pg_catalog.pg_roles u WHERE u.rolname = $1::text::name",
            &[(&name, Type::TEXT)],
        )
        .await?;
    let (role, heir) = (identifier(name), identifier(heir.as_deref().unwrap_or(admin)));
    Ok(format!("REASSIGN OWNED BY {role} TO {heir};\nDROP OWNED BY {role}"))
}

async fn dropped(session: &Session, name: &str) -> Result<(), Error> {
    let done = session.batch(&format!("DROP ROLE IF EXISTS {}", identifier(name)), &Secrets::of([])).await;
    match done {
        // Somebody else removed it meanwhile.
        Err(error) if !exists(session, name).await? => {
            tracing::debug!(%error, "the user was removed by another");
            Ok(())
        }
        done => done,
    }
}

fn transaction(sql: &str) -> String {
    format!("BEGIN;\n{sql};\nCOMMIT")
}

fn joined(sql: &[SecretText]) -> String {
    // EXPOSE: there is no password in statements that remove a user.
    let all: Vec<&str> = sql.iter().map(|one| one.expose().as_str()).collect();
    transaction(&all.join(";\n"))
}
