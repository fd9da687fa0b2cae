//! The index of what must not be lost: for each table of critical records a sum over (key, version) of all its records.
//!
//! A record that was changed or moved does not open by itself. What that does not show is a record that is *missing*, or
//! one that was replaced by an *older copy* of itself. The index shows both: it is changed in the same transaction as the
//! records, and compared with them at each unseal.
//!
//! The sum is MSet-Add-Hash (Clarke, Devadas, van Dijk, Gassend, Suh: "Incremental multiset hash functions and their
//! application to memory integrity checking", 2003): HMAC-SHA-256 of each element, added modulo 2^256. Adding and taking
//! away an element costs the same whatever else is in the table, and concurrent transactions need no order but the one
//! in which they are applied. The sums rest encrypted, so nobody without the key learns one.

use std::collections::BTreeMap;

use coffre_crypto::digest;
use coffre_crypto::mac::Mac;
use coffre_storage::{Key as StoreKey, Records, Step, StoreError};

use crate::layout;
use crate::record;

/// The sums, and how many changes they have seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Transactions that changed a critical record, from the first on. It never goes back.
    pub(crate) changes: u64,
    tables: BTreeMap<String, Sum>,
}

/// One table's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    sum: [u64; 4],
}

/// The table of a key, if it is a critical one: the barrier's own records but the message counter, which is bound to
/// the keyring by itself, and everything that the kernel keeps.
pub(crate) fn table(key: &str) -> Option<&str> {
    match key {
        layout::SEAL_CONFIG | layout::ROOT_KEY | layout::ROOT_KEY_BEFORE | layout::KEYRING => Some("seal"),
        _ => key.strip_prefix(layout::KERNEL)?.split('/').next(),
    }
}

/// Whether a step may touch a critical record.
pub(crate) fn concerns(step: &Step) -> bool {
    match step {
        Step::Put(key, _) | Step::Delete(key) => table(key.as_str()).is_some(),
        Step::DeletePrefix(prefix) => reaches(prefix),
    }
}

/// Whether critical records can begin with this.
pub(crate) fn reaches(prefix: &str) -> bool {
    prefix.starts_with(layout::KERNEL) || layout::KERNEL.starts_with(prefix)
}

impl Index {
    /// Adds a record.
    pub(crate) fn add(&mut self, mac: &Mac, key: &str, bytes: &[u8]) {
        self.turn(mac, key, bytes, Sum::plus);
    }

    /// Takes a record away.
    pub(crate) fn remove(&mut self, mac: &Mac, key: &str, bytes: &[u8]) {
        self.turn(mac, key, bytes, Sum::minus);
    }

    fn turn(&mut self, mac: &Mac, key: &str, bytes: &[u8], with: fn(&mut Sum, [u64; 4])) {
        if let Some(table) = table(key) {
            with(self.tables.entry(table.to_owned()).or_default(), element(mac, key, bytes));
        }
    }

    /// What the steps change, as they will be applied to these records.
    pub(crate) fn apply(
        &mut self,
        mac: &Mac,
        steps: &[Step],
        records: &dyn Records,
    ) -> Result<(), StoreError> {
        // What this transaction itself has put so far, or removed.
        let mut changed: BTreeMap<String, Option<&[u8]>> = BTreeMap::new();
        for step in steps.iter().filter(|step| concerns(step)) {
            match step {
                Step::Put(key, bytes) => {
                    self.forget(mac, key, &changed, records)?;
                    self.add(mac, key.as_str(), bytes);
                    changed.insert(key.as_str().to_owned(), Some(bytes));
                }
                Step::Delete(key) => {
                    self.forget(mac, key, &changed, records)?;
                    changed.insert(key.as_str().to_owned(), None);
                }
                Step::DeletePrefix(prefix) => {
                    for key in records.keys(prefix)? {
                        if !changed.contains_key(&key) {
                            self.forget(mac, &StoreKey::new(key.clone())?, &changed, records)?;
                            changed.insert(key, None);
                        }
                    }
                    for (key, bytes) in changed.iter_mut().filter(|(key, _)| key.starts_with(prefix)) {
                        if let Some(bytes) = bytes.take() {
                            self.remove(mac, key, bytes);
                        }
                    }
                }
            }
        }
        self.changes = self.changes.saturating_add(1);
        Ok(())
    }

