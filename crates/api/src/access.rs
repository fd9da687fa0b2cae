/// Who may call an endpoint. It stands in the endpoint's declaration, so a renamed path keeps its protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A token whose policies grant the operation's capability.
    Token,
    /// As [`Access::Token`], and the policy must grant `sudo` besides.
    Sudo,
    /// As [`Access::Sudo`], or anybody where the listener opens this ceremony; its credentials are the shares.
    Ceremony(Ceremony),
    /// Anybody, while unsealed. The text says why.
    Public(&'static str),
    /// Anybody, sealed or not, answered before any audit device exists. The text says why.
    Sealed(&'static str),
}

impl Access {
    /// Whether a caller without a token gets through.
    pub const fn is_public(self) -> bool {
        matches!(self, Self::Public(_) | Self::Sealed(_))
    }

    /// Whether the caller's policy must grant `sudo`.
    pub const fn needs_sudo(self) -> bool {
        matches!(self, Self::Sudo | Self::Ceremony(_))
    }

    /// What it is behind a listener that opens these ceremonies.
    #[must_use]
    pub const fn behind(self, open: OpenCeremonies) -> Self {
        match self {
            Self::Ceremony(Ceremony::Rekey) if open.rekey => Self::Public(OPENED),
            Self::Ceremony(Ceremony::GenerateRoot) if open.generate_root => Self::Public(OPENED),
            closed => closed,
        }
    }
}

const OPENED: &str = "the listener opens this ceremony to everybody";

/// What holders of key shares do together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceremony {
    /// Split the unseal key anew.
    Rekey,
    /// Make a root token.
    GenerateRoot,
}

/// The ceremonies that a listener opens to callers without a token. None by default: who can begin or end a ceremony
/// can also keep the holders from finishing one (CVE-2025-52894, CVE-2026-5807).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCeremonies {
    /// `sys/rekey/*`.
    pub rekey: bool,
    /// `sys/generate-root/*`.
    pub generate_root: bool,
}
