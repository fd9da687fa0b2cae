//! When the barrier's key is replaced by itself: after so many records, or after so long.
//!
//! The barrier counts records and keeps the count ahead of their use, so a crash can only count too many. Its own bound,
//! 0.9 · 2^32 (NIST SP 800-38D), holds whatever is set here.

use coffre_api::Refusal;
use coffre_api::sys::rotate::{RotateConfigInput, RotateConfigOutput};
use coffre_barrier::{Unsealed, View};
use coffre_engine::storage;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::keys::KernelKey;
use crate::stored;

/// The least and the most records that operators may set.
const OPERATIONS: std::ops::RangeInclusive<u64> = 1_000_000..=3_865_470_566;
/// The least time that operators may set, in seconds.
const LEAST_INTERVAL: u64 = 24 * 3600;

/// What operators set, as it is stored.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct RotationRecord {
    /// Whether the two bounds count.
    enabled: bool,
    /// Records.
    max_operations: u64,
    /// Seconds; 0 is never.
    interval: u64,
}

impl Default for RotationRecord {
    fn default() -> Self {
        Self { enabled: true, max_operations: *OPERATIONS.end(), interval: 0 }
    }
}

/// What operators set, in force.
pub(crate) struct Rotation {
    record: Mutex<RotationRecord>,
    records: View,
}

impl Rotation {
    /// Reads what was set, and puts it in force.
    pub(crate) async fn load(records: View, unsealed: &Unsealed) -> Result<Self, Refusal> {
        let found: Option<RotationRecord> = stored::load(&records, &KernelKey::Rotation.to_string()).await?;
        let record = found.unwrap_or_default();
        record.enforce(unsealed);
        Ok(Self { record: Mutex::new(record), records })
    }

    /// What is set.
    pub(crate) async fn config(&self) -> RotateConfigOutput {
        let RotationRecord { enabled, max_operations, interval } = *self.record.lock().await;
        RotateConfigOutput { enabled, max_operations, interval }
    }

    /// Sets what is given, durably, and puts it in force.
    pub(crate) async fn change(&self, unsealed: &Unsealed, input: &RotateConfigInput) -> Result<(), Refusal> {
        let mut held = self.record.lock().await;
        let changed = held.with(input)?;
        // EXPOSE: no secret; sealed at once.
        let bytes = stored::bytes(&changed)?;
        self.records.put(&KernelKey::Rotation.to_string(), bytes.expose()).await.map_err(storage)?;
        changed.enforce(unsealed);
        *held = changed;
        Ok(())
    }

    /// Replaces a key that is too old. `now` is in nanoseconds since 1970.
    pub(crate) async fn tick(&self, unsealed: &Unsealed, now: u64) -> Result<(), Refusal> {
        let RotationRecord { enabled, interval, .. } = *self.record.lock().await;
        let age = |created: u64| now.saturating_sub(created) / 1_000_000_000;
        match unsealed.key_status() {
            Ok(status) if enabled && interval > 0 && age(status.created) >= interval => {
                let term = unsealed.rotate().await.map_err(storage)?;
                tracing::info!(term, "the encryption key was replaced: it had reached the age that is set");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl RotationRecord {
    fn with(mut self, input: &RotateConfigInput) -> Result<Self, Refusal> {
        if let Some(enabled) = &input.enabled {
            self.enabled = enabled.0;
        }
        if let Some(operations) = &input.max_operations {
            let operations = u64::try_from(operations.0).ok().filter(|count| OPERATIONS.contains(count));
            self.max_operations = operations.ok_or_else(|| {
                Refusal::invalid(format!(
                    "max_operations must be between {} and {}",
                    OPERATIONS.start(),
                    OPERATIONS.end()
                ))
            })?;
        }
        if let Some(interval) = &input.interval {
            if !interval.is_zero() && interval.as_secs() < LEAST_INTERVAL {
                return Err(Refusal::invalid("interval must be 24 hours or more, or 0 for never"));
            }
            self.interval = interval.as_secs();
        }
        Ok(self)
    }

    fn enforce(&self, unsealed: &Unsealed) {
        unsealed.limit_messages(if self.enabled { self.max_operations } else { *OPERATIONS.end() });
    }
}
