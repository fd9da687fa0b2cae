//! Renewing tokens, under the token's lock, so that a revocation and a renewal cannot cross.

use std::sync::Arc;
use std::time::Duration;

use coffre_api::Refusal;
use coffre_engine::RenewTerms;

use super::create::whole_secs;
use super::lifetime::{Bounds, lifetime};
use super::record::TokenKey;
use super::store::{LiveToken, TokenStore};

impl TokenStore {
    /// Extends a token's life on these terms. `wanted` counts from now and is advisory; zero asks for the terms' own.
    /// `mount` is the default and the longest lifetime of the mount that made the token.
    pub async fn renew(
        &self,
        key: TokenKey,
        wanted: Duration,
        mount: (Duration, Duration),
        terms: RenewTerms,
    ) -> Result<(Arc<LiveToken>, Vec<String>), Refusal> {
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
            role_max: terms.max_ttl,
            explicit_max: Duration::from_secs(record.explicit_max_ttl),
            period: terms.period,
        };
        let wanted = if wanted.is_zero() { terms.ttl } else { wanted };
        let life = lifetime(bounds, wanted, record.made(), now)
            .map_err(|_| Refusal::invalid("past the max TTL, cannot renew"))?;
        let before = record.end();
        record.renewed = now.nanos();
        record.max_ttl = whole_secs(terms.max_ttl);
        record.period = whole_secs(terms.period);
        record.expires = now.plus(life.ttl).nanos();
        self.write(key, &record).await?;
        self.unschedule(key, before);
        self.schedule(key, record.end());
        Ok((self.keep(key, record)?, life.warnings))
    }
}
