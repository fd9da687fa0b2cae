use std::path::Path;

/// The host's users and groups: what passwd(5) and group(5) say. Directories behind the name service are not asked;
/// write numbers for theirs.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    users: Vec<(String, u32)>,
    groups: Vec<(String, u32)>,
}

impl Accounts {
    /// From `/etc/passwd` and `/etc/group`; what cannot be read knows no names.
    #[must_use]
    pub fn of_host() -> Self {
        let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
        Self::parse(&read("/etc/passwd"), &read("/etc/group"))
    }

    /// From the two files' texts.
    #[must_use]
    pub fn parse(passwd: &str, group: &str) -> Self {
        let read = |text: &str| text.lines().filter_map(entry).collect();
        Self { users: read(passwd), groups: read(group) }
    }

    /// The id of a user, given as name or number.
    #[must_use]
    pub fn user(&self, word: &str) -> Option<u32> {
        find(&self.users, word)
    }

    /// The id of a group, given as name or number.
    #[must_use]
    pub fn group(&self, word: &str) -> Option<u32> {
        find(&self.groups, word)
    }
}

/// The name and the third field.
fn entry(line: &str) -> Option<(String, u32)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
}

/// A name wins over a number, as in chown(1). The largest number means "nobody at all" to the system and is refused.
fn find(known: &[(String, u32)], word: &str) -> Option<u32> {
    let named = known.iter().find(|(name, _)| name == word).map(|(_, id)| *id);
    named.or_else(|| word.parse().ok()).filter(|id| *id != u32::MAX)
}
