//! KV version 2: each write makes a version, deletion can be taken back, writes can be made conditional.
//!
//! A read of the latest version costs one access to the storage: its data rests with what is known of the secret
//! (see `model.rs`). Every change of a secret is one transaction under the secret's lock.

mod change;
mod delete_latest;
mod delete_metadata;
mod delete_versions;
mod destroy_versions;
mod exclusive;
mod json;
mod list_keys;
mod model;
mod notes;
mod numbers;
mod patch_metadata;
mod patch_version;
mod read_config;
mod read_metadata;
mod read_subkeys;
mod read_version;
mod record;
mod undelete_versions;
mod write_config;
mod write_metadata;
mod write_version;
mod wrong_shape;

use coffre_api::kv2;
use coffre_engine::{Engine, Row};

/// The engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct KvV2;

impl Engine for KvV2 {
    const KIND: &'static str = "kv";
    const ROWS: &'static [Row<Self>] = &[
        Row::of::<kv2::ReadConfig>(),
        Row::of::<kv2::WriteConfig>(),
        Row::of::<kv2::ReadVersion>(),
        Row::creates::<kv2::WriteVersion>(),
        Row::of::<kv2::PatchVersion>(),
        Row::of::<kv2::DeleteLatest>(),
        Row::of::<kv2::DeleteVersions>(),
        Row::of::<kv2::UndeleteVersions>(),
        Row::of::<kv2::DestroyVersions>(),
        Row::of::<kv2::ListKeys>(),
        Row::of::<kv2::ReadMetadata>(),
        Row::creates::<kv2::WriteMetadata>(),
        Row::of::<kv2::PatchMetadata>(),
        Row::of::<kv2::DeleteMetadata>(),
        Row::of::<kv2::ReadSubkeys>(),
        Row::of::<kv2::UnversionedRead>(),
        Row::of::<kv2::UnversionedList>(),
        Row::of::<kv2::UnversionedWrite>(),
        Row::of::<kv2::UnversionedPatch>(),
        Row::of::<kv2::UnversionedDelete>(),
    ];
}

const _: &[Row<KvV2>] = KvV2::ROWS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        assert_eq!(coffre_engine::check_table::check::<KvV2>(), []);
    }
}
