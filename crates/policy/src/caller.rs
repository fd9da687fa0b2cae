use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use coffre_ambient::Wall;

use crate::Acl;

/// Who asks: nobody in particular, or the holder of a token.
///
/// Only the kernel's authentication stage makes one; everybody else receives it inside a [`crate::Permit`].
#[derive(Clone)]
pub struct Caller(Who);

#[derive(Clone)]
enum Who {
    Anonymous(&'static str),
    Token(Arc<TokenCaller>),
}

/// What is known about the holder of a token. The token itself is not here.
#[derive(Default)]
pub struct TokenCaller {
    /// The compiled policies.
    pub acl: Arc<Acl>,
    /// Names the token without being it; empty for batch tokens.
    pub accessor: String,
    /// For people: `token`, `approle`, `userpass-alice`.
    pub display_name: String,
    /// All policies, sorted.
    pub policies: Vec<String>,
    /// The token's own policies, sorted.
    pub token_policies: Vec<String>,
    /// Those of the entity and its groups, sorted.
    pub identity_policies: Vec<String>,
    /// Empty without identity.
    pub entity_id: String,
    /// What the login method told.
    pub metadata: BTreeMap<String, String>,
    /// `service` or `batch`.
    pub token_type: &'static str,
    /// How long the token was made for; zero is for ever.
    pub ttl: Duration,
    /// When it was made.
    pub issued: Wall,
    /// Room for what upper layers derive from this token and would otherwise derive for each request.
    pub memo: Memo,
}

impl Caller {
    /// Somebody without a token, on an endpoint that needs none. The text says why that is right.
    #[must_use]
    pub const fn anonymous(reason: &'static str) -> Self {
        Self(Who::Anonymous(reason))
    }

    /// The holder of a token that was looked up and found valid. Keep the [`Arc`] with the token's cache entry, so
    /// that its [`Memo`] serves more than one request.
    #[must_use]
    pub const fn token(token: Arc<TokenCaller>) -> Self {
        Self(Who::Token(token))
    }

    /// The token's facts, if there is a token.
    #[must_use]
    pub const fn as_token(&self) -> Option<&Arc<TokenCaller>> {
        match &self.0 {
            Who::Anonymous(_) => None,
            Who::Token(token) => Some(token),
        }
    }

    /// Whether the caller holds the `root` policy.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.as_token().is_some_and(|token| token.acl.is_root())
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Who::Anonymous(reason) => write!(f, "Caller(nobody: {reason})"),
            Who::Token(token) => write!(f, "Caller({})", token.display_name),
        }
    }
}

/// A few derived values that live as long as a token's facts. This crate does not look at them.
#[derive(Default)]
pub struct Memo(RwLock<Vec<(u64, Arc<[u8]>)>>);

impl Memo {
    /// Keys kept; the oldest makes room.
    const MAX: usize = 8;

    /// The value under `key`, derived by `make` the first time.
    pub fn get_or_make(&self, key: u64, make: impl FnOnce() -> Arc<[u8]>) -> Arc<[u8]> {
        let found = |kept: &[(u64, Arc<[u8]>)]| {
            kept.iter().find(|(have, _)| *have == key).map(|(_, value)| Arc::clone(value))
        };
        if let Some(value) = found(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return value;
        }
        let made = make();
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = found(&kept) {
            return value;
        }
        if kept.len() >= Self::MAX {
            kept.remove(0);
        }
        kept.push((key, Arc::clone(&made)));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_derives_once_per_key() {
        let memo = Memo::default();
        let mut calls = 0;
        for _ in 0..3 {
            memo.get_or_make(1, || {
                calls += 1;
                Arc::from(*b"x")
            });
        }
        assert_eq!(calls, 1);
        for key in 0..100 {
            assert_eq!(*memo.get_or_make(key + 10, || Arc::from([u8::try_from(key).unwrap()])), [key as u8]);
        }
    }

    #[test]
    fn debug_tells_no_accessor() {
        let token = TokenCaller { accessor: "CANARY".into(), ..TokenCaller::default() };
        assert!(!format!("{:?}", Caller::token(Arc::new(token))).contains("CANARY"));
    }
}
