use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a target stands. On the wire in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Phase {
    /// Nothing is being rotated.
    Idle,
    /// New material is drawn and stored in the record; nothing has left.
    Prepare,
    /// The material is put where it will be checked: a role's password, a second password.
    Apply,
    /// The material is tried on the consumer's own path.
    Verify,
    /// The document accepts the new generation; nobody uses it yet.
    Publish,
    /// The document names the new generation as the active one.
    Promote,
    /// The old generation is still accepted; waiting until nothing depends on it.
    Drain,
    /// The old generation is no longer accepted.
    Retire,
    /// What was encrypted under the old generation is encrypted anew.
    Reencrypt,
    /// Every stored copy of the old material goes.
    Destroy,
    /// What was begun before promotion is taken back.
    Undo,
    /// Waiting for a person. The active generation stays valid and accepted.
    Halt,
}

impl Phase {
    /// All phases, in their order.
    pub const ALL: [Self; 12] = [
        Self::Idle,
        Self::Prepare,
        Self::Apply,
        Self::Verify,
        Self::Publish,
        Self::Promote,
        Self::Drain,
        Self::Retire,
        Self::Reencrypt,
        Self::Destroy,
        Self::Undo,
        Self::Halt,
    ];

    /// As on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Prepare => "PREPARE",
            Self::Apply => "APPLY",
            Self::Verify => "VERIFY",
            Self::Publish => "PUBLISH",
            Self::Promote => "PROMOTE",
            Self::Drain => "DRAIN",
            Self::Retire => "RETIRE",
            Self::Reencrypt => "REENCRYPT",
            Self::Destroy => "DESTROY",
            Self::Undo => "UNDO",
            Self::Halt => "HALT",
        }
    }

    /// Whether new material is under way and no document names it as active: from here `undo` changes nothing for
    /// consumers.
    pub const fn is_before_promotion(self) -> bool {
        matches!(self, Self::Prepare | Self::Apply | Self::Verify | Self::Publish | Self::Promote)
    }

    /// The phases of which an environment has one target at a time.
    pub const fn is_limited(self) -> bool {
        matches!(self, Self::Apply | Self::Verify | Self::Publish | Self::Promote)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What sort of thing rotates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A ring of keys that sign: JWT, sessions.
    SigningKey,
    /// A ring of keys that encrypt what is stored.
    EncryptionKey,
    /// Two login roles of PostgreSQL in turn.
    PgAlternating,
    /// One user of Redis or Valkey with up to two passwords.
    RedisTwoPassword,
    /// Credentials with a lease, made on demand by the vault.
    Dynamic,
    /// A key that somebody else issues and a person brings.
    External,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::SigningKey,
        Self::EncryptionKey,
        Self::PgAlternating,
        Self::RedisTwoPassword,
        Self::Dynamic,
        Self::External,
    ];

    /// As on the wire and in the manifest.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SigningKey => "signing-key",
            Self::EncryptionKey => "encryption-key",
            Self::PgAlternating => "pg-alternating",
            Self::RedisTwoPassword => "redis-two-password",
            Self::Dynamic => "dynamic",
            Self::External => "external",
        }
    }

    /// The kind of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a rotation was begun.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It was due.
    Schedule,
    /// A person asked for it.
    Manual,
    /// The old material is known to somebody: no overlap.
    Compromised,
    /// The active material does not work any more.
    Drift,
    /// The first rotation after a migration.
    Migration,
}

impl Reason {
    /// As on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::Compromised => "compromised",
            Self::Drift => "drift",
            Self::Migration => "migration",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_wire() {
        for phase in Phase::ALL {
            assert_eq!(serde_json::to_string(&phase).unwrap(), format!("\"{phase}\""));
        }
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
            assert_eq!(Kind::of_word(kind.word()), Some(kind));
        }
        for reason in
            [Reason::Schedule, Reason::Manual, Reason::Compromised, Reason::Drift, Reason::Migration]
        {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
    }
}
