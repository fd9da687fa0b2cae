//! What accepts or refuses credentials.

use std::collections::BTreeSet;

use coffre_rotation::Kind;

/// What accepts or refuses credentials, outside of the store.
pub(crate) struct Outside {
    kind: Kind,
    /// The highest fence it has seen.
    pub(crate) fence: u64,
    /// Alternating principals: which material each takes.
    pub(crate) principals: [Option<u64>; 2],
    /// Materials that are accepted now, where that is a set.
    pub(crate) live: BTreeSet<u64>,
    /// And after a restart.
    kept: BTreeSet<u64>,
    /// Rows by the material they are encrypted under.
    pub(crate) rows: Vec<u64>,
    /// Whether it looks at fences (it does; a test turns this off to see what happens then).
    pub(crate) fenced: bool,
}

/// A single effect: what a process does between two moments in which it can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A principal takes this material.
    SetPassword(usize, u64),
    /// A principal takes nothing.
    NoLogin(usize),
    /// Another password of the user.
    Add(u64),
    Remove(u64),
    /// The passwords outlive a restart.
    Persist,
}

impl Outside {
    pub(crate) fn new(kind: Kind) -> Self {
        let first = BTreeSet::from([1]);
        let kept = first.clone();
        Self {
            kind,
            fence: 0,
            principals: [Some(1), None],
            live: first,
            kept,
            rows: Vec::new(),
            fenced: true,
        }
    }

    /// `false`: refused because of the fence.
    pub(crate) fn take(&mut self, effect: Effect, fence: u64) -> bool {
        if self.fenced && fence < self.fence {
            return false;
        }
        self.fence = self.fence.max(fence);
        match effect {
            Effect::SetPassword(principal, material) => self.principals[principal] = Some(material),
            Effect::NoLogin(principal) => self.principals[principal] = None,
            Effect::Add(material) => drop(self.live.insert(material)),
            Effect::Remove(material) => drop(self.live.remove(&material)),
            Effect::Persist => self.kept.clone_from(&self.live),
        }
        true
    }

    /// The server of a set of passwords is started anew.
    pub(crate) fn restart(&mut self) {
        if self.kind == Kind::RedisTwoPassword {
            self.live.clone_from(&self.kept);
        }
    }

    /// Whether a credential logs in.
    pub(crate) fn accepts(&self, principal: usize, material: u64) -> bool {
        match self.kind {
            Kind::PgAlternating => self.principals[principal] == Some(material),
            Kind::SigningKey | Kind::EncryptionKey => true,
            _ => self.live.contains(&material),
        }
    }

    /// How many credentials are accepted.
    pub(crate) fn living(&self) -> usize {
        match self.kind {
            Kind::PgAlternating => self.principals.iter().flatten().count(),
            Kind::SigningKey | Kind::EncryptionKey => 0,
            _ => self.live.len(),
        }
    }
}
