//! Kubernetes: a pod logs in with the token of its service account (Vault documentation, "Kubernetes auth method").
//!
//! Threat model: whoever holds a token that was made for somebody else, forges one, or lets one run out; whoever is a
//! service account and wants another one's role.
//!
//! Tokens are JSON Web Tokens (RFC 7519), checked against the cluster's public keys (`pem_keys`): signature, end, beginning,
//! audience, and, if that was asked for, issuer. The kind of signature is chosen by us from what a public key can do; "none"
//! and keyed hashes are no names that we know. What `kid` says is not looked up anywhere. Every refusal is the same.
//!
//! A token without an end is refused. One that the cluster takes back before its end is good until then: make them short.

mod config;
mod jwt;
mod login;
mod model;
mod role;

use coffre_api::{Refusal, kubernetes as api};
use coffre_engine::{Engine, LoginFacts, MountCx, RenewTerms, Row};

/// The method. It keeps nothing in memory between requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kubernetes;

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
