//! What must be true of the kernel, asked from outside. Test names carry the row of the abuse list they show
//! (`d2_…`, `f8_…`) or the invariant (`invariant_i5_…`).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test")]

mod audit;
mod batch;
mod ceremonies;
mod crash;
mod cubbyhole;
mod decode;
mod identity;
mod lifetimes;
mod lineage;
mod lockout;
mod mounts;
mod openapi;
mod policies;
mod quotas;
mod remount;
mod renewal;
mod revocation;
mod roles;
mod routes;
mod seal;
mod tokens;
mod wrapping;

#[path = "../rig/mod.rs"]
mod rig;
