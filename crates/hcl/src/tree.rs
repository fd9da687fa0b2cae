/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// `null`, which HCL 1 does not have.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number, as written. In strict JSON, where `5.0` and `5e0` are one number, what is no 64-bit integer has
    /// the shortest decimal form of its double instead (RFC 8259, section 6).
    Number(String),
    /// What stood in quotes, escapes resolved.
    Text(String),
    /// `[…]`.
    List(Vec<Node>),
    /// `{…}`, or what stands behind a label.
    Object(Vec<Entry>),
}

/// One key of an object, with its value. Entries are equal if they say the same, wherever they stand.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Without quotes, escapes resolved.
    pub key: String,
    /// What stands behind the key.
    pub value: Node,
    /// Where the key stands, from 1.
    pub line: usize,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Eq for Entry {}

impl Node {
    /// The items of a list; a single value counts as a list of one, as in HCL 1.
    #[must_use]
    pub fn into_items(self) -> Vec<Self> {
        match self {
            Self::List(items) => items,
            other => vec![other],
        }
    }

    /// The entries of an object, or of several objects in a list (HCL's JSON form). `None` if it is neither.
    #[must_use]
    pub fn into_entries(self) -> Option<Vec<Entry>> {
        match self {
            Self::Object(entries) => Some(entries),
            Self::List(items) => {
                let mut all = Vec::new();
                for item in items {
                    let Self::Object(entries) = item else { return None };
                    all.extend(entries);
                }
                Some(all)
            }
            _ => None,
        }
    }
}
