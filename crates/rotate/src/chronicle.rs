//! The history: events of the record's outbox, appended to the documents of their months, and told.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use coffre_rotation::{
    BrokenChain, ChainHead, HistoryEvent, HistoryMonth, Record, Target as Name, WireDocument, paths,
};

use crate::store::{Held, Store};
use crate::{Failure, Sink};

/// Parts of one month; more would be somebody else's doing.
const MOST_PARTS: u32 = 1_000;
/// How often an append that somebody else overtook is tried again.
const TRIES: u32 = 4;

/// Appends events, at least once, and remembers what it has appended.
#[derive(Default)]
pub(crate) struct Chronicle {
    written: Mutex<HashMap<Name, u64>>,
}

impl Chronicle {
    /// Brings the record's outbox into the history and tells the sink; then takes it out of this copy of the record. The
    /// stored record loses it with its next write; until then a repetition finds the events written.
    pub(crate) async fn flush(
        &self,
        store: &Store,
        environment: &str,
        sink: &dyn Sink,
        record: &mut Record,
    ) -> Result<(), Failure> {
        let name = record.target.clone();
        let done =
            self.written.lock().unwrap_or_else(PoisonError::into_inner).get(&name).copied().unwrap_or(0);
        // More than there ever was: the vault was restored, and its history with it.
        let done = if done > record.hist_seq { 0 } else { done };
        for event in record.outbox.iter().filter(|event| event.seq > done) {
            sink.tell(&name, &event.what);
            append(store, environment, &name, event).await?;
            self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), event.seq);
        }
        record.recorded(record.hist_seq);
        Ok(())
    }

    /// Forgets what was appended: the record was replaced by another.
    pub(crate) fn forget(&self, name: &Name) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

async fn append(store: &Store, environment: &str, name: &Name, event: &HistoryEvent) -> Result<(), Failure> {
    let mut tries = 0;
    let mut part = 1;
    while part <= MOST_PARTS {
        let path = paths::history(environment, name, &HistoryMonth::name(event.what.at, part));
        let held: Held<HistoryMonth> = store.read(&path).await?;
        let mut month = held.value.unwrap_or_else(|| HistoryMonth::new(name.clone()));
        if month.last() >= event.seq {
            return Ok(());
        }
        if month.is_full() {
            part += 1;
            continue;
        }
        if held.version == 0 {
            store.guard(&path, 2).await?;
        }
        month.append(std::slice::from_ref(event));
        month.write = store.write_id()?;
        let text = WireDocument::write(&month)?;
        match store.put(&path, &text, &month.write, held.version).await {
            Err(failure) if failure.kind() == crate::FailureKind::Conflict && tries < TRIES => tries += 1,
            other => return other.map(drop),
        }
    }
    Err(Failure::config(format!("the history of {name} has too many parts in one month")))
}

/// The newest events of a target, oldest first, and whether the chain holds among them and ends where the record says.
pub(crate) async fn newest(
    store: &Store,
    environment: &str,
    name: &Name,
    most: usize,
) -> Result<(Vec<HistoryEvent>, Result<ChainHead, BrokenChain>), Failure> {
    let mut months = store.kv().list(&paths::histories(environment, name)).await?;
    months.retain(|month| !month.ends_with('/'));
    months.sort_by_key(|month| ordered(month));
    let mut events: Vec<HistoryEvent> = Vec::new();
    for month in months.iter().rev() {
        if events.len() >= most {
            break;
        }
        let held: Held<HistoryMonth> = store.read(&paths::history(environment, name, month)).await?;
        let mut older = held.value.map(|month| month.events).unwrap_or_default();
        older.append(&mut events);
        events = older;
    }
    let whole = HistoryMonth { events, ..HistoryMonth::new(name.clone()) };
    let head = whole.verify(None);
    let mut events = whole.events;
    events.drain(..events.len().saturating_sub(most));
    Ok((events, head))
}

/// `202611-2` after `202611`, `202611-10` after that.
fn ordered(month: &str) -> (String, u32) {
    let (month, part) = month.split_once('-').unwrap_or((month, "1"));
    (month.to_owned(), part.parse().unwrap_or(0))
}
