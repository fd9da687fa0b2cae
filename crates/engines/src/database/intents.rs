//! Notes of users that are about to be made, and undoing those that no lease took the place of.
//!
//! A note is `intent/<op id>`. One of this process is undone when no request can be at work on it any more. One of
//! another process is undone at once; it stays until whatever that process may have sent the database as it died has
//! been carried out or not, and is then undone once more.

use std::time::Duration;

use coffre_ambient::{Wall, ids};
use coffre_api::Refusal;
use coffre_engine::{MountCx, storage};
use serde::{Deserialize, Serialize};

use super::Databases;
use super::connections::told;
use super::model::{read, write};

/// A user that is about to be made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Intent {
    /// The user's name.
    pub(super) user: String,
    /// The connection.
    pub(super) db: String,
    /// `revocation_statements` of the role.
    pub(super) revocation: Vec<String>,
    /// Nanoseconds since 1970.
    pub(super) made: u64,
    /// After this the database itself lets the user in no more; nanoseconds since 1970.
    pub(super) until: u64,
    /// [`Reach::process`](super::Reach::process) of who made it.
    pub(super) process: String,
}

const INTENTS: &str = "intent/";
/// A note of this process that is older belongs to no request.
const LONGEST_REQUEST: Duration = Duration::from_secs(300);
/// How long a database may go on with what a process sent that is dead: more than any action's time limit.
const LONGEST_ACTION: Duration = Duration::from_secs(75);
/// Notes looked at in one go.
const MOST: usize = 200;
/// Bytes of randomness in a note's key.
const ID: usize = 16;

impl Databases {
    /// Notes that a user is about to be made, and tells under which key.
    pub(super) async fn announce(&self, cx: MountCx<'_>, intent: &Intent) -> Result<String, Refusal> {
        let key = format!("{INTENTS}{}", ids::hex(cx.entropy(), ID).map_err(Refusal::bug)?);
        write(cx.view()?, &key, intent).await?;
        Ok(key)
    }

    /// Takes a note back, if nothing was made.
    pub(super) async fn retract(&self, cx: MountCx<'_>, key: &str) -> Result<(), Refusal> {
        cx.view()?.delete(key).await.map_err(storage)
    }

    /// Undoes what requests left that cannot be under way any more.
    pub(super) async fn undo_what_is_late(&self, cx: MountCx<'_>) -> Result<(), Refusal> {
        let process = self.connections.reach().process(cx.entropy())?;
        let now = cx.now();
        for key in cx.view()?.scan(INTENTS, None, MOST).await.map_err(storage)?.names {
            let Some(intent) = read::<Intent>(cx.view()?, &key).await? else { continue };
            let age = now.since(Wall::from_nanos(intent.made));
            let (undo, done) = if intent.process == process {
                (age > LONGEST_REQUEST, true)
            } else {
                (true, age > LONGEST_ACTION)
            };
            if !undo {
                continue;
            }
            if let Err(refusal) = self.undo(cx, &key, &intent, done).await {
                tracing::warn!(
                    connection = intent.db,
                    user = intent.user,
                    cause = %refusal,
                    "a user whom an interrupted request may have left cannot be removed yet"
                );
            }
        }
        Ok(())
    }

    /// Undoes everything, because the mount goes and nobody is inside. What cannot be undone keeps the mount, unless the
    /// database lets that user in no more.
    pub(super) async fn undo_all(&self, cx: MountCx<'_>) -> Result<(), Refusal> {
        loop {
            let page = cx.view()?.scan(INTENTS, None, MOST).await.map_err(storage)?;
            for key in &page.names {
                let Some(intent) = read::<Intent>(cx.view()?, key).await? else { continue };
                match self.undo(cx, key, &intent, true).await {
                    Err(_) if Wall::from_nanos(intent.until) < cx.now() => self.retract(cx, key).await?,
                    other => other?,
                }
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    async fn undo(&self, cx: MountCx<'_>, key: &str, intent: &Intent, done: bool) -> Result<(), Refusal> {
        let (_, database) = self.reach(cx, &intent.db).await?;
        database.remove(&intent.user, &intent.revocation).await.map_err(|error| told(&error))?;
        if done {
            self.retract(cx, key).await?;
        }
        Ok(())
    }
}
