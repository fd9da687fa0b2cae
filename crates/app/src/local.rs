//! Each thread's own table in front of the shared one.
//!
//! A hit is: one atomic load (has anything changed?), a look into the thread's table, one reading of the clock, and one
//! counted reference on a cache line that, with up to sixteen threads, no other thread writes. No lock, no allocation.
//!
//! The thread's table holds weak references only, so it keeps no value alive; and it is believed only as long as the
//! shared table has not changed since. A thread that never asks again therefore holds nothing back from being wiped.
//!
//! The clock is CLOCK_BOOTTIME at every hit (no system call: the kernel's vDSO). A coarser clock kept by a ticker would
//! be cheaper, but a ticker does not run before the first reader after a suspend, or while its thread is starved, and
//! then a value older than its bound would get out.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use crate::core::Core;
use crate::value::{Handle, Shards, Value};

/// What is asked for: a variable, or a field of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What<'a> {
    Variable(&'a str),
    Field(&'a str, &'a str),
}

/// How a value that is served counts, and until when it is served without another look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) generation: u64,
    /// Nanoseconds since boot.
    pub(crate) until: u64,
    pub(crate) class: Class,
}

/// How a value that is served counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Fresh,
    Stale,
    Degraded,
}

/// Hits of one thread. Only that thread writes.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Tally([AtomicU64; 3]);

