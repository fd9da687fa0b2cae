//! Raw primitives. Private to the crate: a caller outside could repeat a nonce.

mod gcm;

pub(crate) use gcm::{Gcm, NONCE, TAG};
