//! Columns of encrypted texts, for whoever changes their key: gone through by primary key, row by row, without ever
//! overwriting what somebody else has written in between.
//!
//! Rows are read after the last key (a keyset, no `OFFSET`), so that a page costs the same at the end of a large table as at
//! its beginning, and a job that was killed goes on where it was. A text is replaced only if it is the one that was read:
//! a lost race changes nothing, and the row is met again. Names come from a manifest and are quoted as identifiers; keys
//! and texts travel as values, never as a part of a statement. Each call ends within the timeout of the settings.

use std::sync::Arc;

use coffre_secret::SecretText;
use tokio_postgres::types::Type;

use super::pool::Pool;
use crate::statements::identifier;
use crate::{Error, ErrorKind, Settings};

/// Schemas that are not the application's.
const SYSTEM: &str = "('pg_catalog', 'information_schema', 'pg_toast')";

/// A database with such columns, reached as somebody who may read and write them.
pub struct Texts {
    pool: Arc<Pool>,
}

/// A column of one table. The names are as the catalogue has them; each is quoted.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// `notes`, or with its schema `app.notes`.
    pub table: &'a str,
    /// The column by which rows are gone through: unique, never null.
    pub key: &'a str,
    /// The column of the texts: `text`, `varchar` or `char`.
    pub column: &'a str,
}

/// One row. Texts of keys are as the database writes them.
#[derive(Debug)]
pub struct Row {
    /// The primary key.
    pub key: String,
    /// What stands in the column.
    pub text: SecretText,
}

