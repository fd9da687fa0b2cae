//! Shares: any are refused or combined, and enough of one set give the secret back.
#![no_main]

use coffre_ambient::SeededEntropy;
use coffre_secret::SecretVec;
use coffre_shamir::{Share, ValidThreshold, combine, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u64, u8, u8, &[u8])| {
    let (seed, shares, threshold, bytes) = data;
    arbitrary_shares(bytes);
    let Ok(valid) = ValidThreshold::new(shares % 16, threshold % 16) else { return };
    let secret = &bytes[..bytes.len().min(64)];
    let Ok(made) = split(secret, valid, &SeededEntropy::new(seed)) else {
        assert!(secret.is_empty(), "a secret was not split");
        return;
    };
    // Any subset of the right size, chosen by the seed.
    let mut order: Vec<usize> = (0..made.len()).collect();
    order.sort_by_key(|at| (seed.rotate_left(u32::try_from(*at).expect("small") * 7), *at));
    let chosen: Vec<Share> = order
        .into_iter()
        .take(usize::from(valid.threshold()))
        .map(|at| Share::new(made[at].x(), SecretVec::new(made[at].y().expose().clone())))
        .collect();
    assert_eq!(combine(&chosen).expect("shares of one set").expose(), secret);
});

/// Pieces of the input as shares: the first byte of each is its number.
fn arbitrary_shares(bytes: &[u8]) {
    let length = usize::from(bytes.first().copied().unwrap_or(0) % 8) + 1;
    let shares: Vec<Share> = bytes
        .chunks(length)
        .filter_map(|piece| piece.split_first().map(|(x, y)| Share::new(*x, SecretVec::new(y.to_vec()))))
        .collect();
    if let Ok(secret) = combine(&shares) {
        assert_eq!(secret.expose().len(), shares[0].y().len());
    }
}
