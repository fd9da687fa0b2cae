//! Input types that are as lenient as Vault, and say so in their schema.
//!
//! A file here never derives its schema without `with`: a derived schema would describe the Rust type, not what is
//! accepted.

mod comma_list;
mod kv_pairs;
mod loose;
mod options;
mod text_list;
mod ttl;

pub use comma_list::CommaList;
pub use kv_pairs::KvPairs;
pub use loose::{LooseBool, LooseFloat, LooseInt};
pub use options::Options;
pub use text_list::TextList;
pub use ttl::{Ttl, TtlError, go_duration};