impl Tally {
    pub(crate) fn count(&self, class: Class) {
        if let Some(counter) = self.0.get(class as usize) {
            // One writer: no read-modify-write needed.
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Fresh, stale, degraded.
    pub(crate) fn read(&self) -> [u64; 3] {
        [0, 1, 2].map(|at: usize| self.0.get(at).map_or(0, |counter| counter.load(Ordering::Relaxed)))
    }
}

thread_local! {
    static MINE: RefCell<Vec<Mine>> = const { RefCell::new(Vec::new()) };
    static NUMBER: usize = NUMBERS.fetch_add(1, Ordering::Relaxed);
}

/// Threads are numbered as they come.
static NUMBERS: AtomicUsize = AtomicUsize::new(0);

/// What this thread knows of one instance.
struct Mine {
    core: u64,
    alive: Weak<Core>,
    tally: Arc<Tally>,
    table: Table,
}

/// The value, if this thread has seen it and nothing has changed since.
#[inline]
pub(crate) fn hit(core: &Core, what: What<'_>) -> Option<Value> {
    MINE.try_with(|mine| {
        let mine = mine.try_borrow().ok()?;
        let mine = mine.iter().find(|mine| mine.core == core.id)?;
        let entry = mine.table.find(hash(what), what)?;
        if entry.generation != core.generation() || core.now() >= entry.until {
            return None;
        }
        let handle = entry.handle.upgrade()?;
        mine.tally.count(entry.class);
        Some(Value::of_handle(handle))
    })
    .ok()?
}

/// Remembers a value for this thread and gives it out. `generation` was read before the value; `until` is when the
/// shared table must be looked at again, in nanoseconds since boot.
pub(crate) fn remember(
    core: &Arc<Core>,
    what: What<'_>,
    shards: &Shards,
    generation: u64,
    until: u64,
    class: Class,
) -> Value {
    let kept = MINE.try_with(|mine| {
        let mut mine = mine.try_borrow_mut().ok()?;
        let handle = shards.handle(NUMBER.try_with(|number| *number).ok()?)?;
        if !mine.iter().any(|mine| mine.core == core.id) {
            mine.retain(|mine| mine.alive.strong_count() > 0);
            let tally = core.tally();
            mine.push(Mine { core: core.id, alive: Arc::downgrade(core), tally, table: Table::default() });
        }
        let mine = mine.iter_mut().find(|mine| mine.core == core.id)?;
        let entry = Entry { generation, until, class, handle: Arc::downgrade(handle) };
        mine.table.put(hash(what), what, entry);
        mine.tally.count(class);
        Some(Value::of_handle(Arc::clone(handle)))
    });
    kept.ok().flatten().unwrap_or_else(|| shards.value())
}

struct Entry {
    generation: u64,
    until: u64,
    class: Class,
    handle: Weak<Handle>,
}

/// Open addressing with linear probing, at most half full; emptied when it reaches its bound.
#[derive(Default)]
struct Table {
    places: Vec<Option<(u64, Name, Entry)>>,
    used: usize,
}

/// Names a thread remembers at once.
const LARGEST: usize = 4096;

struct Name {
    first: Box<str>,
    second: Option<Box<str>>,
}

impl Name {
    fn is(&self, what: What<'_>) -> bool {
        match what {
            What::Variable(name) => self.second.is_none() && *self.first == *name,
            What::Field(path, field) => {
                *self.first == *path && self.second.as_ref().is_some_and(|second| **second == *field)
            }
        }
    }
}

impl Table {
    #[inline]
    fn find(&self, hash: u64, what: What<'_>) -> Option<&Entry> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = place(hash, mask);
        loop {
            match self.places.get(at)? {
                None => return None,
                Some((known, name, entry)) if *known == hash && name.is(what) => return Some(entry),
                Some(_) => at = (at + 1) & mask,
            }
        }
    }

    fn put(&mut self, hash: u64, what: What<'_>, entry: Entry) {
        if self.used * 2 >= self.places.len() {
            self.grow();
        }
        let Some(mask) = self.places.len().checked_sub(1) else { return };
        let mut at = place(hash, mask);
        while let Some(place) = self.places.get_mut(at) {
            match place {
                Some((known, name, old)) if *known == hash && name.is(what) => {
                    *old = entry;
                    return;
                }
                Some(_) => at = (at + 1) & mask,
                None => {
                    let (first, second) = match what {
                        What::Variable(name) => (name, None),
                        What::Field(path, field) => (path, Some(Box::from(field))),
                    };
                    *place = Some((hash, Name { first: Box::from(first), second }, entry));
                    self.used += 1;
                    return;
                }
            }
        }
    }

    fn grow(&mut self) {
        let size = (self.places.len() * 2).max(32);
        let old = std::mem::take(&mut self.places);
        let size = if size > LARGEST * 2 { 32 } else { size };
        self.places.resize_with(size, || None);
        self.used = 0;
        let mask = size - 1;
        let fits = old.len() < size;
        for (hash, name, entry) in old.into_iter().flatten().filter(|_| fits) {
            let mut at = place(hash, mask);
            while self.places.get(at).is_some_and(Option::is_some) {
                at = (at + 1) & mask;
            }
            if let Some(place) = self.places.get_mut(at) {
                *place = Some((hash, name, entry));
                self.used += 1;
            }
        }
    }
}

/// The upper bits are the mixed ones; `mask` is below 2^16.
const fn place(hash: u64, mask: usize) -> usize {
    (hash >> 48) as usize & mask
}

/// Eight bytes at a time, multiplied and rotated. The names are the program's own, and the table is small and bounded,
/// so nobody gains by making them collide.
fn hash(what: What<'_>) -> u64 {
    match what {
        What::Variable(name) => mixed(0, name),
        What::Field(path, field) => mixed(mixed(1, path), field),
    }
}

fn mixed(seed: u64, text: &str) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let mut sum = seed ^ (text.len() as u64);
    for word in words.iter().chain([&last]) {
        sum = (sum.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
    }
    sum ^ (sum >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(generation: u64) -> Entry {
        Entry { generation, until: 0, class: Class::Fresh, handle: Weak::new() }
    }

    #[test]
    fn the_table_finds_what_was_put_and_stays_small() {
        let mut table = Table::default();
        let names: Vec<String> = (0..LARGEST as u64 * 3).map(|number| format!("NAME_{number}")).collect();
        for (number, name) in names.iter().enumerate() {
            let what = What::Variable(name);
            table.put(hash(what), what, entry(number as u64));
            assert_eq!(table.find(hash(what), what).map(|entry| entry.generation), Some(number as u64));
            assert!(table.places.len() <= LARGEST * 2, "{}", table.places.len());
        }
        let field = What::Field("NAME_1", "value");
        assert!(table.find(hash(field), field).is_none());
        table.put(hash(field), field, entry(7));
        table.put(hash(field), field, entry(8));
        assert_eq!(table.find(hash(field), field).map(|entry| entry.generation), Some(8));
    }
}
