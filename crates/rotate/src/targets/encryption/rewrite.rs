//! REENCRYPT: all registered columns are gone through in batches until one complete pass finds no text under an old key.
//! The cursor and the counts are kept in the record, so that a job that was killed goes on where it was.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_database::postgresql::{Column, Row};
use coffre_manifest::rotation::Holder;
use coffre_rotation::keyring::{Key, Keyring, State};
use serde::{Deserialize, Serialize};

use super::texts::{BARE, Stands, key_of, rewritten, stands};
use super::{Columns, EncryptionKey, Escrow, Evidence, escrow};
use crate::{At, Failure, Progress};

/// How many rows one batch has.
const BATCH: u32 = 500;
/// Where in the counts the end of the last clean scan stands, in seconds since 1970.
const CLEAN_SINCE: &str = "clean-since";
/// The note of the record that uses were found after the first clean scan, and when.
const FOUND_AGAIN: &str = "found_again";
/// The note that says since when none were found after that.
const NONE_SINCE: &str = "none_since";
/// The note that says when the second scan was.
const SECOND: &str = "second_scan";
/// Longest key of a row that fits into the cursor.
const MAX_KEY: usize = 640;

/// How fast texts are written anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Rows in a second, looked at or written; at least 1.
    pub rows_per_second: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { rows_per_second: 5_000 }
    }
}

/// Where the job is.
#[derive(Serialize, Deserialize, Default)]
struct Cursor {
    /// Which holder.
    holder: usize,
    /// The last row that was done.
    after: Option<String>,
    /// Texts of this pass that stood under an old key.
    uses: u64,
    /// Of those, texts that did not open.
    shut: u64,
}

