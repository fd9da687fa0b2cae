use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// What changed since the last time somebody asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Variables of the manifest, sorted.
    pub names: Vec<Arc<str>>,
    /// Documents (below `<mount>/<environment>/`) and credentials, sorted.
    pub paths: Vec<Arc<str>>,
}

/// Hears of values that change. While there is one, everything the manifest names is kept fresh without being read.
pub struct Subscription(Arc<Bell>);

#[derive(Default)]
pub(crate) struct Bell {
    news: Mutex<News>,
    rung: Condvar,
}

#[derive(Default)]
struct News {
    names: BTreeSet<Arc<str>>,
    paths: BTreeSet<Arc<str>>,
    closed: bool,
}

impl Subscription {
    /// Waits until something changes, `timeout` at most; `None` if nothing did. What changed several times, or while
    /// nobody waited, is told once.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] once the secrets are closed.
    pub fn wait(&self, timeout: Duration) -> Result<Option<Changes>, Error> {
        let news = self.0.news.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = |news: &mut News| !news.closed && news.names.is_empty() && news.paths.is_empty();
        let (mut news, _) =
            self.0.rung.wait_timeout_while(news, timeout, quiet).unwrap_or_else(PoisonError::into_inner);
        let (names, paths) = (std::mem::take(&mut news.names), std::mem::take(&mut news.paths));
        if !names.is_empty() || !paths.is_empty() {
            let (names, paths) = (names.into_iter().collect(), paths.into_iter().collect());
            return Ok(Some(Changes { names, paths }));
        }
        if news.closed {
            return Err(Error::new(ErrorKind::Closed, "the secrets were closed; nothing changes any more"));
        }
        Ok(None)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription")
    }
}

/// Everybody who wants to hear.
#[derive(Default)]
pub(crate) struct Bells(Mutex<Vec<Weak<Bell>>>);

impl Bells {
    pub(crate) fn subscribe(&self) -> Subscription {
        let bell = Arc::new(Bell::default());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|bell| bell.strong_count() > 0);
        all.push(Arc::downgrade(&bell));
        Subscription(bell)
    }

    /// Whether anybody listens.
    pub(crate) fn any(&self) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|bell| bell.strong_count() > 0)
    }

    pub(crate) fn ring(&self, names: &BTreeSet<Arc<str>>, paths: &BTreeSet<Arc<str>>) {
        self.each(|news| {
            news.names.extend(names.iter().cloned());
            news.paths.extend(paths.iter().cloned());
        });
    }

    pub(crate) fn close(&self) {
        self.each(|news| news.closed = true);
    }

    fn each(&self, tell: impl Fn(&mut News)) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for bell in all.iter().filter_map(Weak::upgrade) {
            tell(&mut bell.news.lock().unwrap_or_else(PoisonError::into_inner));
            bell.rung.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_told_once_and_closing_ends_it() {
        let bells = Bells::default();
        assert!(!bells.any());
        let subscription = bells.subscribe();
        assert!(bells.any());
        assert_eq!(subscription.wait(Duration::ZERO).unwrap(), None);
        let (names, paths) = (BTreeSet::from([Arc::from("A")]), BTreeSet::from([Arc::from("a")]));
        bells.ring(&names, &paths);
        bells.ring(&names, &paths);
        let changes = subscription.wait(Duration::from_secs(5)).unwrap().unwrap();
        assert_eq!((changes.names.len(), changes.paths.len()), (1, 1));
        assert_eq!(subscription.wait(Duration::ZERO).unwrap(), None);
        bells.close();
        assert_eq!(subscription.wait(Duration::from_secs(5)).unwrap_err().kind(), ErrorKind::Closed);
    }
}
