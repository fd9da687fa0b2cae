//! Userpass: a person logs in with a name and a password (Vault documentation, "Userpass auth method").
//!
//! Threat model: whoever guesses passwords or names, measures how long an answer takes, tries many at once, or reads what
//! is stored.
//!
//! * Passwords are kept as Argon2id (RFC 9106) with OWASP's parameters. A login with an unknown name hashes as well, and
//!   answers the same sentence. Hashing has a bounded pool: what does not fit its queue is told to come back (429).
//! * bcrypt hashes are taken from other systems, never made. The first good login replaces one; until then the time of a
//!   login can tell such a user from others.
//! * A name has one spelling (`names`), so a lock, an alias and a policy mean the same user.
//!
//! Architecture invariant: a request without a token never writes, but for replacing the bcrypt hash whose password it
//! proved to know.

mod hash;
mod login;
mod model;
mod names;
mod pool;
mod user;

use coffre_api::{Refusal, userpass as api};
use coffre_engine::{Engine, LoginFacts, MountCx, RenewTerms, Row};

/// The method. It keeps nothing in memory between requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserPass;

impl Engine for UserPass {
    const KIND: &'static str = "userpass";
    const FOLDED: &'static [&'static str] = &["username"];
    const ROWS: &'static [Row<Self>] = &[
        Row::of::<api::Login>(),
        Row::of::<api::ListUsers>(),
        Row::creates::<api::WriteUser>(),
        Row::of::<api::ReadUser>(),
        Row::of::<api::DeleteUser>(),
        Row::of::<api::WritePassword>(),
        Row::of::<api::WritePolicies>(),
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
        let flaws = coffre_engine::check_table::check::<UserPass>();
        assert!(flaws.is_empty(), "{flaws:?}");
        let public = coffre_engine::check_table::public_rows::<UserPass>("");
        assert_eq!(public.len(), 1, "{public:?}");
    }
}
