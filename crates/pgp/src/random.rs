use coffre_ambient::{Entropy, EntropyFailed};
use rand_core::{CryptoRng, Error, RngCore};

/// Our randomness in the form that the OpenPGP library asks for. That form cannot fail, so a failure is remembered;
/// what was made with it must not be used.
pub(crate) struct Random<'a> {
    entropy: &'a dyn Entropy,
    failed: bool,
}

impl<'a> Random<'a> {
    pub(crate) const fn new(entropy: &'a dyn Entropy) -> Self {
        Self { entropy, failed: false }
    }

    /// Whether all of it was randomness.
    pub(crate) const fn check(&self) -> Result<(), EntropyFailed> {
        if self.failed { Err(EntropyFailed) } else { Ok(()) }
    }
}

impl RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        if self.entropy.fill(out).is_err() {
            self.failed = true;
            // Not zero: who draws until a byte is not zero must come to an end.
            out.fill(1);
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Random<'_> {}