    fn forget(
        &mut self,
        mac: &Mac,
        key: &StoreKey,
        changed: &BTreeMap<String, Option<&[u8]>>,
        records: &dyn Records,
    ) -> Result<(), StoreError> {
        match changed.get(key.as_str()) {
            Some(Some(bytes)) => self.remove(mac, key.as_str(), bytes),
            Some(None) => {}
            None => {
                if let Some(bytes) = records.get(key)? {
                    self.remove(mac, key.as_str(), &bytes);
                }
            }
        }
        Ok(())
    }

    /// The first table in which the two differ, and how many records it has here and there.
    pub(crate) fn difference(&self, other: &Self) -> Option<(String, u64, u64)> {
        let names = self.tables.keys().chain(other.tables.keys());
        names.into_iter().find_map(|name| {
            let of = |index: &Self| index.tables.get(name).copied().unwrap_or_default();
            let (here, there) = (of(self), of(other));
            (here != there).then(|| (name.clone(), here.count, there.count))
        })
    }

    /// For the storage: `changes u64 | (length u8, name, count u64, sum 4 × u64)…`, big-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.changes.to_be_bytes().to_vec();
        for (name, sum) in self.tables.iter().filter(|(_, sum)| **sum != Sum::default()) {
            // Names are segments of storage keys and shorter by far.
            out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&sum.count.to_be_bytes());
            sum.sum.iter().for_each(|limb| out.extend_from_slice(&limb.to_be_bytes()));
        }
        out
    }

    /// Reads what [`Index::encode`] wrote; any bytes are fine as input.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (changes, mut rest) = bytes.split_first_chunk::<8>()?;
        let mut index = Self { changes: u64::from_be_bytes(*changes), tables: BTreeMap::new() };
        while let Some((&length, after)) = rest.split_first() {
            let (name, after) = after.split_at_checked(usize::from(length))?;
            let mut numbers = [0; 5];
            let mut after = after;
            for number in &mut numbers {
                let (limb, more) = after.split_first_chunk::<8>()?;
                (*number, after) = (u64::from_be_bytes(*limb), more);
            }
            let [count, a, b, c, d] = numbers;
            index.tables.insert(std::str::from_utf8(name).ok()?.to_owned(), Sum { count, sum: [a, b, c, d] });
            rest = after;
        }
        Some(index)
    }
}

impl Sum {
    fn plus(&mut self, element: [u64; 4]) {
        let mut carry = false;
        for (limb, add) in self.sum.iter_mut().zip(element) {
            let (sum, first) = limb.overflowing_add(add);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, first || second);
        }
        self.count = self.count.wrapping_add(1);
    }

    fn minus(&mut self, element: [u64; 4]) {
        let mut borrow = false;
        for (limb, take) in self.sum.iter_mut().zip(element) {
            let (sum, first) = limb.overflowing_sub(take);
            let (sum, second) = sum.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (sum, first || second);
        }
        self.count = self.count.wrapping_sub(1);
    }
}

/// A record as an element: its key, and the version that its encryption binds; for the barrier's own records, which
/// have no such version, the hash of their bytes.
fn element(mac: &Mac, key: &str, bytes: &[u8]) -> [u64; 4] {
    let length = u64::try_from(key.len()).unwrap_or(u64::MAX).to_be_bytes();
    let tag = match record::header(bytes) {
        Ok(header) if key.starts_with(layout::KERNEL) => {
            let (term, version) = (header.term.to_be_bytes(), header.version.to_be_bytes());
            mac.tag(&[&length, key.as_bytes(), &term, &version])
        }
        _ => mac.tag(&[&length, key.as_bytes(), &digest::sha256(bytes)]),
    };
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(tag.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*chunk);
    }
    limbs
}
