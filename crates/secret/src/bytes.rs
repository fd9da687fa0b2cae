use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::lock;

/// A secret of exactly `N` bytes on a heap page that is locked into memory and left out of core dumps where the
/// system allows it. It is built in place, so no copy stays on the stack, and wiped when dropped.
pub struct SecretBytes<const N: usize>(Box<[u8; N]>);

impl<const N: usize> SecretBytes<N> {
    /// `N` zero bytes, to be filled by [`SecretBytes::expose_mut`].
    #[must_use]
    pub fn zeroed() -> Self {
        let mut bytes = Box::new([0; N]);
        lock::lock(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Builds the value in place; the closure's error drops (and wipes) what was written so far.
    pub fn fill_with<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut made = Self::zeroed();
        fill(&mut made.0)?;
        Ok(made)
    }

    /// Copies from a slice of exactly `N` bytes; any other length gives `None`.
    #[must_use]
    pub fn copy_of(slice: &[u8]) -> Option<Self> {
        if slice.len() != N {
            return None;
        }
        let mut made = Self::zeroed();
        made.0.copy_from_slice(slice);
        Some(made)
    }

    /// The bytes themselves. Say why at the call: `// EXPOSE: …`.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes, to be written in place.
    pub fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }

    /// A second copy, on purpose. Both are wiped.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let mut made = Self::zeroed();
        made.0.copy_from_slice(self.0.as_slice());
        made
    }

    /// Compares in constant time.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl<const N: usize> Drop for SecretBytes<N> {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
        lock::unlock(self.0.as_mut_slice());
    }
}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[secret of {N} bytes]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_length_is_refused() {
        assert!(SecretBytes::<4>::copy_of(&[1, 2, 3]).is_none());
        assert!(SecretBytes::<4>::copy_of(&[1, 2, 3, 4, 5]).is_none());
        assert_eq!(SecretBytes::<3>::copy_of(&[1, 2, 3]).unwrap().expose(), &[1, 2, 3]);
    }

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?}", SecretBytes::<3>::copy_of(b"abc").unwrap());
        assert!(!shown.contains("abc") && !shown.contains("97"), "{shown}");
    }
}
