use std::sync::{Mutex, PoisonError};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The system gave no randomness. Nothing that needs a key, a nonce or a token can go on.
#[derive(Debug, thiserror::Error)]
#[error("the system gave no randomness; nothing that needs a key or a token can go on")]
pub struct EntropyFailed;

/// Where randomness comes from. Each call is a fresh draw; implementations keep no pool for nonces.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the whole slice, or fails.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed>;
}

/// The kernel's generator (getrandom(2)).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        getrandom::fill(out).map_err(|_| EntropyFailed)
    }
}

/// A reproducible stream for simulations and tests. Never for anything that is kept.
pub struct SeededEntropy(Mutex<ChaCha20Rng>);

impl SeededEntropy {
    /// The stream that belongs to this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha20Rng::seed_from_u64(seed)))
    }

    /// The next eight bytes as a number.
    pub fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// A number below `bound` (0 if `bound` is 0); slightly biased, which simulations can bear.
    pub fn below(&self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_reproduces_its_stream() {
        let (a, b) = (SeededEntropy::new(7), SeededEntropy::new(7));
        assert_eq!(a.next_u64(), b.next_u64());
        assert_ne!(SeededEntropy::new(8).next_u64(), SeededEntropy::new(7).next_u64());
    }

    #[test]
    fn the_system_gives_different_bytes_each_time() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        SystemEntropy.fill(&mut a).unwrap();
        SystemEntropy.fill(&mut b).unwrap();
        assert_ne!(a, b);
    }
}
