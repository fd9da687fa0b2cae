/// Who may call an endpoint. It stands in the endpoint's declaration, so a renamed path keeps its protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A token whose policies grant the operation's capability.
    Token,
    /// As [`Access::Token`], and the policy must grant `sudo` besides.
    Sudo,
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
}
