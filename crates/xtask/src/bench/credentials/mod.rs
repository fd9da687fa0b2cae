//! Credentials that the server makes for somebody: how fast beside a plain client of the same PostgreSQL that sends the
//! same statements, how fast they end, and what the sample's clients feel of rotations.

mod expiry;
mod felt;
mod mock;
mod plain;
mod postgres;

use std::path::Path;

use anyhow::{Result, bail};
use coffre_ambient::{Clock as _, SystemClock};
use serde_json::json;

use self::plain::{Plain, rate};
use self::postgres::{ADMIN, OWNER, PASSWORD, Postgres};
use super::load::{Plan, Work};
use super::report::{Report, mark, median};
use super::server::Server;
use super::{Options, note, setup};

/// The rate of the plain client that is reached, at least.
const TARGET: f64 = 0.8;
/// Requests under way, and as many connections to the database, on both sides.
const CLIENTS: [usize; 3] = [1, 8, 32];
const MOUNT: &str = "database";
const TOKEN_POLICY: &str = "path \"+/creds/*\" { capabilities = [\"read\"] }";

/// Measures all of it into the report.
pub(super) fn measure(
    options: &Options,
    binary: &Path,
    server: &mut Server,
    dir: &Path,
    report: &mut Report,
) -> Result<()> {
    match Postgres::start(dir)? {
        Some(database) => making(options, server, &database, report)?,
        None => report.application("dynamic credentials: skipped, PostgreSQL is not installed".to_owned()),
    }
    expiry::measure(server, options.leases, report)?;
    server.process.kill()?;
    felt::measure(options, binary, report)
}

/// Users made and removed in turns with the plain client.
fn making(options: &Options, server: &Server, database: &Postgres, report: &mut Report) -> Result<()> {
    setup::call(server, "POST", &format!("/v1/sys/mounts/{MOUNT}"), Some(&json!({ "type": "database" })))?;
    let token = setup::token_of(server, "creds", TOKEN_POLICY)?;
    for clients in CLIENTS {
        note(&format!("users of PostgreSQL, {clients} at once"));
        let name = format!("by{clients}");
        connection(server, MOUNT, &name, &database.port, (ADMIN, PASSWORD), clients)?;
        role(server, MOUNT, &name, &name, 24 * 3600)?;
        let plain = Plain::open(database, clients)?;
        let mut rounds = Vec::new();
        let side = Side { options, server, database, name: &name, token: &token, clients };
        for number in 0..options.rounds {
            // Each is first as often as the other: the database's tables grow.
            let early = if number % 2 == 0 { Some(of_plain(options, &plain)?) } else { None };
            let ours = side.run()?;
            let theirs = match early {
                Some(early) => early,
                None => of_plain(options, &plain)?,
            };
            rounds.push(Round { made: (ours.0, theirs.0), removed: (ours.1, theirs.1) });
        }
        line(report, "made", clients, &rounds, |round| round.made);
        line(report, "removed", clients, &rounds, |round| round.removed);
    }
    Ok(())
}

/// Users a second: ours, and the plain client's.
struct Round {
    made: (f64, f64),
    removed: (f64, f64),
}

/// Made and removed in a second by the plain client.
fn of_plain(options: &Options, plain: &Plain) -> Result<(f64, f64)> {
    Ok((plain.make(&creation(), options.seconds)?, plain.remove()?))
}

/// Our side of a round.
struct Side<'a> {
    options: &'a Options,
    server: &'a Server,
    database: &'a Postgres,
    name: &'a str,
    token: &'a str,
    clients: usize,
}

impl Side<'_> {
    /// Made and removed in a second. It is looked whether the database has them, and has them no more.
    fn run(&self) -> Result<(f64, f64)> {
        let Self { server, database, name, .. } = self;
        let plan = Plan {
            address: server.address.clone(),
            connections: self.clients,
            seconds: self.options.seconds,
            token: self.token.to_owned(),
            work: Work::Make { path: format!("/v1/{MOUNT}/creds/{name}"), count: 0 },
        };
        let figures = plan.run()?;
        let there = database.users("v-")?;
        if there != figures.requests {
            bail!("{there} users are there after {} answers", figures.requests);
        }
        let start = SystemClock.boot();
        let below = format!("/v1/sys/leases/revoke-prefix/{MOUNT}/creds/{name}");
        setup::call(server, "POST", &below, Some(&json!({ "sync": true })))?;
        let removed = rate(figures.requests, start);
        let left = database.users("v-")?;
        if left != 0 {
            bail!("{left} users are left after their leases were revoked");
        }
        Ok((figures.per_second(), removed))
    }
}

fn line(
    report: &mut Report,
    what: &str,
    clients: usize,
    rounds: &[Round],
    of: impl Fn(&Round) -> (f64, f64),
) {
    let ratio = median(rounds, |round| of(round).0 / of(round).1);
    report.application(format!(
        "users of PostgreSQL {what:<8} {clients:>3} at once {:>8.0} a second, plain client {:>8.0}  ratio {ratio:.2} {} {TARGET:.2}",
        median(rounds, |round| of(round).0),
        median(rounds, |round| of(round).1),
        mark(ratio >= TARGET, "≥"),
    ));
}

/// What both sides run.
fn creation() -> Vec<String> {
    vec![
        "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'".to_owned(),
        format!("GRANT {OWNER} TO \"{{{{name}}}}\""),
    ]
}

/// A connection with so many connections to the database.
fn connection(
    server: &Server,
    mount: &str,
    name: &str,
    port: &str,
    (user, password): (&str, &str),
    most: usize,
) -> Result<()> {
    let body = json!({
        "plugin_name": "postgresql-database-plugin",
        "allowed_roles": "*",
        "connection_url": format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/postgres?sslmode=disable"),
        "username": user,
        "password": password,
        "max_open_connections": most,
        "max_idle_connections": most,
    });
    setup::call(server, "POST", &format!("/v1/{mount}/config/{name}"), Some(&body)).map(drop)
}

/// A role of it, with the statements that both sides run.
fn role(server: &Server, mount: &str, name: &str, connection: &str, seconds: u64) -> Result<()> {
    let body = json!({
        "db_name": connection,
        "creation_statements": creation(),
        "default_ttl": seconds,
        "max_ttl": seconds,
    });
    setup::call(server, "POST", &format!("/v1/{mount}/roles/{name}"), Some(&body)).map(drop)
}
