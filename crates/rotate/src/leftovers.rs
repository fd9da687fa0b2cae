use std::time::Duration;

use coffre_rotation::{ConsumerId, Kind, Record, RotPolicy, Target as Name, paths};

use crate::gather::ack;
use crate::kv::Manage;
use crate::store::Held;
use crate::switch::Freeze;
use crate::{Failure, Rotating, Rotator};

/// How often acknowledgements are looked through.
pub(crate) const EVERY: Duration = Duration::from_secs(3_600);
/// How long after its end an acknowledgement is kept, for people who look.
const KEPT: Duration = Duration::from_secs(86_400);
/// Acknowledgements that are looked at in one go; the next one begins behind them.
const AT_ONCE: usize = 1_000;

impl Rotator {
    /// Removes what instances left behind that are long gone, and gives how many. An acknowledgement is removed a day after
    /// it stopped to count: by then no gate has heard it for a day, and whoever had said it has nothing in its cache that
    /// is still valid. One that comes back says so again, as a new instance would.
    ///
    /// # Errors
    /// What could not be read or removed. It may be repeated.
    pub(crate) async fn forget_gone(&self, target: &Rotating) -> Result<usize, Failure> {
        let (name, environment) = (&target.name, &self.environment);
        let freeze: Held<Freeze> = self.store.read(&paths::freeze(environment)).await?;
        if freeze.value.is_some_and(|freeze| freeze.frozen) {
            return Ok(0);
        }
        if target.kind.kind() == Kind::EncryptionKey && self.is_retiring(name).await? {
            // They testify to the last use of the old key.
            return Ok(0);
        }
        let policy: Held<RotPolicy> = self.store.read(&paths::policy(environment)).await?;
        let policy = policy.value.unwrap_or_default();
        let names = self.store.kv().list(&paths::acks(environment, name)).await?;
        let mut ids: Vec<ConsumerId> = names.iter().filter_map(|name| ConsumerId::parse(name)).collect();
        ids.sort();
        let from = self.first_leftover(name, ids.len());
        let (mut kept, mut removed) = (0, 0);
        for id in ids.into_iter().skip(from).take(AT_ONCE) {
            let Some(heard) = ack(&self.store, environment, name, id.clone()).await? else {
                kept += 1;
                continue;
            };
            if self.store.now() < heard.ends(&policy, &target.settings).plus(KEPT) {
                kept += 1;
                continue;
            }
            self.store.kv().manage(&paths::ack(environment, name, &id), Manage::Forget).await?;
            removed += 1;
        }
        self.next_leftover(name, from + kept);
        if removed > 0 {
            tracing::debug!(%name, removed, "acknowledgements of instances that are gone were removed");
        }
        Ok(removed)
    }

    async fn is_retiring(&self, name: &Name) -> Result<bool, Failure> {
        let record: Held<Record> = self.store.read(&paths::record(&self.environment, name)).await?;
        Ok(record.value.is_some_and(|record| !record.retiring.is_empty()))
    }
}
