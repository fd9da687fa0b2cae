//! Database: users that are made for a caller and end with their lease, and users that stay and whose passwords the
//! server changes (Vault documentation, "Database secrets engine").
//!
//! What happens outside of our own storage is announced there first. A user is made after an intent was written, which
//! goes in the transaction in which its lease comes; a password is stored as the next one before the database hears of
//! it. So after a crash at any point `tidy` knows what may be there, and either undoes it or goes on.
//!
//! Threat model: callers who may read `creds/<role>` and choose nothing but their own display name; operators who write
//! statements (they are trusted with the database) but mistype; a database that is slow, down, or hostile; a crash at any
//! moment.
//!
//! * `model`: what is stored · `connections`: open databases · `config`, `roles`, `creds`, `refresh`: the rows
//! * `lease`: renewal and revocation · `intents`: what a crash left
//! * `static_roles`, `root`: users who stay · `rotate`, `schedule`, `queue`: how and when their passwords change

mod allowed;
mod config;
mod connections;
mod creds;
mod details;
mod intents;
mod lease;
mod model;
mod names;
mod passwords;
mod queue;
mod refresh;
mod roles;
mod root;
mod rotate;
mod schedule;
mod static_roles;

use std::sync::Arc;

use coffre_api::{Refusal, database as api};
use coffre_engine::{Engine, LeaseRow, MountCx, Row};

pub use connections::Reach;
pub use details::PLUGINS;
pub use passwords::PasswordPolicies;

use connections::Connections;
use lease::UserFacts;

/// The engine. In memory it keeps open connections, and nothing that is not in storage.
pub struct Databases {
    connections: Connections,
    passwords: Arc<dyn PasswordPolicies>,
}

impl Databases {
    /// Reaches databases through `reach` and draws passwords by the policies of `passwords`.
    #[must_use]
    pub fn new(reach: Arc<Reach>, passwords: Arc<dyn PasswordPolicies>) -> Self {
        Self { connections: Connections::new(reach), passwords }
    }
}

impl Engine for Databases {
    const KIND: &'static str = "database";
    const ROWS: &'static [Row<Self>] = &[
        Row::creates::<api::WriteConfig>(),
        Row::of::<api::ReadConfig>(),
        Row::of::<api::DeleteConfig>(),
        Row::of::<api::ListConfigs>(),
        Row::of::<api::Reset>(),
        Row::of::<api::Reload>(),
        Row::creates::<api::WriteRole>(),
        Row::of::<api::ReadRole>(),
        Row::of::<api::DeleteRole>(),
        Row::of::<api::ListRoles>(),
        Row::of::<api::ReadCreds>(),
        Row::creates::<api::WriteStaticRole>(),
        Row::of::<api::ReadStaticRole>(),
        Row::of::<api::DeleteStaticRole>(),
        Row::of::<api::ListStaticRoles>(),
        Row::of::<api::ReadStaticCreds>(),
        Row::of::<api::RotateRole>(),
        Row::of::<api::RotateRoot>(),
    ];
    const LEASES: &'static [LeaseRow<Self>] = &[LeaseRow::of::<UserFacts>()];

    async fn tidy(&self, cx: MountCx<'_>) -> Result<(), Refusal> {
        self.undo_what_is_late(cx).await
    }

    async fn tend(&self, cx: MountCx<'_>) -> Result<(), Refusal> {
        self.work(cx).await
    }

    async fn leave(&self, cx: MountCx<'_>) -> Result<(), Refusal> {
        self.undo_all(cx).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let flaws = coffre_engine::check_table::check::<Databases>();
        assert!(flaws.is_empty(), "{flaws:?}");
    }
}
