//! Renewing tokens, under the token's lock, so that a revocation and a renewal cannot cross.

use std::sync::Arc;
use std::time::Duration;

use coffre_api::Refusal;

use super::lifetime::{Bounds, lifetime};
use super::record::TokenKey;
use super::store::{LiveToken, TokenStore};

impl TokenStore {
    /// Extends a token's life. `wanted` counts from now and is advisory; zero asks for what it was made for.
    pub async fn renew(
        &self,
        key: TokenKey,
        wanted: Duration,
        mount: (Duration, Duration),
    ) -> Result<(Arc<LiveToken>, Option<String>), Refusal> {
        let _held = self.locks.lock(&key.hex()).await;
        let now = self.clock.wall();
        let record = self.record(key).await?.filter(|record| !record.revoked);
        let Some(mut record) = record else { return Err(Refusal::denied()) };
        if !record.renewable {
            return Err(Refusal::invalid("lease is not renewable"));
        }
        if record.end().is_some_and(|end| end <= now) {
            return Err(Refusal::denied());
        }
        let bounds = Bounds {
            default_ttl: mount.0,
            mount_max: mount.1,
            role_max: Duration::from_secs(record.max_ttl),
            explicit_max: Duration::from_secs(record.explicit_max_ttl),
            period: Duration::from_secs(record.period),
        };
        let wanted = if wanted.is_zero() { Duration::from_secs(record.ttl) } else { wanted };
        let life = lifetime(bounds, wanted, record.made(), now)
            .map_err(|_| Refusal::invalid("the token is past the max TTL and cannot be renewed"))?;
        let before = record.end();
        record.renewed = now.nanos();
        record.expires = now.plus(life.ttl).nanos();
        self.write(key, &record).await?;
        self.unschedule(key, before);
        self.schedule(key, record.end());
        Ok((self.keep(key, record)?, life.warning))
    }
}
