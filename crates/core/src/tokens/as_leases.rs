//! Tokens as leases: what they hold, and how they are named where leases are.
//!
//! A token that ends is the lease `<path that made it>/h<its key>`. The key is an HMAC of the token, so the name gives
//! nobody the token. There is no index: the few calls that need many names read all tokens, and need sudo.

use coffre_ambient::Wall;
use coffre_api::Refusal;
use coffre_api::sys::leases::LeaseShown;
use tokio::sync::OwnedRwLockReadGuard;

use super::record::{SPENT, TokenKey, TokenRecord};
use super::store::{LiveToken, TokenStore};
use crate::keys;
use crate::leases::{Owner, TOKEN_MARK, plausible};
use crate::stored;

/// While this is held the token is not revoked.
pub(crate) struct Held {
    _lock: OwnedRwLockReadGuard<()>,
    /// Whether the request under way is its last.
    pub(crate) spent: bool,
}

impl LiveToken {
    /// To whom a lease belongs that is made with this token. A batch token is in no storage: its leases hang off its
    /// parent, and end with it at the latest.
    pub(crate) const fn owner(&self) -> Owner {
        if self.record.batch {
            Owner { token: self.parent, cap: self.record.end() }
        } else {
            Owner { token: Some(self.key), cap: None }
        }
    }
}

impl TokenStore {
    /// Keeps a token from being revoked while something is hung onto it; `None` if it is gone or revoked. Many may hold it
    /// at the same time: what they write is not the token's record, and their commits go to the disk together.
    pub(crate) async fn hold(&self, key: TokenKey) -> Result<Option<Held>, Refusal> {
        let lock = self.locks.share(&key.hex()).await;
        let record = self.record(key).await?.filter(|record| !record.revoked);
        Ok(record.map(|record| Held { _lock: lock, spent: record.num_uses == SPENT }))
    }

    /// The token that a lease's id names; `None` if it names no living token that ends.
    pub(crate) async fn of_lease(&self, id: &str) -> Result<Option<TokenKey>, Refusal> {
        Ok(self.find_lease(id).await?.map(|(key, _)| key))
    }

    /// A token as `sys/leases/lookup` shows it.
    pub(crate) async fn shown_as_lease(&self, id: &str) -> Result<Option<LeaseShown>, Refusal> {
        let Some((_, record)) = self.find_lease(id).await? else { return Ok(None) };
        Ok(Some(LeaseShown {
            id: id.to_owned(),
            issue_time: record.made().rfc3339(),
            expire_time: record.end().map(Wall::rfc3339),
            last_renewal: (record.renewed != 0).then(|| Wall::from_nanos(record.renewed).rfc3339()),
            renewable: record.renewable,
            ttl: record.left(self.clock.wall()).as_secs(),
        }))
    }

    /// The ids and keys of all tokens that were made below a folder (empty: of all) and end.
    pub(crate) async fn as_leases_below(&self, folder: &str) -> Result<Vec<(String, TokenKey)>, Refusal> {
        let mut found = Vec::new();
        for name in stored::all_below(&self.root, keys::TOKENS).await? {
            let Some(key) = TokenKey::parse(&name) else { continue };
            let Some(record) = self.record(key).await?.filter(is_lease) else { continue };
            let within = folder.is_empty()
                || record
                    .path
                    .strip_prefix(folder)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if within {
                found.push((format!("{}/{TOKEN_MARK}{name}", record.path), key));
            }
        }
        Ok(found)
    }

    async fn find_lease(&self, id: &str) -> Result<Option<(TokenKey, TokenRecord)>, Refusal> {
        let named = id.rsplit_once('/').filter(|_| plausible(id));
        let named =
            named.and_then(|(path, last)| Some((path, TokenKey::parse(last.strip_prefix(TOKEN_MARK)?)?)));
        let Some((path, key)) = named else { return Ok(None) };
        let record = self.record(key).await?.filter(|record| is_lease(record) && record.path == path);
        Ok(record.map(|record| (key, record)))
    }
}

/// Wrapping tokens are receipts, and tokens without an end have nothing that could be leased.
fn is_lease(record: &TokenRecord) -> bool {
    record.end().is_some() && !record.wrapping && !record.revoked
}
