//! What must be true of leases, asked of a whole kernel with the toy engine. Test names carry the row of the abuse list
//! that they show (`d7_…`).
#![expect(clippy::indexing_slicing, reason = "test")]

mod abuse;
mod api;
mod databases;
mod manual;
mod model;
mod static_roles;
