//! Kubernetes: a pod logs in with the token of its service account (Vault documentation, "Kubernetes auth method").
//!
//! Threat model: whoever holds a token that was made for somebody else, forges one, or lets one run out; whoever is a
//! service account and wants another one's role.
//!
//! Tokens are JSON Web Tokens (RFC 7519). The mount's configuration says who checks them:
//!
//! * With `pem_keys`, we do, against the cluster's public keys: signature, end, beginning, audience, and, if that was asked
//!   for, issuer. The kind of signature is chosen by us from what a public key can do; "none" and keyed hashes are no names
//!   that we know. What `kid` says is not looked up anywhere. A token without an end is refused. One that the cluster takes
//!   back before its end is good until then: make them short.
//! * Without, the cluster's API server does ([`TokenReviewer`]), which also knows what was deleted. What a token claims must
//!   be bound to the role before the API server is asked, and be what it answers afterwards. Who reviews: the configured
//!   reviewer's token, else that of the pod in which this server runs, else the token itself.
//!
//! Whatever is wrong with a token, the refusal is the same.

mod config;
mod jwt;
mod login;
mod model;
mod review;
mod role;

use std::sync::Arc;

use coffre_api::{Refusal, kubernetes as api};
use coffre_engine::{Engine, LoginFacts, MountCx, RenewTerms, Row};

pub use review::{Question, Review, ReviewError, TokenReviewer};

/// The method. It keeps nothing in memory between requests.
#[derive(Clone, Default)]
pub struct Kubernetes {
    reviewer: Option<Arc<dyn TokenReviewer>>,
}

impl Kubernetes {
    /// With somebody who asks API servers; without, only `pem_keys` check tokens.
    #[must_use]
    pub const fn new(reviewer: Option<Arc<dyn TokenReviewer>>) -> Self {
        Self { reviewer }
    }
}

impl Engine for Kubernetes {
    const KIND: &'static str = "kubernetes";
    const FOLDED: &'static [&'static str] = &["name"];
    const ROWS: &'static [Row<Self>] = &[
        Row::of::<api::Login>(),
        Row::of::<api::WriteConfig>(),
        Row::of::<api::ReadConfig>(),
        Row::of::<api::ListRoles>(),
        Row::creates::<api::WriteRole>(),
        Row::of::<api::ReadRole>(),
        Row::of::<api::DeleteRole>(),
    ];

    async fn renew_login(&self, cx: MountCx<'_>, login: &LoginFacts) -> Result<RenewTerms, Refusal> {
        login::terms(cx, login).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let flaws = coffre_engine::check_table::check::<Kubernetes>();
        assert!(flaws.is_empty(), "{flaws:?}");
        let public = coffre_engine::check_table::public_rows::<Kubernetes>("");
        assert_eq!(public.len(), 1, "{public:?}");
    }
}
