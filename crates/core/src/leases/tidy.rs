//! Looking after what should not happen: leases whose token or mount is gone, and keys that name nothing.
//!
//! Every change of a lease is one transaction, so none of it comes from a crash; it may come from a restored backup, or
//! from a mistake of ours. An operator asks for it.

use std::sync::atomic::Ordering;

use coffre_api::Refusal;
use coffre_engine::storage;

use super::lookup::Which;
use super::record::parse_due;
use super::{Leases, PAGE};
use crate::keys::{self, KernelKey};
use crate::tokens::{TokenKey, TokenStore};

impl Leases {
    /// Asks the background work for it; false if somebody has asked already.
    pub(crate) fn request_tidy(&self) -> bool {
        let first = !self.tidy_wanted.swap(true, Ordering::SeqCst);
        self.kick.notify_one();
        first
    }

    /// Does it, if it was asked for.
    pub(crate) async fn tidy_if_asked(&self, tokens: &TokenStore) -> Result<(), Refusal> {
        if !self.tidy_wanted.load(Ordering::SeqCst) {
            return Ok(());
        }
        let done = self.tidy(tokens).await;
        self.tidy_wanted.store(false, Ordering::SeqCst);
        let (leases, ended, dropped) = done?;
        tracing::info!(leases, ended, dropped, "leases were tidied");
        Ok(())
    }

    async fn tidy(&self, tokens: &TokenStore) -> Result<(u64, u64, u64), Refusal> {
        let (mut after, mut seen, mut ended) = (None::<String>, 0, 0);
        loop {
            let (ids, more) = self.page(Which::All, after.as_deref()).await?;
            for id in &ids {
                seen += 1;
                ended += u64::from(self.mend(id, tokens).await?);
            }
            after = ids.into_iter().next_back();
            if !more || after.is_none() {
                break;
            }
        }
        let dropped = self.drop_keys_of_none(keys::LEASES_OF_TOKENS).await?
            + self.drop_keys_of_none(keys::LEASES_GIVEN_UP).await?
            + self.drop_keys_of_none(keys::LEASES_DUE).await?;
        Ok((seen, ended, dropped))
    }

    /// Ends a lease that nobody can hold any more, and puts a missing key back. Returns whether it was ended.
    async fn mend(&self, id: &str, tokens: &TokenStore) -> Result<bool, Refusal> {
        let Some(record) = self.load(id).await? else { return Ok(false) };
        let holder = record.token.as_deref().and_then(TokenKey::parse);
        let orphaned = match holder {
            Some(token) => tokens.hold(token).await?.is_none(),
            None => false,
        };
        if !record.revoked && (orphaned || self.mount_of(&record).is_none()) {
            return self.end(id).await.map(|()| true);
        }
        let _held = self.locks.lock(id).await;
        if let Some(record) = self.load(id).await? {
            let due = KernelKey::LeaseDue(record.due, id).to_string();
            if self.root.get(&due).await.map_err(storage)?.is_none() {
                self.write(id, &record, record.due).await?;
            }
        }
        Ok(false)
    }

    /// Removes the keys of an index that name no lease, or another moment than the lease's own.
    async fn drop_keys_of_none(&self, prefix: &'static str) -> Result<u64, Refusal> {
        let (mut dropped, mut after) = (0, None::<String>);
        loop {
            let page = self.root.scan(prefix, after.as_deref(), PAGE).await.map_err(storage)?;
            for key in &page.names {
                let rest = key.strip_prefix(prefix).unwrap_or_default();
                let (due, id) = match prefix {
                    keys::LEASES_DUE => parse_due(rest).map_or((None, rest), |(due, id)| (Some(due), id)),
                    keys::LEASES_OF_TOKENS => (None, rest.split_once('/').map_or("", |(_, id)| id)),
                    _ => (None, rest),
                };
                let _held = self.locks.lock(id).await;
                let known = self.load(id).await?;
                if known.is_none_or(|record| due.is_some_and(|due| due != record.due)) {
                    self.root.delete(key).await.map_err(storage)?;
                    dropped += 1;
                }
            }
            after = page.names.last().cloned();
            if !page.more || after.is_none() {
                return Ok(dropped);
            }
        }
    }
}
