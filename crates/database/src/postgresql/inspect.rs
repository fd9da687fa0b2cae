//! Whether a pair of users can be rotated: what would fail at night is said at noon.

use tokio_postgres::types::Type;

use super::admin::Admin;
use super::connect::Session;
use super::failure;
use crate::Error;

/// What the catalogue says about a role; the questions that do not apply are false.
#[derive(Clone, Copy, Debug, Default)]
struct Role {
    exists: bool,
    superuser: bool,
    logs_in: bool,
    /// Is a member of the owner.
    member: bool,
    /// The administrator may change it.
    changeable: bool,
    /// The administrator may end its sessions.
    endable: bool,
}

impl Admin {
    /// What is wrong with the owner and the users that act as it, one sentence each; none is good. Changes nothing.
    /// Fails only if the server cannot be asked.
    pub async fn inspect(&self, owner: &str, users: &[&str]) -> Result<Vec<String>, Error> {
        self.pool()
            .timed(async {
                let lease = self.pool().lease().await?;
                let mut found = Vec::new();
                found.extend(about_owner(owner, role(&lease, owner, owner).await?));
                for user in users {
                    found.extend(about_user(user, owner, role(&lease, user, owner).await?));
                }
                lease.give_back();
                Ok(found)
            })
            .await
    }
}

fn about_owner(owner: &str, role: Role) -> Vec<String> {
    if !role.exists {
        return vec![format!("PostgreSQL has no role {owner}: CREATE ROLE {owner} NOLOGIN")];
    }
    let mut found = Vec::new();
    if role.logs_in {
        found.push(format!("the owner {owner} can log in: ALTER ROLE {owner} NOLOGIN"));
    }
    if role.superuser {
        found.push(format!("the owner {owner} is a superuser: ALTER ROLE {owner} NOSUPERUSER"));
    }
    found
}

fn about_user(user: &str, owner: &str, role: Role) -> Vec<String> {
    if !role.exists {
        return vec![format!("PostgreSQL has no role {user}: CREATE ROLE {user} NOLOGIN IN ROLE {owner}")];
    }
    let mut found = Vec::new();
    if role.superuser {
        found.push(format!("the user {user} is a superuser: ALTER ROLE {user} NOSUPERUSER"));
    }
    if !role.member {
        found.push(format!("the user {user} is not a member of {owner}: GRANT {owner} TO {user}"));
    }
    if !role.changeable {
        found.push(format!(
            "the administrator may not change {user}: it needs CREATEROLE, from PostgreSQL 16 on also GRANT {user} TO it WITH ADMIN OPTION"
        ));
    }
    if !role.endable {
        found
            .push(format!("the administrator may not end sessions of {user}: GRANT pg_signal_backend TO it"));
    }
    found
}

/// From PostgreSQL 16 the right to make roles is the right to change those that one has the admin option on.
const ROLE: &str = "SELECT r.rolsuper, r.rolcanlogin, \
    EXISTS (SELECT FROM pg_catalog.pg_roles o WHERE o.rolname = $2::text::name \
            AND pg_catalog.pg_has_role(r.oid, o.oid, 'MEMBER')), \
    me.rolsuper OR (me.rolcreaterole AND NOT r.rolsuper AND \
       (pg_catalog.current_setting('server_version_num')::int < 160000 OR EXISTS \
          (SELECT FROM pg_catalog.pg_auth_members m WHERE m.roleid = r.oid AND m.admin_option \
           AND pg_catalog.pg_has_role(m.member, 'USAGE')))), \
    me.rolsuper OR (NOT r.rolsuper AND (pg_catalog.pg_has_role('pg_signal_backend', 'USAGE') \
       OR pg_catalog.pg_has_role(r.oid, 'USAGE'))) \
    FROM pg_catalog.pg_roles r CROSS JOIN pg_catalog.pg_roles me \
    WHERE r.rolname = $1::text::name AND me.rolname = current_user";

async fn role(session: &Session, name: &str, owner: &str) -> Result<Role, Error> {
    let rows = session.query(ROLE, &[(&name, Type::TEXT), (&owner, Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(Role::default()) };
    let read = |at: usize| row.try_get::<_, bool>(at).map_err(|error| failure::of(&error, &[]));
    Ok(Role {
        exists: true,
        superuser: read(0)?,
        logs_in: read(1)?,
        member: read(2)?,
        changeable: read(3)?,
        endable: read(4)?,
    })
}
