use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that is wiped when dropped and never printed.
///
/// There is no `Serialize`, `PartialEq`, `Deref` or `Clone`: each way out is spelled [`Secret::expose`].
pub struct Secret<T: Zeroize>(T);

/// Text that is secret: a token, a password, a body.
pub type SecretText = Secret<String>;

/// Bytes that are secret and whose length is not fixed: a decrypted record, a decoded value.
pub type SecretVec = Secret<Vec<u8>>;

impl<T: Zeroize> Secret<T> {
    /// Takes ownership of the value. Copies made before this call are the caller's business.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Say why at the call: `// EXPOSE: …`.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value, to be changed in place.
    pub const fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// A second copy, on purpose. Both are wiped.
    #[must_use]
    pub fn duplicate(&self) -> Self
    where
        T: Clone,
    {
        Self(self.0.clone())
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Compares in time that depends on the lengths alone.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        ct_eq(self.0.as_ref(), other)
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.0.as_ref().len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl From<&str> for SecretText {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl<T: Zeroize + Default> Default for Secret<T> {
    fn default() -> Self {
        Self(T::default())
    }
}

/// Compares two byte strings in time that depends on their lengths alone.
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?}", SecretText::from("hunter2"));
        assert_eq!(shown, "[secret]");
    }

    #[test]
    fn compares_by_content_and_length() {
        let secret = SecretText::from("hunter2");
        assert!(secret.ct_eq(b"hunter2"));
        assert!(!secret.ct_eq(b"hunter3"));
        assert!(!secret.ct_eq(b"hunter"));
    }
}
