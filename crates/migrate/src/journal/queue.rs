//! What must be rotated because it once stood in a file in the clear: moving a secret does not make it secret again.

use serde::{Deserialize, Serialize};

use super::Event;

/// Who may have seen it, the worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exposure {
    /// Everybody who ever had the repository: the value is in its history.
    Git,
    /// Every user of the machine: the file could be read by all.
    WorldReadable,
    /// Whoever could read the file, its backups and the images that it was copied into.
    File,
}

impl Exposure {
    /// The word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Git => "in git history",
            Self::WorldReadable => "readable by every user",
            Self::File => "in a file",
        }
    }
}

/// A variable to rotate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Queued {
    /// The variable.
    pub name: String,
    /// How it was exposed.
    pub exposure: Exposure,
    /// Always `migration`; other reasons come from elsewhere.
    pub reason: String,
}

impl Queued {
    /// Queued because it was migrated.
    #[must_use]
    pub fn by_migration(name: impl Into<String>, exposure: Exposure) -> Self {
        Self { name: name.into(), exposure, reason: "migration".to_owned() }
    }
}

pub(super) fn fold(queue: &mut Vec<Queued>, event: &Event) {
    match event {
        Event::Queued { items } => {
            for item in items {
                match queue.iter_mut().find(|known| known.name == item.name) {
                    Some(known) => known.exposure = known.exposure.min(item.exposure),
                    None => queue.push(item.clone()),
                }
            }
            queue.sort_by(|a, b| (a.exposure, &a.name).cmp(&(b.exposure, &b.name)));
        }
        Event::Rotated { name } => queue.retain(|known| known.name != *name),
        _ => {}
    }
}
