//! Changing the password of a static role's user: the next one is stored, then set, then tried, and only then the
//! current one. A crash in between leaves a next one of which nobody knows whether the database has it; it is set again,
//! which changes nothing if it has.

use std::sync::Arc;

use coffre_ambient::Wall;
use coffre_api::{Kind, Refusal, SecretField};
use coffre_barrier::ViewBatch;
use coffre_database::{Database, Error, ErrorKind, NewPassword};
use coffre_engine::{MountCx, storage};
use coffre_secret::SecretText;

use super::connections::told;
use super::model::{StaticRole, read, role_key, static_key, to_json};
use super::queue::{Job, moved};
use super::{Databases, allowed, schedule};

/// How often a password that the database does not refuse for itself may fail before another one is tried.
const TRIES_OF_ONE: u32 = 3;

/// What came of a change.
enum Fault {
    /// The database does not have the new password, and will not take it.
    Unfit(Refusal),
    /// It said no, for a reason that need not be the password.
    No(Refusal),
    /// Nobody knows whether it has the new one.
    Unclear(Refusal),
}

impl Databases {
    /// Changes a password whose time has come; false if the role does not know of this time.
    pub(super) async fn rotate_due(&self, cx: MountCx<'_>, name: &str, at: u64) -> Result<bool, Refusal> {
        let _exclusive = cx.lock(&role_key(name)).await;
        let role: Option<StaticRole> = read(cx.view()?, &static_key(name)).await?;
        match role.filter(|role| role.due == at) {
            None => Ok(false),
            Some(mut role) => self.rotate(cx, name, &mut role).await.map(|()| true),
        }
    }

    /// Changes a password now. The caller holds the role's lock.
    pub(super) async fn rotate(
        &self,
        cx: MountCx<'_>,
        name: &str,
        role: &mut StaticRole,
    ) -> Result<(), Refusal> {
        let changed = match self.prepared(cx, name, role).await {
            // What was written, or not, is consistent: no second writing on top of one whose outcome is unknown.
            Ok((database, drawn)) => {
                if let Some(drawn) = drawn {
                    self.note_next(cx, name, role, drawn).await?;
                }
                // EXPOSE: to set it.
                let next = SecretText::from(role.next.as_ref().map_or("", |next| next.expose()));
                change(&*database, role, &next).await
            }
            Err(refusal) => Err(Fault::Unclear(refusal)),
        };
        let from = role.due;
        let result = match changed {
            Ok(()) => {
                role.promote(cx.now());
                role.due = schedule::next(role, cx.now())?.map_or(0, Wall::nanos);
                Ok(())
            }
            Err(fault) => {
                role.tries = role.tries.saturating_add(1);
                let refusal = role.forgive(fault);
                role.failure = Some(refusal.message().to_owned());
                role.due = schedule::again(role, cx.now(), cx.entropy())?.nanos();
                Err(refusal)
            }
        };
        self.keep(cx, name, role, from).await.and(result)
    }

    /// The database, and a password that was just drawn unless one waits to be set.
    async fn prepared(
        &self,
        cx: MountCx<'_>,
        name: &str,
        role: &StaticRole,
    ) -> Result<(Arc<dyn Database>, Option<SecretText>), Refusal> {
        let (connection, database) = self.reach(cx, &role.db_name).await?;
        allowed::check(&connection, name)?;
        if role.next.is_some() {
            return Ok((database, None));
        }
        let policy = role.credential_config.get("password_policy");
        Ok((database, Some(self.draw(cx.entropy(), &connection, policy).await?)))
    }

    /// Stores the next password, before the database hears of it. From here on somebody looks after it.
    async fn note_next(
        &self,
        cx: MountCx<'_>,
        name: &str,
        role: &mut StaticRole,
        drawn: SecretText,
    ) -> Result<(), Refusal> {
        role.next = Some(SecretField::new(drawn));
        let from = role.due;
        role.due = schedule::again(role, cx.now(), cx.entropy())?.nanos();
        self.keep(cx, name, role, from).await
    }

    /// Writes a role and its place in the queue.
    pub(super) async fn keep(
        &self,
        cx: MountCx<'_>,
        name: &str,
        role: &StaticRole,
        from: u64,
    ) -> Result<(), Refusal> {
        let batch = ViewBatch::new().put(static_key(name), to_json(role)?);
        cx.view()?.transact(moved(batch, Job::Role, name, (from, role.due))).await.map_err(storage)
    }

    /// After an interrupted change: finds out which password the database has, the current or the next one. If it
    /// cannot be asked, nothing changes. The caller holds the role's lock.
    pub(super) async fn settle(
        &self,
        cx: MountCx<'_>,
        name: &str,
        role: &mut StaticRole,
    ) -> Result<(), Refusal> {
        let (Some(next), Ok((_, database))) = (&role.next, self.reach(cx, &role.db_name).await) else {
            return Ok(());
        };
        // EXPOSE: both are tried.
        let next = SecretText::from(next.expose());
        let current = role.password.as_ref().map(|current| SecretText::from(current.expose())); // EXPOSE: as above.
        if let Some(current) = current
            && !matches!(database.logs_in(&role.username, &current).await, Ok(false))
        {
            return Ok(());
        }
        if matches!(database.logs_in(&role.username, &next).await, Ok(true)) {
            let from = role.due;
            role.promote(cx.now());
            role.due = schedule::next(role, cx.now())?.map_or(0, Wall::nanos);
            self.keep(cx, name, role, from).await?;
        }
        Ok(())
    }
}

impl StaticRole {
    /// The next password is the current one.
    fn promote(&mut self, now: Wall) {
        self.password = self.next.take();
        self.rotated = now.nanos();
        (self.tries, self.failure) = (0, None);
    }

    /// Drops a next password that cannot become the current one.
    fn forgive(&mut self, fault: Fault) -> Refusal {
        match fault {
            Fault::Unfit(refusal) => {
                self.next = None;
                refusal
            }
            Fault::No(refusal) => {
                if self.tries.is_multiple_of(TRIES_OF_ONE) {
                    self.next = None;
                }
                refusal
            }
            Fault::Unclear(refusal) => {
                self.unclear = true;
                refusal
            }
        }
    }
}

/// Sets the next password and logs in with it.
async fn change(database: &dyn Database, role: &StaticRole, next: &SecretText) -> Result<(), Fault> {
    let change = NewPassword { name: &role.username, password: next, statements: &role.statements };
    database.set_password(&change).await.map_err(|error| fault(&error))?;
    match database.logs_in(&role.username, next).await {
        Ok(true) => Ok(()),
        // The password is set; that this server may not log in as that user is another matter.
        Err(error) if error.kind() == ErrorKind::Denied => Ok(()),
        Err(error) => Err(Fault::Unclear(told(&error))),
        Ok(false) => Err(Fault::No(Refusal::new(
            Kind::Upstream,
            "the database took the new password and then refused a login with it: check that the user may log in and that its password has no end in the past",
        ))),
    }
}

/// What an error of setting a password tells about it.
fn fault(error: &Error) -> Fault {
    match error.kind() {
        ErrorKind::PasswordRefused => Fault::Unfit(told(error)),
        ErrorKind::Failed | ErrorKind::Invalid | ErrorKind::Denied => Fault::No(told(error)),
        _ => Fault::Unclear(told(error)),
    }
}
