use std::fmt;

/// What a request does, after HTTP's verbs are mapped (POST and PUT are both [`Op::Write`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// GET, HEAD.
    Read,
    /// LIST, or GET with `list=true`.
    List,
    /// POST and PUT: create or update, decided by the engine's existence check.
    Write,
    /// PATCH with a merge-patch body (RFC 7396).
    Patch,
    /// DELETE.
    Delete,
}

impl Op {
    /// All of them, in a fixed order.
    pub const ALL: [Self; 5] = [Self::Read, Self::List, Self::Write, Self::Patch, Self::Delete];

    /// Whether arguments travel in the body (otherwise in the query).
    pub const fn has_body(self) -> bool {
        matches!(self, Self::Write | Self::Patch)
    }

    /// The word that Vault's audit log uses; writes are told apart by `creates`.
    pub const fn audit_word(self, creates: bool) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write if creates => "create",
            Self::Write => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// The capability that a policy must grant; `exists` decides between create and update.
    pub const fn capability(self, exists: bool) -> Capability {
        match self {
            Self::Read => Capability::Read,
            Self::List => Capability::List,
            Self::Write if exists => Capability::Update,
            Self::Write => Capability::Create,
            Self::Patch => Capability::Patch,
            Self::Delete => Capability::Delete,
        }
    }
}

/// What a policy may grant on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// Write where nothing was.
    Create,
    /// Read.
    Read,
    /// Write over what was.
    Update,
    /// Delete.
    Delete,
    /// List the children.
    List,
    /// Use a root-protected path.
    Sudo,
    /// Refuse everything; absorbs all others.
    Deny,
    /// Merge-patch what was.
    Patch,
}

impl Capability {
    /// The word in a policy.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Sudo => "sudo",
            Self::Deny => "deny",
            Self::Patch => "patch",
        }
    }

    /// Reads the word; anything else gives `None`.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "create" => Self::Create,
            "read" => Self::Read,
            "update" => Self::Update,
            "delete" => Self::Delete,
            "list" => Self::List,
            "sudo" => Self::Sudo,
            "deny" => Self::Deny,
            "patch" => Self::Patch,
            _ => return None,
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