impl EncryptionKey {
    /// One batch of one holder. A pass that met nothing under an old key ends the job.
    pub(super) async fn one_batch(&self, at: At<'_>, cursor: Option<&str>) -> Result<Progress, Failure> {
        let ring = self.ring.present(&at)?;
        let mut counts = if cursor.is_some() { counts_of(&at) } else { BTreeMap::new() };
        let mut place: Cursor = cursor.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let Some(holder) = self.registry.holders.get(place.holder) else {
            return pass_is_over(&at, &place, counts);
        };
        let (columns, of) = (self.columns(holder)?, column(holder));
        let rows = columns.after(&of, place.after.as_deref(), BATCH).await.map_err(broken)?;
        for row in &rows {
            let done = rewrite(columns, &of, &ring, row).await?;
            *counts.entry(done.name).or_default() += 1;
            place.uses += u64::from(done.old);
            place.shut += u64::from(done.shut);
        }
        match rows.last() {
            Some(row) if row.key.len() > MAX_KEY => {
                return Err(Failure::config(format!(
                    "a key of {} is longer than {MAX_KEY} bytes",
                    holder.table
                )));
            }
            Some(row) if rows.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX) => {
                place.after = Some(row.key.clone())
            }
            _ => (place.holder, place.after) = (place.holder.saturating_add(1), None),
        }
        self.pause(rows.len()).await;
        if place.holder >= self.registry.holders.len() {
            return pass_is_over(&at, &place, counts);
        }
        Ok(Progress { cursor: serde_json::to_string(&place).ok(), done: false, counts })
    }

    /// What is known about the use of a key, with a scan that is made now.
    pub(super) async fn gather(&self, at: &At<'_>, ring: &Keyring, key: &Key) -> Result<Evidence, Failure> {
        let (mut uses, mut longest, mut unregistered) = (0_u64, 0, Vec::new());
        for holder in &self.registry.holders {
            let (columns, of) = (self.columns(holder)?, column(holder));
            for prefix in prefixes_of(ring, key) {
                uses = uses.saturating_add(columns.count(&of, &prefix).await.map_err(broken)?);
                // Stragglers: written by somebody who had an old ring. They count as uses, and are written anew.
                for row in columns.beginning_with(&of, &prefix, BATCH).await.map_err(broken)? {
                    rewrite(columns, &of, ring, &row).await?;
                }
            }
        }
        for (name, columns) in &self.registry.servers {
            longest = longest.max(columns.oldest_transaction().await.map_err(broken)?);
            unregistered.extend(self.unregistered(name, columns).await?);
        }
        let heard = self.witness.testify(*at, key.generation(), key.kid()).await?;
        let old = at.record.retiring_gen(key.generation());
        let retired = old.and_then(|old| old.phase_since).unwrap_or(at.now);
        let drains = self.registry.drains.iter();
        let seen = Evidence {
            kid: key.kid().to_owned(),
            now: at.now,
            retired,
            first_scan: first_scan(at, key.generation()),
            second_scan: note(at, key.generation(), SECOND),
            uses,
            longest,
            unregistered,
            texts: counts_of(at).into_iter().filter(|(name, _)| name != CLEAN_SINCE).collect(),
            meter: heard.meter,
            in_use: heard.in_use,
            drains: drains.map(|drain| (drain.name.clone(), drain.after.length())).collect(),
            escrow: match &self.registry.safe {
                Some(safe) => safe.copy(at, key).await?,
                None => Escrow::None,
            },
            approvals: heard.approvals,
        };
        Ok(seen.scanned(&self.registry.rules))
    }

    /// Columns of a server with texts like ours that are not registered.
    async fn unregistered(&self, server: &str, columns: &Columns) -> Result<Vec<String>, Failure> {
        let found = columns.columns_with(&["e1.", BARE]).await.map_err(broken)?;
        let is_registered = |schema: &str, table: &str, column: &str| {
            let here = |holder: &&Holder| holder.server.as_deref().is_none_or(|name| name == server);
            self.registry.holders.iter().filter(here).any(|holder| {
                let named = match holder.table.split_once('.') {
                    Some((own, name)) => own == schema && name == table,
                    None => holder.table == table,
                };
                named && holder.column == column
            })
        };
        let others =
            found.into_iter().filter(|(schema, table, column)| !is_registered(schema, table, column));
        Ok(others.map(|(schema, table, column)| format!("{schema}.{table}.{column}")).collect())
    }

    /// Holders that cannot be read now, as sentences.
    pub(super) async fn unreachable(&self) -> Vec<String> {
        let mut found = Vec::new();
        for holder in &self.registry.holders {
            let tried = match self.columns(holder) {
                Ok(columns) => columns.after(&column(holder), Some("0"), 1).await.map(drop).map_err(broken),
                Err(failure) => Err(failure),
            };
            found.extend(tried.err().map(|failure| format!("{}.{}: {failure}", holder.table, holder.column)));
        }
        found
    }

    /// So long that the rate is kept.
    async fn pause(&self, rows: usize) {
        let each = Duration::from_secs(1) / self.registry.rate.rows_per_second.max(1);
        tokio::time::sleep(
            each.saturating_mul(u32::try_from(rows).unwrap_or(BATCH)).min(Duration::from_secs(5)),
        )
        .await;
    }
}

/// What is to be remembered of the evidence in the record.
pub(super) fn noted(at: &At<'_>, gen_no: u64, evidence: &Evidence) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::new();
    let mut put = |name: &str, text: String| drop(notes.insert(name.to_owned(), text));
    if evidence.uses > 0 {
        put(FOUND_AGAIN, evidence.now.rfc3339());
    } else if let Some(since) = evidence.first_scan {
        let remembered = note(at, gen_no, FOUND_AGAIN).or_else(|| note(at, gen_no, NONE_SINCE)).is_some();
        if remembered {
            put(NONE_SINCE, since.rfc3339());
        }
    }
    if let Some(second) = evidence.second_scan {
        put(SECOND, second.rfc3339());
    }
    if let Escrow::Sealed { recipient, digest } = &evidence.escrow {
        put(escrow::NOTE, escrow::note(digest, recipient));
    }
    notes
}

