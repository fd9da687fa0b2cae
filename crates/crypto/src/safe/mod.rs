//! What callers use: each module is one purpose, and none lets a caller choose a nonce.

pub mod derive;
pub mod digest;
pub mod envelope;
pub mod key_pair;
pub mod mac;
pub mod signature;
