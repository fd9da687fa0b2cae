//! Who is in which group: two empty records for each membership, one from each side.

use std::collections::BTreeSet;

use coffre_api::Refusal;
use coffre_barrier::ViewBatch;

use super::model::Member;
use super::store::IdentityStore;
use crate::keys::KernelKey;
use crate::stored;

impl IdentityStore {
    /// The groups that name this entity or group as a member.
    pub(super) async fn groups_with(&self, member: &str) -> Result<Vec<String>, Refusal> {
        stored::all_below(&self.root, &KernelKey::IdentityIn(member, "").to_string()).await
    }

    /// The members of a group, of one kind.
    pub(super) async fn members(&self, group: &str, kind: Member) -> Result<Vec<String>, Refusal> {
        stored::all_below(&self.root, &KernelKey::IdentityOf(group, kind.word(), "").to_string()).await
    }
}

/// Puts a member into a group.
pub(super) fn join(batch: ViewBatch, group: &str, kind: Member, member: &str) -> ViewBatch {
    batch
        .put(KernelKey::IdentityIn(member, group).to_string(), Vec::new())
        .put(KernelKey::IdentityOf(group, kind.word(), member).to_string(), Vec::new())
}

/// Takes a member out of a group.
pub(super) fn leave(batch: ViewBatch, group: &str, kind: Member, member: &str) -> ViewBatch {
    batch
        .delete(KernelKey::IdentityIn(member, group).to_string())
        .delete(KernelKey::IdentityOf(group, kind.word(), member).to_string())
}

/// The steps from one set of members to another.
pub(super) fn change(
    mut batch: ViewBatch,
    group: &str,
    kind: Member,
    (before, after): (&BTreeSet<String>, &BTreeSet<String>),
) -> ViewBatch {
    for member in before.difference(after) {
        batch = leave(batch, group, kind, member);
    }
    for member in after.difference(before) {
        batch = join(batch, group, kind, member);
    }
    batch
}
