//! What a plain client reaches that makes and removes the same users by the same statements: one thread, connections
//! that stay open, one message for each transaction, a verifier that was computed beforehand.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, Result};
use coffre_ambient::{Clock as _, SystemClock};
use coffre_database::postgresql::verifier;
use coffre_database::statements::{Dialect, Values, render};
use coffre_secret::SecretText;
use futures_util::future::try_join_all;
use tokio::runtime::Runtime;
use tokio_postgres::Client;

use super::postgres::{ADMIN, Postgres, connect};

/// Stands for the name in statements that are rendered once.
const PLACE: &str = "a_new_user";

/// Connections of a plain client.
pub(super) struct Plain {
    runtime: Runtime,
    clients: Vec<Client>,
    made: Cell<u64>,
}

impl Plain {
    pub(super) fn open(database: &Postgres, connections: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let clients =
            runtime.block_on(try_join_all((0..connections).map(|_| connect(&database.port, ADMIN))))?;
        Ok(Self { runtime, clients, made: Cell::new(0) })
    }

    /// Makes users for so long by a role's statements; how many in a second.
    pub(super) fn make(&self, creation: &[String], seconds: u64) -> Result<f64> {
        let verifier = verifier(&SecretText::from("kq7-R2mW9x_Lb4TzVd0Y"));
        let values = Values {
            name: Some(PLACE),
            password: Some(&verifier),
            expiration: Some("2099-01-01 00:00:00+00"),
        };
        let rendered = render(creation, Dialect::Postgresql, &values)?;
        // EXPOSE: a verifier of nobody's password, to be sent.
        let all: Vec<&str> = rendered.iter().map(|one| one.expose().as_str()).collect();
        let template = format!("BEGIN;\n{};\nCOMMIT", all.join(";\n"));
        let start = SystemClock.boot();
        let end = start + Duration::from_secs(seconds);
        let before = self.made.get();
        self.runtime.block_on(try_join_all(self.clients.iter().map(async |client| {
            while SystemClock.boot() < end {
                let number = self.made.replace(self.made.get() + 1);
                client
                    .batch_execute(&template.replace(PLACE, &name(number)))
                    .await
                    .context("making a user")?;
            }
            anyhow::Ok(())
        })))?;
        Ok(rate(self.made.get() - before, start))
    }

    /// Removes all of them by the least that does what the server does: no login, end of sessions, drop; how many in a
    /// second.
    pub(super) fn remove(&self) -> Result<f64> {
        let left = Cell::new(self.made.get());
        let (start, count) = (SystemClock.boot(), left.get());
        self.runtime.block_on(try_join_all(self.clients.iter().map(async |client| {
            while let Some(number) = left.get().checked_sub(1) {
                left.set(number);
                remove(client, &name(number)).await.context("removing a user")?;
            }
            anyhow::Ok(())
        })))?;
        self.made.set(0);
        Ok(rate(count, start))
    }
}

async fn remove(client: &Client, name: &str) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!("SET LOCAL synchronous_commit = off; ALTER ROLE \"{name}\" NOLOGIN"))
        .await?;
    client
        .batch_execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'; DROP ROLE \"{name}\""
        ))
        .await
}

fn name(number: u64) -> String {
    // As long as the server's names are.
    format!("p-bench-creds-{number:020}-1790000000")
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn rate(count: u64, start: Duration) -> f64 {
    count as f64 / SystemClock.boot().saturating_sub(start).as_secs_f64()
}
