use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest id.
const MOST: usize = 128;

/// A running instance of something that uses a credential: service, host, boot, process, as one segment of a path.
///
/// Each part is letters, digits and `-`; parts are joined by `.`. At most 128 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConsumerId(String);

impl ConsumerId {
    /// Of `<service>/<host>/<boot-id>/<pid-start>`. What is not a letter, a digit or `-` becomes `-`; an empty part
    /// becomes `-`; parts that are too long are cut, the process's never.
    pub fn of(service: &str, host: &str, boot: &str, process: &str) -> Self {
        let parts = [clean(service, 40), clean(host, 40), clean(boot, 20), clean(process, 25)];
        Self(parts.join("."))
    }

    /// Reads an id: 1 to 128 letters, digits, `-` and `.`, neither `.` nor `..`. `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let sound = !matches!(text, "" | "." | "..") && text.len() <= MOST && text.bytes().all(plain);
        sound.then(|| Self(text.to_owned()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Another name of the same instance, for when this one is somebody else's; 1 is this one.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        if number < 2 {
            return self.clone();
        }
        let suffix = format!("-{number}");
        let kept = self.0.get(..self.0.len().min(MOST.saturating_sub(suffix.len()))).unwrap_or_default();
        Self(format!("{kept}{suffix}"))
    }

    /// Its first part: which service it is an instance of.
    pub fn service(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

fn clean(part: &str, most: usize) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
    let cleaned: String = part.chars().take(most).map(plain).collect();
    if cleaned.is_empty() { "-".to_owned() } else { cleaned }
}

impl TryFrom<String> for ConsumerId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::parse(&text).ok_or("not the id of a consumer")
    }
}

impl From<ConsumerId> for String {
    fn from(id: ConsumerId) -> Self {
        id.0
    }
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_made_one_segment() {
        let id = ConsumerId::of("api", "web-1.example", "8c1e/2f", "4711-99");
        assert_eq!(id.as_str(), "api.web-1-example.8c1e-2f.4711-99");
        assert_eq!(id.service(), "api");
        assert_eq!(ConsumerId::parse(id.as_str()), Some(id));
        let long = ConsumerId::of(&"é".repeat(300), &"h".repeat(300), &"b".repeat(300), &"9".repeat(300));
        assert_eq!(long.as_str().len(), 128);
        assert_eq!(long.numbered(2).as_str().len(), 128);
        assert_ne!(long.numbered(2), long.numbered(1));
        assert_eq!(ConsumerId::of("", "", "", "").as_str(), "-.-.-.-");
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"a".repeat(129)] {
            assert_eq!(ConsumerId::parse(bad), None, "{bad}");
        }
    }
}