/// The time in a note of [`noted`].
fn note(at: &At<'_>, gen_no: u64, name: &str) -> Option<Wall> {
    at.record.retiring_gen(gen_no)?.notes.get(name).and_then(|text| Wall::parse(text))
}

struct Done {
    /// What it is counted as.
    name: String,
    old: bool,
    shut: bool,
}

/// One row: left as it is, written anew, or found to be shut.
async fn rewrite(columns: &Columns, of: &Column<'_>, ring: &Keyring, row: &Row) -> Result<Done, Failure> {
    // EXPOSE: a ciphertext; its prefix is looked at, its content goes into another ciphertext.
    let text = row.text.expose();
    let Some(key) = key_of(ring, text) else {
        let name = match stands(text) {
            Stands::Under(_) => "unknown-key",
            Stands::Bare => "unknown-bare",
            Stands::Plain => "plain",
        };
        return Ok(Done { name: name.to_owned(), old: false, shut: false });
    };
    if key.state() == State::Active && stands(text) != Stands::Bare {
        return Ok(Done { name: key.kid().to_owned(), old: false, shut: false });
    }
    let Some(new) = rewritten(ring, key, text) else {
        return Ok(Done { name: format!("shut-{}", key.kid()), old: true, shut: true });
    };
    // Somebody else wrote in between: their text is met in the next pass.
    let written = columns.replace(of, row, &new).await.map_err(broken)?;
    let name = if written { format!("rewritten-{}", key.kid()) } else { "overtaken".to_owned() };
    Ok(Done { name, old: true, shut: false })
}

fn pass_is_over(at: &At<'_>, place: &Cursor, mut counts: BTreeMap<String, u64>) -> Result<Progress, Failure> {
    if place.uses == 0 {
        counts.insert(CLEAN_SINCE.to_owned(), at.now.secs());
        return Ok(Progress { cursor: None, done: true, counts });
    }
    if place.uses == place.shut {
        let message =
            format!("{} texts under an old key do not open: they were changed, or are damaged", place.shut);
        let advice = "Restore or remove them, then `coffre rotate resume`; until then the old key stays.";
        return Err(Failure::config(message).advise(advice));
    }
    // Another pass from the beginning, until one is clean.
    let cursor = serde_json::to_string(&Cursor::default()).ok();
    Ok(Progress { cursor, done: false, counts })
}

fn counts_of(at: &At<'_>) -> BTreeMap<String, u64> {
    let kept = at.record.work.get("counts").and_then(|counts| counts.as_object());
    let counts = kept.into_iter().flatten();
    counts.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect()
}

/// When the first clean scan ended. If uses were found after it, the first scan since then that found none takes its place.
fn first_scan(at: &At<'_>, gen_no: u64) -> Option<Wall> {
    match (note(at, gen_no, NONE_SINCE), note(at, gen_no, FOUND_AGAIN)) {
        (Some(since), _) => Some(since),
        (None, Some(_)) => Some(at.now),
        (None, None) => counts_of(at).get(CLEAN_SINCE).map(|seconds| Wall::from_secs(*seconds)),
    }
}

/// How texts under a key begin.
fn prefixes_of(ring: &Keyring, key: &Key) -> Vec<String> {
    let mut prefixes = vec![format!("e1.{}.", key.kid())];
    if ring.legacy().is_some_and(|legacy| legacy.generation() == key.generation()) {
        prefixes.push(BARE.to_owned());
    }
    prefixes
}

fn column(holder: &Holder) -> Column<'_> {
    Column { table: &holder.table, key: &holder.pk, column: &holder.column }
}

fn broken(error: coffre_database::Error) -> Failure {
    use coffre_database::ErrorKind;
    let message = error.to_string();
    match error.kind() {
        _ if error.transient() => Failure::transient(message),
        ErrorKind::Denied | ErrorKind::Unauthenticated => Failure::denied(message),
        _ => Failure::config(message),
    }
}
