//! Power cuts, simulated below the database: a disk that forgets a random part of what was not flushed.
//!
//! Everything flushed is kept. Of what was written since, each sector of 512 bytes is kept or lost by itself, and a
//! file that was made longer may be shorter again. One trial runs random batches until the power is cut at a random
//! operation, opens what is left (the power may be cut again while it recovers), and compares: all acknowledged
//! batches are there, the one under way wholly or not at all, and the store takes further batches.
//!
//! `COFFRE_CRASH_TRIALS` sets the number of trials, `COFFRE_SEED` the first seed; trial n uses seed + n.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coffre_ambient::SeededEntropy;
use redb::{Database, StorageBackend};

use super::open::checked;
use super::writer::{GroupFailed, apply_group};
use super::{get, list_page};
use crate::Key;
use crate::conformance::{apply_to_model, random_batch};
use crate::store::Batch;

const SECTOR: usize = 512;
/// The bytes in which redb keeps its layout and both commit slots.
const HEADER: usize = 320;
const CACHE: usize = 1024 * 1024;

type Model = BTreeMap<String, Vec<u8>>;

/// How the disk treats flushes.
#[derive(Clone, Copy, PartialEq)]
enum Flushes {
    Honest,
    /// The planted bug: a flush does nothing.
    Ignored,
}

#[derive(Clone)]
struct Disk(Arc<Mutex<Platters>>);

struct Platters {
    /// What the running system sees.
    seen: Vec<u8>,
    /// What is there for certain.
    kept: Vec<u8>,
    /// Written since the last flush: sector and content, in order.
    since: Vec<(usize, [u8; SECTOR])>,
    lengths: Vec<usize>,
    flushes: Flushes,
    /// Operations until the power is cut.
    fuse: Option<u64>,
    operations: u64,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("disk")
    }
}

impl Disk {
    fn holding(image: Vec<u8>, flushes: Flushes) -> Self {
        Self(Arc::new(Mutex::new(Platters {
            seen: image.clone(),
            kept: image,
            since: Vec::new(),
            lengths: Vec::new(),
            flushes,
            fuse: None,
            operations: 0,
        })))
    }

    fn platters(&self) -> MutexGuard<'_, Platters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut_after(&self, operations: u64) {
        self.platters().fuse = Some(operations);
    }

    /// What is left after the power was cut, at random.
    fn remains(&self, random: &SeededEntropy) -> Vec<u8> {
        let platters = self.platters();
        let mut image = platters.kept.clone();
        if let Some(pick) = random.below(platters.lengths.len() as u64 + 1).checked_sub(1) {
            image.resize(platters.lengths[usize::try_from(pick).unwrap()], 0);
        }
        // Rarely a sector, mostly, or as a coin falls.
        let chance = [5, 50, 95][usize::try_from(random.below(3)).unwrap()];
        for (sector, bytes) in &platters.since {
            let start = sector * SECTOR;
            if random.below(100) < chance && start < image.len() {
                let end = image.len().min(start + SECTOR);
                image[start..end].copy_from_slice(&bytes[..end - start]);
            }
        }
        image
    }
}

impl Platters {
    /// Makes `kept` equal to `seen`, at the price of what changed.
    fn keep(&mut self) {
        for len in self.lengths.drain(..) {
            self.kept.resize(len, 0);
        }
        for (sector, bytes) in self.since.drain(..) {
            let start = sector * SECTOR;
            let end = self.kept.len().min(start + SECTOR);
            if start < end {
                self.kept[start..end].copy_from_slice(&bytes[..end - start]);
            }
        }
    }

