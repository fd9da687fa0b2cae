//! The kernel's own mounts: every cluster has them, and they can be neither disabled nor moved.

use coffre_ambient::{Entropy, ids};
use coffre_api::Refusal;

use super::entry::MountEntry;

/// A mount that every cluster has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    /// Where.
    pub(crate) path: &'static str,
    kind: &'static str,
    description: &'static str,
}

/// All of them.
pub(crate) const FIXED: [Fixed; 4] = [
    Fixed {
        path: "sys/",
        kind: "system",
        description: "system endpoints used for control, policy and debugging",
    },
    Fixed { path: "cubbyhole/", kind: "cubbyhole", description: "per-token private secret storage" },
    Fixed { path: "identity/", kind: "identity", description: "identity store" },
    Fixed { path: "auth/token/", kind: "token", description: "token based credentials" },
];

/// The entry of such a mount in a new cluster, or in one that was made before the mount existed.
pub(crate) fn fixed_entry(fixed: Fixed, entropy: &dyn Entropy) -> Result<MountEntry, Refusal> {
    let Fixed { path, kind, description } = fixed;
    Ok(MountEntry {
        uuid: ids::uuid(entropy).map_err(Refusal::bug)?,
        accessor: format!("{kind}_{}", ids::hex(entropy, 4).map_err(Refusal::bug)?),
        path: path.into(),
        kind: kind.into(),
        description: description.into(),
        ..MountEntry::default()
    })
}
