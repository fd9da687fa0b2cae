//! What must be true on the wire: paths, headers, framing, sizes, slow clients. Test names carry the row of the abuse
//! list that they show (`c10_…`, `k1_…`).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test")]

mod framing;
mod headers;
mod paths;
mod sizes;

#[path = "../rig/mod.rs"]
mod rig;
