//! How much is logged, changed while the server runs. The log itself is the command line's; here is what it is told.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Takes directives such as `info,coffre_audit=debug`; false if they cannot be applied.
pub type LogSink = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// How much each part logs.
pub(crate) struct Loggers {
    usual: &'static str,
    sink: LogSink,
    set: Mutex<BTreeMap<&'static str, &'static str>>,
}

/// The parts: the crates of a server, without their common prefix.
const PARTS: [&str; 10] =
    ["audit", "barrier", "cli", "core", "engine", "engines", "http", "methods", "policy", "storage"];

const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

impl Loggers {
    /// `usual` is the level of the configuration; what is no level counts as `info`.
    pub(crate) fn new(usual: &str, sink: LogSink) -> Self {
        Self { usual: level(usual).unwrap_or("info"), sink, set: Mutex::default() }
    }

    /// Every part with its level.
    pub(crate) fn all(&self) -> BTreeMap<String, String> {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let level_of = |part: &&'static str| (*set.get(part).unwrap_or(&self.usual)).to_owned();
        PARTS.iter().map(|part| ((*part).to_owned(), level_of(part))).collect()
    }

    /// Sets one part, or all of them; `None` is the configuration's level. False if the log did not take it.
    pub(crate) fn set(&self, part: Option<&'static str>, level: Option<&'static str>) -> bool {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: &[&'static str] = part.as_slice();
        for part in if parts.is_empty() { &PARTS[..] } else { parts } {
            match level {
                Some(level) => set.insert(part, level),
                None => set.remove(part),
            };
        }
        let mut directives = self.usual.to_owned();
        for (part, level) in &*set {
            directives.push_str(&format!(",coffre_{part}={level}"));
        }
        (self.sink)(&directives)
    }
}

/// A part by its name.
pub(crate) fn part(name: &str) -> Option<&'static str> {
    PARTS.into_iter().find(|part| *part == name)
}

/// A level by one of Vault's words.
pub(crate) fn level(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "notice" => Some("info"),
        "warning" => Some("warn"),
        "err" => Some("error"),
        word => LEVELS.into_iter().find(|level| *level == word),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn directives_say_what_was_set_and_nothing_else() {
        let seen = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&seen);
        let loggers = Loggers::new(
            "WARNING",
            Box::new(move |directives| {
                directives.clone_into(&mut sink.lock().unwrap());
                true
            }),
        );
        assert!(loggers.set(part("audit"), level("debug")));
        assert_eq!(*seen.lock().unwrap(), "warn,coffre_audit=debug");
        assert_eq!((loggers.all()["audit"].as_str(), loggers.all()["core"].as_str()), ("debug", "warn"));
        loggers.set(None, level("err"));
        assert!(loggers.all().values().all(|level| level == "error"));
        loggers.set(part("core"), None);
        assert_eq!(loggers.all()["core"], "warn");
        loggers.set(None, None);
        assert_eq!(*seen.lock().unwrap(), "warn");
        assert!(part("coffre_core").is_none() && level("loud").is_none());
    }
}
