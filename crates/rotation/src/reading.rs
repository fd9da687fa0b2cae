//! What a program has that gets its values once, and which epochs it has thereby taken over.

use std::collections::BTreeMap;

use crate::{DocumentError, Facts, Statement};

/// Sets of values that may still become those of the program.
const SETS: usize = 64;

/// A document that a program's values come from, as it was when they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its epoch; 0 if no rotator has written it yet.
    pub epoch: u64,
    /// The generation that it gives to be used; 0 likewise.
    pub active: u64,
    /// Whether the program gets every key of it that it must accept. One that gets only the active key of a ring of
    /// several has not taken the ring over, however often it is restarted.
    pub whole: bool,
}

impl Reading {
    /// Of a document's JSON text. `ring`: the program gets the field `keys`, or everything.
    ///
    /// # Errors
    /// The document is of a kind that is not known; quotes nothing.
    pub fn of(document: &[u8], ring: bool) -> Result<Self, DocumentError> {
        let facts = Facts::parse(document)?;
        let (epoch, active) = (facts.epoch, facts.active.unwrap_or(0));
        Ok(Self { epoch, active, whole: ring || facts.usable.len() < 2 })
    }
}

/// Which values a program was given, and what may be said of them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    last: u64,
    sets: BTreeMap<u64, BTreeMap<String, Reading>>,
    accepted: BTreeMap<String, u64>,
}

impl Ledger {
    /// The number of a set of values, by the documents that it was made from.
    pub fn number(&mut self, from: BTreeMap<String, Reading>) -> u64 {
        if self.sets.get(&self.last) != Some(&from) {
            self.last = self.last.saturating_add(1);
            self.sets.insert(self.last, from);
            if self.sets.len() > SETS {
                // The oldest but one: the oldest may be the program's.
                let second = self.sets.keys().nth(1).copied();
                second.map(|second| self.sets.remove(&second));
            }
        }
        self.last
    }

    /// What is to be said of a program that has the set `number`, by document. `frozen`: it has not got the newest, or
    /// does not follow at all.
    pub fn statements(&mut self, number: Option<u64>, frozen: bool) -> Vec<(String, Statement)> {
        let Some(number) = number else { return Vec::new() };
        self.sets = self.sets.split_off(&number);
        let Some(set) = self.sets.get(&number) else { return Vec::new() };
        let mut said = Vec::with_capacity(set.len());
        for (path, reading) in set {
            if reading.whole {
                self.accepted.insert(path.clone(), reading.epoch);
            }
            let epoch = self.accepted.get(path).copied().unwrap_or(0);
            said.push((path.clone(), Statement { epoch, in_use: reading.active, frozen, refusals: 0 }));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(epoch: u64, gens: &[u64], whole: bool) -> Reading {
        let key = |gen_no: &u64| {
            let state = if gen_no == &gens[0] { "active" } else { "accept" };
            format!(r#"{{"kid":"k-{gen_no}","gen":{gen_no},"state":"{state}","mat":"x"}}"#)
        };
        let keys: Vec<String> = gens.iter().map(key).collect();
        let (keys, active) = (keys.join(","), gens[0]);
        let text = format!(
            r#"{{"schema":"keyring/1","target":"jwt","epoch":{epoch},"active":"k-{active}","keys":[{keys}]}}"#
        );
        Reading::of(text.as_bytes(), whole).unwrap()
    }

    fn said(ledger: &mut Ledger, reading: Reading, frozen: bool) -> (u64, u64, bool) {
        let number = ledger.number(BTreeMap::from([("jwt".to_owned(), reading)]));
        let all = ledger.statements(Some(number), frozen);
        (all[0].1.epoch, all[0].1.in_use, all[0].1.frozen)
    }

    #[test]
    fn who_gets_one_key_of_a_ring_has_not_taken_it_over() {
        let mut ledger = Ledger::default();
        assert_eq!(said(&mut ledger, ring(7, &[4], false), false), (7, 4, false));
        assert_eq!(said(&mut ledger, ring(8, &[4, 5], false), true), (7, 4, true), "it does not accept 5");
        assert_eq!(said(&mut ledger, ring(9, &[5], false), false), (9, 5, false));
        assert_eq!(
            said(&mut ledger, ring(10, &[5, 6], true), false),
            (10, 5, false),
            "it gets the whole ring"
        );
        assert_eq!(
            said(&mut Ledger::default(), ring(8, &[4, 5], false), false).0,
            0,
            "it never had a whole one"
        );
    }

    #[test]
    fn only_what_the_program_has_is_said() {
        let mut ledger = Ledger::default();
        let of = |epoch| BTreeMap::from([("pg".to_owned(), Reading { epoch, active: epoch, whole: true })]);
        let first = ledger.number(of(1));
        assert_eq!(first, ledger.number(of(1)), "the same is the same");
        let second = ledger.number(of(2));
        assert!(ledger.statements(None, false).is_empty(), "it was not started yet");
        assert_eq!(ledger.statements(Some(first), true)[0].1.epoch, 1);
        for epoch in 3..200 {
            ledger.number(of(epoch));
        }
        assert!(ledger.sets.len() <= SETS);
        assert_eq!(ledger.statements(Some(first), true)[0].1.epoch, 1);
        let last = ledger.number(of(199));
        assert_eq!(ledger.statements(Some(last), false)[0].1.epoch, 199);
        assert!(ledger.statements(Some(second), true).is_empty(), "that is long gone");
        assert_eq!(
            Reading::of(b"{\"value\":\"x\"}", false).unwrap(),
            Reading { epoch: 0, active: 0, whole: true }
        );
    }
}
