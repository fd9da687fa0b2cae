//! `sys/remount`: done within the request where it is short, else behind it.

use std::time::Duration;

use coffre_ambient::ids;
use coffre_api::Refusal;
use coffre_api::sys::remount::{
    Remount, RemountInput, RemountOutput, RemountStatus, RemountStatusInput, RemountStatusOutput,
};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;

/// How long a caller waits for the move itself; with many tokens to revoke it goes on behind the answer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Serve<Remount> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: RemountInput) -> Result<Reply<RemountOutput>, Refusal> {
        if input.from.is_empty() || input.to.is_empty() {
            return Err(Refusal::invalid("both 'from' and 'to' path must be specified as a string"));
        }
        let (from, to) = (full(&input.from), full(&input.to));
        let active = self.active()?;
        active.mounts.can_relocate(&from, &to)?;
        let id = ids::uuid(cx.entropy()).map_err(Refusal::bug)?;
        active.mounts.migrations.begin(&id, &from, &to);
        let name = id.clone();
        let kernel = self.kernel()?;
        // A task of its own: neither a client that goes away nor the deadline leaves the move half-way.
        let work = tokio::spawn(async move {
            let done = active.mounts.relocate(&from, &to, &active.tokens, &active.leases).await;
            active.mounts.migrations.end(&name, done.is_ok());
            kernel.log_cause(&name, done.as_ref().err());
            done
        });
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(done)) => done?,
            Ok(Err(_)) => return Err(Refusal::bug("a move of a mount panicked")),
            Err(_) => {}
        }
        let told = "Mount move has been queued. Its progress is at sys/remount/status with the returned migration_id";
        Ok(Reply::data(RemountOutput { migration_id: id }).warn(told))
    }
}

/// With one slash at its end and none before.
fn full(path: &str) -> String {
    format!("{}/", path.trim_matches('/'))
}

impl Serve<RemountStatus> for Sys {
    async fn serve(
        &self,
        _: Cx<'_>,
        input: RemountStatusInput,
    ) -> Result<Reply<RemountStatusOutput>, Refusal> {
        let info = self.active()?.mounts.migrations.get(&input.migration_id);
        Ok(info.map_or_else(Reply::missing, |migration_info| {
            Reply::data(RemountStatusOutput { migration_id: input.migration_id, migration_info })
        }))
    }
}
