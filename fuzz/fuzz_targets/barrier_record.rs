//! Records at rest and key shares on paper: any bytes are refused or opened, and a record opens only at its place.
#![no_main]

use coffre_ambient::SeededEntropy;
use coffre_barrier::record::{self, Header, Place};
use coffre_barrier::share::{self, Set};
use coffre_crypto::envelope::Envelope;
use coffre_secret::SecretBytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u64, u8, &str, &[u8])| {
    let (seed, flip, path, bytes) = data;
    let envelope = Envelope::new(&SecretBytes::copy_of(&[7; 32]).expect("32 bytes"));
    let entropy = SeededEntropy::new(seed);
    let place = Place { cluster: "cluster", path };
    let _ = record::header(bytes);
    assert!(record::open(&envelope, place, bytes).is_err(), "bytes that nobody sealed were opened");
    let _ = share::decode(bytes, Set::new("cluster", [1, 2, 3, 4, 5, 6]), 5);

    let header = Header { term: seed as u32, version: seed };
    let sealed = record::seal(&envelope, place, header, bytes, &entropy).expect("room for a small record");
    assert_eq!(record::header(&sealed), Ok(header));
    assert_eq!(record::open(&envelope, place, &sealed).expect("opens at its place").expose(), bytes);

    let mut changed = sealed.clone();
    let at = seed as usize % changed.len();
    changed[at] ^= flip.max(1);
    assert!(record::open(&envelope, place, &changed).is_err(), "byte {at} is not authenticated");
    let cut = &sealed[..seed as usize % sealed.len()];
    assert!(record::open(&envelope, place, cut).is_err(), "a cut record opened");
    let elsewhere = format!("{path}x");
    let moved = Place { path: &elsewhere, ..place };
    assert!(record::open(&envelope, moved, &sealed).is_err(), "a moved record opened");
});
