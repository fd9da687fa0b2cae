//! AppRole as a client sees it, through the real policy and audit stages: the contract, and the abuse cases E1 to E11.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod abuse;
mod contract;
mod races;
mod rig;
