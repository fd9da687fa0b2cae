//! An envelope opens only as it was sealed: same key, same place, same bytes. A keyring opens what its terms sealed.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeSet;

use coffre_ambient::{Entropy, EntropyFailed, SeededEntropy, SystemEntropy};
use coffre_crypto::envelope::{self, Envelope, OVERHEAD};
use coffre_crypto::{Key, Keyring, fresh_key};
use proptest::prelude::*;

fn key(seed: u64) -> Key {
    fresh_key(&SeededEntropy::new(seed)).unwrap()
}

proptest! {
    #[test]
    fn what_was_sealed_opens_and_is_as_long_as_promised(
        aad in proptest::collection::vec(any::<u8>(), 0..100),
        plain in proptest::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let sealed = envelope::seal(&key(1), &aad, &plain, &SystemEntropy).unwrap();
        prop_assert_eq!(sealed.len(), plain.len() + OVERHEAD);
        let opened = envelope::open(&key(1), &aad, &sealed).unwrap();
        prop_assert_eq!(opened.expose(), &plain);
        prop_assert!(envelope::open(&key(2), &aad, &sealed).is_err());
    }

    #[test]
    fn any_change_is_noticed(
        aad in proptest::collection::vec(any::<u8>(), 1..50),
        plain in proptest::collection::vec(any::<u8>(), 0..100),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
        more in proptest::collection::vec(any::<u8>(), 1..20),
    ) {
        let envelope = Envelope::new(&key(1));
        let sealed = envelope.seal(&aad, &plain, &SystemEntropy).unwrap();
        let mut changed = sealed.clone();
        changed[at.index(sealed.len())] ^= 1 << bit;
        prop_assert!(envelope.open(&aad, &changed).is_err());
        prop_assert!(envelope.open(&aad, &sealed[..at.index(sealed.len())]).is_err());
        prop_assert!(envelope.open(&aad, &[&sealed[..], &more[..]].concat()).is_err());
        let mut elsewhere = aad.clone();
        elsewhere[at.index(aad.len())] ^= 1 << bit;
        prop_assert!(envelope.open(&elsewhere, &sealed).is_err());
        prop_assert!(envelope.open(&[&aad[..], &more[..]].concat(), &sealed).is_err());
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(envelope::open(&key(1), b"", &bytes).is_err());
        // A keyring of 5 + 52 n bytes with the right head is fine; nothing else is.
        if let Ok(keyring) = Keyring::decode(&bytes) {
            let encoded = keyring.encode();
            prop_assert_eq!(encoded.expose(), &bytes);
        }
    }

    #[test]
    fn a_keyring_survives_its_encoding(terms in 1_u32..9, seed in any::<u64>()) {
        let mut keyring = Keyring::new(key(seed), 1, 5);
        let mut sealed = vec![keyring.active().envelope().seal(b"at", b"1", &SystemEntropy).unwrap()];
        for n in 1..terms {
            keyring = keyring.rotate(key(seed ^ u64::from(n)), u64::from(n) * 100, 6).unwrap();
            sealed.push(keyring.active().envelope().seal(b"at", b"1", &SystemEntropy).unwrap());
        }
        let again = Keyring::decode(keyring.encode().expose()).unwrap();
        prop_assert_eq!(again.active().number(), terms);
        prop_assert_eq!(again.active().first_message(), keyring.active().first_message());
        for (term, sealed) in again.terms().zip(&sealed) {
            let opened = term.envelope().open(b"at", sealed).unwrap();
            prop_assert_eq!(opened.expose(), b"1");
        }
        let bytes = keyring.encode();
        for end in 0..bytes.len() {
            prop_assert!(Keyring::decode(&bytes.expose()[..end]).is_err());
        }
    }
}

#[test]
fn terms_out_of_order_are_refused() {
    let keyring = Keyring::new(key(1), 1, 5).rotate(key(2), 9, 6).unwrap();
    let mut bytes = keyring.encode().expose().clone();
    let (first, second) = bytes[5..].split_at_mut(52);
    first.swap_with_slice(second);
    assert!(Keyring::decode(&bytes).is_err());
}

#[test]
fn nonces_do_not_repeat() {
    let envelope = Envelope::new(&key(1));
    let nonces: BTreeSet<Vec<u8>> =
        (0..20_000).map(|_| envelope.seal(b"", b"", &SystemEntropy).unwrap()[..12].to_vec()).collect();
    assert_eq!(nonces.len(), 20_000);
}

/// The system gives nothing.
struct Dry;

impl Entropy for Dry {
    fn fill(&self, _: &mut [u8]) -> Result<(), EntropyFailed> {
        Err(EntropyFailed)
    }
}

#[test]
fn without_randomness_nothing_is_sealed() {
    assert!(envelope::seal(&key(1), b"", b"x", &Dry).is_err());
    assert!(fresh_key(&Dry).is_err());
}

#[test]
fn debug_shows_no_key() {
    let keyring = Keyring::new(Key::copy_of(&[171; 32]).unwrap(), 1, 5);
    let shown = format!("{keyring:?} {:?}", keyring.active().envelope());
    assert_eq!(shown, "[keyring, 1 terms, active 1] [key]");
}
