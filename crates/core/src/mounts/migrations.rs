//! What became of the moves that were asked for: kept in memory, the latest few.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use coffre_api::sys::remount::MigrationInfo;

/// Moves that are remembered; the oldest is forgotten first.
const REMEMBERED: usize = 256;

/// The moves since the unseal, by the ids that their callers got.
#[derive(Default)]
pub(crate) struct Migrations(Mutex<VecDeque<(String, MigrationInfo)>>);

impl Migrations {
    /// A move begins.
    pub(crate) fn begin(&self, id: &str, from: &str, to: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == REMEMBERED {
            all.pop_front();
        }
        let info = MigrationInfo {
            source_mount: from.into(),
            target_mount: to.into(),
            status: "in-progress".into(),
        };
        all.push_back((id.to_owned(), info));
    }

    /// A move ended.
    pub(crate) fn end(&self, id: &str, done: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, info)) = all.iter_mut().find(|(known, _)| known == id) {
            info.status = if done { "success" } else { "failure" }.into();
        }
    }

    /// How a move goes; `None` if it is not remembered.
    pub(crate) fn get(&self, id: &str) -> Option<MigrationInfo> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|(known, _)| known == id).map(|(_, info)| info.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_no_more() {
        let migrations = Migrations::default();
        for number in 0..=REMEMBERED {
            migrations.begin(&number.to_string(), "a/", "b/");
        }
        assert_eq!(migrations.get("0"), None);
        assert_eq!(migrations.get("1").map(|info| info.status), Some("in-progress".into()));
        migrations.end("1", false);
        migrations.end("0", true);
        assert_eq!(migrations.get("1").map(|info| info.status), Some("failure".into()));
        assert_eq!(migrations.0.lock().unwrap().len(), REMEMBERED);
    }
}
