//! AppRole: a machine logs in with a role id and a secret id (Vault documentation, "AppRole auth method").
//!
//! Threat model: whoever guesses ids, replays a used secret id, holds rights on another role, or reads what is stored.
//! A login answers one sentence and does the same work whether the role id is unknown or the secret id is wrong.
//!
//! * A secret id is stored as a keyed hash, and belongs to one *generation* of a role: a role that is deleted and made
//!   again knows none of the old ones, and no other role can reach them, also not by accessor.
//! * A limited secret id is counted down, durably, before the token is made: a crash may lose a use, never give one.
//! * A role id is not a secret: it is stored readable (below the barrier) for those who may read the role, but a login
//!   finds it by its keyed hash.
//!
//! Architecture invariant: a request without a token never writes, but for counting down and removing the secret id
//! that it proved to know.

mod accessor;
mod field;
mod hashing;
mod login;
mod model;
mod names;
mod records;
mod renewal;
mod role;
mod role_id;
mod secret_id;
mod settings;
mod tidy;

use coffre_api::{Refusal, approle as api};
use coffre_engine::{Engine, LoginFacts, MountCx, RenewTerms, Row};
use tokio::sync::Mutex;

/// The method. It keeps nothing in memory between requests but how far tidying has come.
#[derive(Debug, Default)]
pub struct AppRole {
    round: Mutex<tidy::Round>,
}

impl Engine for AppRole {
    const KIND: &'static str = "approle";
    const FOLDED: &'static [&'static str] = &["role_name"];
    const ROWS: &'static [Row<Self>] = &[
        Row::of::<api::Login>(),
        Row::of::<api::ListRoles>(),
        Row::creates::<api::WriteRole>(),
        Row::of::<api::ReadRole>(),
        Row::of::<api::DeleteRole>(),
        Row::of::<api::ReadRoleId>(),
        Row::of::<api::WriteRoleId>(),
        Row::of::<api::CreateSecretId>(),
        Row::of::<api::CreateCustomSecretId>(),
        Row::of::<api::ListSecretIds>(),
        Row::of::<api::LookupSecretId>(),
        Row::of::<api::DestroySecretId>(),
        Row::of::<api::DeleteSecretId>(),
        Row::of::<api::LookupByAccessor>(),
        Row::of::<api::DestroyByAccessor>(),
        Row::of::<api::DeleteByAccessor>(),
        Row::of::<api::TidySecretIds>(),
        Row::of::<api::ReadField<api::Policies>>(),
        Row::of::<api::WriteField<api::Policies>>(),
        Row::of::<api::ResetField<api::Policies>>(),
        Row::of::<api::ReadField<api::BoundCidrList>>(),
        Row::of::<api::WriteField<api::BoundCidrList>>(),
        Row::of::<api::ResetField<api::BoundCidrList>>(),
        Row::of::<api::ReadField<api::SecretIdBoundCidrs>>(),
        Row::of::<api::WriteField<api::SecretIdBoundCidrs>>(),
        Row::of::<api::ResetField<api::SecretIdBoundCidrs>>(),
        Row::of::<api::ReadField<api::TokenBoundCidrs>>(),
        Row::of::<api::WriteField<api::TokenBoundCidrs>>(),
        Row::of::<api::ResetField<api::TokenBoundCidrs>>(),
        Row::of::<api::ReadField<api::BindSecretId>>(),
        Row::of::<api::WriteField<api::BindSecretId>>(),
        Row::of::<api::ResetField<api::BindSecretId>>(),
        Row::of::<api::ReadField<api::SecretIdNumUses>>(),
        Row::of::<api::WriteField<api::SecretIdNumUses>>(),
        Row::of::<api::ResetField<api::SecretIdNumUses>>(),
        Row::of::<api::ReadField<api::SecretIdTtl>>(),
        Row::of::<api::WriteField<api::SecretIdTtl>>(),
        Row::of::<api::ResetField<api::SecretIdTtl>>(),
        Row::of::<api::ReadField<api::Period>>(),
        Row::of::<api::WriteField<api::Period>>(),
        Row::of::<api::ResetField<api::Period>>(),
        Row::of::<api::ReadField<api::TokenNumUses>>(),
        Row::of::<api::WriteField<api::TokenNumUses>>(),
        Row::of::<api::ResetField<api::TokenNumUses>>(),
        Row::of::<api::ReadField<api::TokenTtl>>(),
        Row::of::<api::WriteField<api::TokenTtl>>(),
        Row::of::<api::ResetField<api::TokenTtl>>(),
        Row::of::<api::ReadField<api::TokenMaxTtl>>(),
        Row::of::<api::WriteField<api::TokenMaxTtl>>(),
        Row::of::<api::ResetField<api::TokenMaxTtl>>(),
        Row::of::<api::ReadField<api::LocalSecretIds>>(),
    ];

    async fn renew_login(&self, cx: MountCx<'_>, login: &LoginFacts) -> Result<RenewTerms, Refusal> {
        renewal::terms(cx, login).await
    }

    async fn tidy(&self, cx: MountCx<'_>) -> Result<(), Refusal> {
        tidy::go_on(cx, &mut *self.round.lock().await).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let flaws = coffre_engine::check_table::check::<AppRole>();
        assert!(flaws.is_empty(), "{flaws:?}");
    }

    #[test]
    fn only_login_is_public() {
        let public = coffre_engine::check_table::public_rows::<AppRole>("");
        assert_eq!(public.len(), 1, "{public:?}");
        assert!(public[0].contains("login"), "{public:?}");
    }
}
