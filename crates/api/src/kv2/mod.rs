//! Endpoints of the KV engine, version 2: each write makes a version, deletion can be taken back
//! (Vault documentation, "KV secrets engine, version 2, API").

mod delete_after;
mod delete_latest;
mod delete_metadata;
mod delete_versions;
mod destroy_versions;
mod list_keys;
mod patch_metadata;
mod patch_version;
mod read_config;
mod read_metadata;
mod read_subkeys;
mod read_version;
mod undelete_versions;
mod version_metadata;
mod write_config;
mod write_metadata;
mod write_version;
mod wrong_shape;

pub use delete_after::DeleteAfter;
pub use delete_latest::{DeleteLatest, DeleteLatestInput};
pub use delete_metadata::{DeleteMetadata, DeleteMetadataInput};
pub use delete_versions::{DeleteVersions, DeleteVersionsInput};
pub use destroy_versions::{DestroyVersions, DestroyVersionsInput};
pub use list_keys::{ListKeys, ListKeysInput};
pub use patch_metadata::{PatchMetadata, PatchMetadataInput};
pub use patch_version::{PatchVersion, PatchVersionInput, PatchVersionOutput};
pub use read_config::{ReadConfig, ReadConfigInput, ReadConfigOutput};
pub use read_metadata::{ReadMetadata, ReadMetadataInput, ReadMetadataOutput, VersionState};
pub use read_subkeys::{ReadSubkeys, ReadSubkeysInput, ReadSubkeysOutput};
pub use read_version::{ReadVersion, ReadVersionInput, ReadVersionOutput};
pub use undelete_versions::{UndeleteVersions, UndeleteVersionsInput};
pub use version_metadata::VersionMetadata;
pub use write_config::{WriteConfig, WriteConfigInput};
pub use write_metadata::{WriteMetadata, WriteMetadataInput};
pub use write_version::{WriteOptions, WriteVersion, WriteVersionInput};
pub use wrong_shape::{
    UnversionedBody, UnversionedDelete, UnversionedList, UnversionedPatch, UnversionedPath, UnversionedRead,
    UnversionedWrite,
};
