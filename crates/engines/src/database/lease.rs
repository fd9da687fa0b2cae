//! Renewing and revoking users.

use coffre_api::Refusal;
use coffre_engine::{LeaseFacts, Leased, MountCx, Renewal, Renewed};
use serde::{Deserialize, Serialize};

use super::Databases;
use super::connections::told;
use super::creds::whole;
use super::model::{Role, read, role_key};

/// What is stored of a user's lease.
#[derive(Debug, Serialize, Deserialize)]
pub struct UserFacts {
    /// The user's name in the database.
    pub(super) user: String,
    /// The connection.
    pub(super) db: String,
    /// The role by which it was made.
    pub(super) role: String,
    /// The role's statements when the user was made, in case the role goes.
    pub(super) revocation: Vec<String>,
    pub(super) renew: Vec<String>,
}

impl LeaseFacts for UserFacts {
    const KIND: &'static str = "user";
}

impl Leased<UserFacts> for Databases {
    /// The database's own end moves before the lease's does. A role that was deleted renews nobody.
    async fn renew(
        &self,
        cx: MountCx<'_>,
        facts: &UserFacts,
        asked: Renewal<'_>,
    ) -> Result<Renewed<UserFacts>, Refusal> {
        let role: Option<Role> = read(cx.view()?, &role_key(&facts.role)).await?;
        let gone = || {
            Refusal::invalid(format!("error during renew: could not find role with name \"{}\"", facts.role))
        };
        let role = role.ok_or_else(gone)?;
        let statements = if role.db_name == facts.db { &role.renew } else { &facts.renew };
        let (_, database) = self.reach(cx, &facts.db).await?;
        database.extend(&facts.user, whole(asked.until), statements).await.map_err(|error| told(&error))?;
        Ok(Renewed::as_asked())
    }

    /// By the role's statements of now, so that statements which do not work can be mended; by those of then, if the
    /// role is gone or has moved to another database.
    async fn revoke(&self, cx: MountCx<'_>, facts: &UserFacts) -> Result<(), Refusal> {
        let role: Option<Role> = read(cx.view()?, &role_key(&facts.role)).await?;
        let now = role.filter(|role| role.db_name == facts.db);
        let statements = now.as_ref().map_or(&facts.revocation, |role| &role.revocation);
        let (_, database) = self.reach(cx, &facts.db).await?;
        database.remove(&facts.user, statements).await.map_err(|error| told(&error))
    }
}
