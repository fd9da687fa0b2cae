use std::fmt;
use std::sync::Arc;

use coffre_secret::SecretText;

/// A secret value. It is never printed, and its bytes are wiped when the last reference to them drops: this one, its
/// clones, and the cache's own, which goes as soon as the value may no longer be used.
///
/// A value that is held stays what it was; ask again to get a newer one.
#[derive(Clone)]
pub struct Value(Arc<Handle>);

/// A counted reference of its own in front of the shared text. Threads that read the same value count on different
/// cache lines (64 bytes, fetched in pairs), so that they do not slow each other down.
#[repr(align(128))]
pub(crate) struct Handle(Arc<SecretText>);

impl Value {
    /// The text. Say why at the call: `// EXPOSE: …`.
    #[must_use]
    pub fn expose(&self) -> &str {
        // EXPOSE: handed on; the caller explains.
        self.0.0.expose()
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.0.len()
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Compares in time that depends on the lengths alone.
    #[must_use]
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.0.ct_eq(other)
    }

    pub(crate) fn of_handle(handle: Arc<Handle>) -> Self {
        Self(handle)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// How many counters a value has: threads take them in turn.
const WAYS: usize = 16;

/// One text with its counters.
#[derive(Clone)]
pub(crate) struct Shards(Arc<[Arc<Handle>]>);

impl Shards {
    pub(crate) fn of(text: SecretText) -> Self {
        let text = Arc::new(text);
        Self((0..WAYS).map(|_| Arc::new(Handle(Arc::clone(&text)))).collect())
    }

    /// The reference that a thread uses; `number` tells threads apart.
    pub(crate) fn handle(&self, number: usize) -> Option<&Arc<Handle>> {
        self.0.get(number % WAYS)
    }

    pub(crate) fn value(&self) -> Value {
        // There is always a first one; an empty value is the answer to a question that does not come up.
        let first = self.0.first().cloned();
        Value(first.unwrap_or_else(|| Arc::new(Handle(Arc::new(SecretText::default())))))
    }

    /// A copy of the text, for composing others.
    pub(crate) fn duplicate(&self) -> SecretText {
        // EXPOSE: goes from one secret into another.
        self.value().0.0.duplicate()
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
