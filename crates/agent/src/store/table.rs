use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use coffre_cache::{Mark, Shown};

use super::Got;
use crate::document::Document;

/// What is shown to readers, by path.
#[derive(Default)]
pub(super) struct Table {
    shown: RwLock<BTreeMap<String, (Arc<Document>, Shown)>>,
    hits: AtomicU64,
}

/// A value that may be used.
pub(super) struct Hit {
    pub(super) got: Got,
    /// Whether the machine should hear of it.
    pub(super) touch: bool,
}

impl Table {
    pub(super) fn get(&self, path: &str, now: Duration) -> Option<Hit> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let (document, shown) = shown.get(path).filter(|(_, shown)| now < shown.hard_until)?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(Hit { got: got(document, shown, now), touch: now >= shown.revalidate_at })
    }

    pub(super) fn publish(&self, path: String, document: Arc<Document>, shown: Shown) {
        let mut all = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(path, (document, shown));
    }

    pub(super) fn withdraw(&self, path: &str) {
        self.shown.write().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

pub(super) fn got(document: &Arc<Document>, shown: &Shown, now: Duration) -> Got {
    Got {
        document: Arc::clone(document),
        left: shown.hard_until.saturating_sub(now),
        degraded: shown.mark != Mark::Confirmed,
    }
}
