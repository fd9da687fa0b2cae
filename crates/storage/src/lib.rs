//! Opaque keys and bytes: memory, redb, fault injection.