impl Texts {
    /// Checks the settings; connects nothing. [`ErrorKind::Invalid`] names the setting that cannot be.
    ///
    /// The user needs `SELECT` and `UPDATE` on the columns, and `SELECT` on all others that the search for texts is to
    /// reach; those of which it may read nothing are left out without a word.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        Ok(Self { pool: Arc::new(Pool::open(settings)?) })
    }

    /// The next rows after a key, at most `limit`, in the order of the key. Rows without a text are left out.
    ///
    /// A row that is inserted behind the key while the column is gone through is not met; whoever must know that none is
    /// left goes through it again, or counts.
    pub async fn after(&self, of: &Column<'_>, key: Option<&str>, limit: u32) -> Result<Vec<Row>, Error> {
        let (table, pk, column) = (name(of.table), identifier(of.key), identifier(of.column));
        // With the table's name: a bare name would mean the column of the answer, which is sorted as text.
        let select =
            format!("SELECT o.{pk}::text, o.{column}::text FROM {table} o WHERE o.{column} IS NOT NULL");
        let end = format!("ORDER BY o.{pk} LIMIT {limit}");
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                let rows = match key {
                    None => lease.query(&format!("{select} {end}"), &[]).await?,
                    Some(key) => {
                        let kind = kind_of(&lease, of).await?;
                        let sql = format!("{select} AND o.{pk} > $1::{kind} {end}");
                        lease.query(&sql, &[(&key, Type::TEXT)]).await?
                    }
                };
                lease.give_back();
                rows.iter().map(|row| row_of(row).ok_or_else(|| not_text(of))).collect()
            })
            .await
    }

    /// Puts a text in the place of the one that was read, unless something else stands there by now: then `false`.
    pub async fn replace(&self, of: &Column<'_>, row: &Row, new: &SecretText) -> Result<bool, Error> {
        let (table, pk, column) = (name(of.table), identifier(of.key), identifier(of.column));
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                let kind = kind_of(&lease, of).await?;
                let sql = format!(
                    "UPDATE {table} SET {column} = $3 WHERE {pk} = $1::{kind} AND {column}::text = $2 RETURNING 1::int4"
                );
                // EXPOSE: ciphertexts, sent as values and not as a part of the statement.
                let (old, new) = (row.text.expose().as_str(), new.expose().as_str());
                let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
                    [(&row.key, Type::TEXT), (&old, Type::TEXT), (&new, Type::TEXT)];
                let changed = lease.query(&sql, &values).await?;
                lease.give_back();
                Ok(!changed.is_empty())
            })
            .await
    }

    /// Rows whose text begins with this, at most `limit`, in no order.
    pub async fn beginning_with(&self, of: &Column<'_>, prefix: &str, limit: u32) -> Result<Vec<Row>, Error> {
        let (table, pk, column) = (name(of.table), identifier(of.key), identifier(of.column));
        let sql = format!(
            "SELECT {pk}::text, {column}::text FROM {table} WHERE starts_with({column}::text, $1) LIMIT {limit}"
        );
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                let rows = lease.query(&sql, &[(&prefix, Type::TEXT)]).await?;
                lease.give_back();
                rows.iter().map(|row| row_of(row).ok_or_else(|| not_text(of))).collect()
            })
            .await
    }

    /// How many texts of the column begin with this, in one look at one moment.
    pub async fn count(&self, of: &Column<'_>, prefix: &str) -> Result<u64, Error> {
        let (table, column) = (name(of.table), identifier(of.column));
        let sql = format!("SELECT count(*)::int8 FROM {table} WHERE starts_with({column}::text, $1)");
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                let count = lease.value::<i64>(&sql, &[(&prefix, Type::TEXT)]).await?;
                lease.give_back();
                Ok(u64::try_from(count.unwrap_or(0)).unwrap_or(0))
            })
            .await
    }

    /// At most 10,000 columns are looked at, each until its first such text. An index on the column is of no use here, so
    /// that a large table without any costs a whole read of it.
    ///
    /// All columns of texts in which some text begins with one of these: `schema`, `table`, `column` of each. Columns
    /// that we may not read are left out.
    pub async fn columns_with(&self, prefixes: &[&str]) -> Result<Vec<(String, String, String)>, Error> {
        let columns = format!(
            "SELECT c.table_schema::text, c.table_name::text, c.column_name::text FROM information_schema.columns c \
             JOIN information_schema.tables t USING (table_schema, table_name) WHERE t.table_type = 'BASE TABLE' \
             AND c.data_type IN ('text', 'character varying', 'character') AND c.table_schema NOT IN {SYSTEM} \
             AND has_column_privilege(format('%I.%I', c.table_schema, c.table_name), c.column_name, 'SELECT') \
             ORDER BY 1, 2, 3 LIMIT 10000"
        );
        let lease = self.pool.lease().await?;
        let mut found = Vec::new();
        for row in self.pool.timed(lease.query(&columns, &[])).await? {
            let text = |at: usize| row.try_get::<_, String>(at).ok();
            let (Some(schema), Some(table), Some(column)) = (text(0), text(1), text(2)) else { continue };
            let looks = prefixes.iter().enumerate().map(|(at, _)| {
                format!("starts_with({}::text, ${})", identifier(&column), at.saturating_add(1))
            });
            let any = looks.collect::<Vec<_>>().join(" OR ");
            let of = format!("{}.{}", identifier(&schema), identifier(&table));
            let sql = format!("SELECT 1::int8 FROM {of} WHERE {any} LIMIT 1");
            let values: Vec<(&(dyn tokio_postgres::types::ToSql + Sync), Type)> = prefixes
                .iter()
                .map(|prefix| (prefix as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT))
                .collect();
            if self.pool.timed(lease.value::<i64>(&sql, &values)).await?.is_some() {
                found.push((schema, table, column));
            }
        }
        lease.give_back();
        Ok(found)
    }

    /// How long the oldest transaction of the database has been open, in whole seconds.
    pub async fn oldest_transaction(&self) -> Result<u64, Error> {
        let sql = "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::int8 \
                   FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.pool
            .timed(async {
                let lease = self.pool.lease().await?;
                let seconds = lease.value::<i64>(sql, &[]).await?;
                lease.give_back();
                Ok(u64::try_from(seconds.unwrap_or(0)).unwrap_or(0))
            })
            .await
    }
}

/// The key's type as the server writes it, to read a key of it from text.
async fn kind_of(session: &super::connect::Session, of: &Column<'_>) -> Result<String, Error> {
    let sql = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute \
               WHERE attrelid = to_regclass($1) AND attname = $2 AND attnum > 0 AND NOT attisdropped";
    let table = name(of.table);
    let kind = session.value::<String>(sql, &[(&table, Type::TEXT), (&of.key, Type::TEXT)]).await?;
    kind.ok_or_else(|| {
        let message = format!("the table {} has no column {}, or we may not see it", of.table, of.key);
        Error::new(ErrorKind::Invalid, message)
    })
}

/// A table with or without its schema, each part quoted.
fn name(table: &str) -> String {
    match table.split_once('.') {
        Some((schema, table)) => format!("{}.{}", identifier(schema), identifier(table)),
        None => identifier(table),
    }
}

fn row_of(row: &tokio_postgres::Row) -> Option<Row> {
    Some(Row { key: row.try_get(0).ok()?, text: SecretText::new(row.try_get(1).ok()?) })
}

fn not_text(of: &Column<'_>) -> Error {
    let message =
        format!("the column {}.{} or its key {} has a form that is no text", of.table, of.column, of.key);
    Error::new(ErrorKind::Invalid, message)
}
