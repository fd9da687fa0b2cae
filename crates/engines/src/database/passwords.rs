//! Passwords: by a policy that somebody wrote, or by the server's own.

use coffre_ambient::Entropy;
use coffre_api::{BoxFuture, Refusal};
use coffre_password::PasswordPolicy;
use coffre_secret::SecretText;

use super::Databases;
use super::model::Connection;

/// The password policies of `sys/policies/password`.
pub trait PasswordPolicies: Send + Sync {
    /// The policy of this name, if there is one.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<PasswordPolicy>, Refusal>>;
}

impl Databases {
    /// Draws a password for a user of this connection; `own` is the role's policy, if it has one.
    pub(super) async fn draw(
        &self,
        entropy: &dyn Entropy,
        connection: &Connection,
        own: Option<&String>,
    ) -> Result<SecretText, Refusal> {
        let name = own.unwrap_or(&connection.password_policy);
        if name.is_empty() {
            return coffre_database::password::generate(entropy).map_err(Refusal::bug);
        }
        let gone =
            || Refusal::invalid("the password policy does not exist: write it to sys/policies/password");
        let policy = self.passwords.find(name).await?.ok_or_else(gone)?;
        policy.generate(entropy).map_err(Refusal::bug)
    }
}