    fn spend(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the power is cut")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platters().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platters = self.platters();
        let start = usize::try_from(offset).unwrap();
        let found = platters.seen.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platters = self.platters();
        platters.spend()?;
        let len = usize::try_from(len).unwrap();
        platters.seen.resize(len, 0);
        platters.lengths.push(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platters = self.platters();
        platters.spend()?;
        if platters.flushes == Flushes::Honest {
            platters.keep();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platters = self.platters();
        platters.spend()?;
        let start = usize::try_from(offset).unwrap();
        let end = start + data.len();
        platters.seen[start..end].copy_from_slice(data);
        for sector in start / SECTOR..end.div_ceil(SECTOR) {
            let mut bytes = [0; SECTOR];
            let seen = &platters.seen[sector * SECTOR..platters.seen.len().min((sector + 1) * SECTOR)];
            bytes[..seen.len()].copy_from_slice(seen);
            platters.since.push((sector, bytes));
        }
        Ok(())
    }
}

/// A closed database with some records, and what is in it: what every trial starts from.
fn beginning() -> (Vec<u8>, Model) {
    let disk = Disk::holding(Vec::new(), Flushes::Honest);
    let database = checked(disk.clone(), CACHE).unwrap();
    let random = SeededEntropy::new(1);
    let mut model = Model::new();
    for _ in 0..20 {
        let batch = random_batch(&random).unwrap();
        if commit(&database, &batch).unwrap() {
            apply_to_model(&mut model, batch);
        }
    }
    database.close().unwrap();
    let image = disk.platters().seen.clone();
    (image, model)
}

/// Whether the batch was applied; an error if its outcome is not known.
fn commit(database: &Database, batch: &Batch) -> Result<bool, GroupFailed> {
    apply_group(database, &[batch]).map(|outcomes| outcomes[0].is_ok())
}

fn content(database: &Database) -> Result<Model, String> {
    let page = list_page(database, "", None, usize::MAX).map_err(|error| error.to_string())?;
    let mut model = Model::new();
    for key in page.keys {
        let value = get(database, &Key::new(key.clone()).unwrap()).map_err(|error| error.to_string())?;
        model.insert(key, value.ok_or("a listed key has no value")?);
    }
    Ok(model)
}

/// What may be found after the cut: with and without the batch under way.
struct Expected {
    acknowledged: Model,
    under_way: Option<Model>,
}

/// Runs batches until the power is cut.
fn run_until_cut(disk: &Disk, mut model: Model, random: &SeededEntropy) -> Expected {
    let Ok(database) = checked(disk.clone(), CACHE) else {
        return Expected { acknowledged: model, under_way: None };
    };
    for _ in 0..8 {
        let batch = random_batch(random).unwrap();
        let mut next = model.clone();
        let refused = batch.absent().iter().any(|key| model.contains_key(key.as_str()));
        if !refused {
            apply_to_model(&mut next, batch.clone());
        }
        match commit(&database, &batch) {
            Ok(_) => model = next,
            Err(_) => return Expected { acknowledged: model, under_way: Some(next) },
        }
    }
    drop(database);
    Expected { acknowledged: model, under_way: None }
}

/// Says whether the power was cut in the middle of a batch.
fn trial(seed: u64, beginning: &(Vec<u8>, Model), flushes: Flushes) -> Result<bool, String> {
    let random = SeededEntropy::new(seed);
    let disk = Disk::holding(beginning.0.clone(), flushes);
    disk.cut_after(random.below(160));
    let expected = run_until_cut(&disk, beginning.1.clone(), &random);
    let mut image = disk.remains(&random);
    if random.below(3) == 0 {
        let again = Disk::holding(image, flushes);
        again.cut_after(random.below(12));
        drop(checked(again.clone(), CACHE));
        image = again.remains(&random);
    }
    let database =
        checked(Disk::holding(image, flushes), CACHE).map_err(|error| format!("not opened: {error}"))?;
    let found = content(&database)?;
    if found != expected.acknowledged && Some(&found) != expected.under_way.as_ref() {
        return Err("what is found is neither with nor without the batch under way".to_owned());
    }
    let key = Key::new("after").unwrap();
    for value in [vec![1; 5_000], vec![2]] {
        let applied = commit(&database, &Batch::new().put(key.clone(), value.clone()));
        if !matches!(applied, Ok(true)) || get(&database, &key).ok().flatten() != Some(value) {
            return Err("the store takes no further batches".to_owned());
        }
    }
    Ok(expected.under_way.is_some())
}

#[expect(clippy::disallowed_methods, reason = "numbers for tests, from who runs them")]
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn no_acknowledged_batch_is_lost_and_none_is_halved() {
    let (trials, seed) = (number("COFFRE_CRASH_TRIALS", 1_000), number("COFFRE_SEED", 20_261_122));
    let beginning = beginning();
    let (mut failures, mut in_the_middle) = (Vec::new(), 0_u64);
    for seed in seed..seed + trials {
        match trial(seed, &beginning, Flushes::Honest) {
            Ok(middle) => in_the_middle += u64::from(middle),
            Err(error) => failures.push(format!("seed {seed}: {error}")),
        }
    }
    println!("{trials} trials from seed {seed}, {in_the_middle} within a batch, {} failures", failures.len());
    assert!(failures.is_empty(), "{:#?}", failures.iter().take(5).collect::<Vec<_>>());
    assert!(in_the_middle * 3 > trials, "too few cuts hit a batch to show anything");
}

#[test]
fn a_disk_that_ignores_flushes_is_caught() {
    let seed = number("COFFRE_SEED", 20_261_122);
    let beginning = beginning();
    let caught = (0..200).filter(|n| trial(seed + n, &beginning, Flushes::Ignored).is_err()).count();
    println!("{caught} of 200 trials from seed {seed} noticed it");
    assert!(caught > 20, "only {caught} of 200 trials noticed that nothing was flushed");
}

#[test]
fn a_seed_reproduces_its_trial() {
    let beginning = beginning();
    let outcome = |seed| trial(seed, &beginning, Flushes::Ignored);
    for seed in 0..20 {
        assert_eq!(outcome(seed), outcome(seed));
    }
}

/// One flipped bit, at every place of the header and at random in pages that are in use: either the file is refused,
/// or everything is read as it was written.
#[test]
fn no_flipped_bit_is_served() {
    let (trials, seed) = (number("COFFRE_FLIP_TRIALS", 1_000), number("COFFRE_SEED", 20_261_122));
    let (image, model) = beginning();
    let pages: Vec<usize> = (0..image.len() / 4_096)
        .filter(|page| image[page * 4_096..][..4_096].iter().any(|b| *b != 0))
        .collect();
    let random = SeededEntropy::new(seed);
    let (mut refused, mut harmless) = (0, 0);
    let anywhere = (0..trials).map(|_| {
        let page = pages[usize::try_from(random.below(pages.len() as u64)).unwrap()];
        (page * 4_096 + usize::try_from(random.below(4_096)).unwrap(), random.below(8))
    });
    for (at, bit) in anywhere.chain((0..HEADER).flat_map(|at| (0..8).map(move |bit| (at, bit)))) {
        let mut flipped = image.clone();
        flipped[at] ^= 1 << bit;
        match checked(Disk::holding(flipped, Flushes::Honest), CACHE) {
            Err(_) => refused += 1,
            Ok(database) => {
                let found = content(&database).unwrap();
                assert!(found == model, "seed {seed}: byte {at} bit {bit} changed what is read");
                harmless += 1;
            }
        }
    }
    println!(
        "{trials} flips from seed {seed} and the header: {refused} refused, {harmless} harmless, 0 served"
    );
    assert!(refused > trials / 10, "so few refusals that the check cannot have looked");
}
