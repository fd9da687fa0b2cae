//! What the kernel asks a login method when a token that its login made is to be renewed.

use std::collections::BTreeMap;
use std::time::Duration;

/// What the kernel kept of a login for the day when its token is renewed.
#[derive(Clone, Debug, Default)]
pub struct LoginFacts {
    /// What the method put into [`TokenGrant::facts`](crate::TokenGrant::facts). Empty for tokens from before the
    /// method kept any.
    pub facts: BTreeMap<String, String>,
    /// The name under which the method knew the caller; empty if it told none.
    pub alias: String,
    /// The token's own policies, sorted, `default` with them unless the login left it out.
    pub policies: Vec<String>,
    /// What the login told about the caller.
    pub metadata: BTreeMap<String, String>,
    /// The terms of the login, or of the last renewal. What "as granted" returns.
    pub terms: RenewTerms,
}

/// The terms within which a token is renewed. Zero is "not set": the mount decides.
///
/// The bound that nothing extends (`explicit_max_ttl`) is fixed when a token is made and is no term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenewTerms {
    /// Lifetime from now when the caller asks for none.
    pub ttl: Duration,
    /// Bound of all renewals together, from when the token was made.
    pub max_ttl: Duration,
    /// Renewal resets to this.
    pub period: Duration,
}
