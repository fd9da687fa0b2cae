//! Repairing the indexes of tokens: what a damaged or restored storage left pointing nowhere.
//!
//! Token, accessor and place below the parent are written and deleted together, so in a sound storage there is nothing to
//! do. Whatever is found without its other half was not made by a crash.

use std::sync::atomic::Ordering;

use coffre_api::Refusal;
use coffre_barrier::ViewBatch;
use coffre_engine::storage;

use super::record::{AccessorRecord, TokenKey, TokenRecord};
use super::store::TokenStore;
use crate::keys::{self, KernelKey};
use crate::stored;

/// Entries that are read at once.
const PAGE: usize = 1_000;

/// What a tidying did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tidied {
    /// Accessors whose token is gone.
    pub accessors: usize,
    /// Places below a parent whose child is gone.
    pub places: usize,
    /// Tokens whose parent is gone: revoked.
    pub strays: usize,
    /// Tokens that had lost their accessor or their place below their parent: written again.
    pub mended: usize,
}

impl TokenStore {
    /// Asks for a tidying by the next tick; false if one is asked for already.
    pub(crate) fn ask_tidy(&self) -> bool {
        !self.tidy_asked.swap(true, Ordering::AcqRel)
    }

    /// Tidies if somebody asked. A timer calls it.
    pub(crate) async fn tidy_if_asked(&self) -> Result<Option<Tidied>, Refusal> {
        if !self.tidy_asked.load(Ordering::Acquire) {
            return Ok(None);
        }
        let done = self.tidy().await;
        self.tidy_asked.store(false, Ordering::Release);
        let done = done?;
        tracing::info!(?done, "tokens tidied");
        Ok(Some(done))
    }

    /// Repairs the indexes. Idempotent.
    async fn tidy(&self) -> Result<Tidied, Refusal> {
        let mut done = Tidied::default();
        let mut after = None::<String>;
        while let Some(names) = self.page(keys::TOKENS, &mut after).await? {
            for name in names {
                if let Some(key) = TokenKey::parse(&name) {
                    self.tidy_token(key, &mut done).await?;
                }
            }
        }
        let mut after = None::<String>;
        while let Some(names) = self.page(keys::CHILDREN, &mut after).await? {
            for name in names {
                done.places += usize::from(self.tidy_place(&name).await?);
            }
        }
        let mut after = None::<String>;
        while let Some(names) = self.page(keys::ACCESSORS, &mut after).await? {
            for name in names {
                done.accessors += usize::from(self.tidy_accessor(&name).await?);
            }
        }
        Ok(done)
    }

    /// The next names below a prefix; `None` after the last.
    async fn page(&self, prefix: &str, after: &mut Option<String>) -> Result<Option<Vec<String>>, Refusal> {
        let page = self.root.scan(prefix, after.as_deref(), PAGE).await.map_err(storage)?;
        let Some(last) = page.names.last() else { return Ok(None) };
        *after = Some(last.clone());
        Ok(Some(page.names.iter().filter_map(|key| key.strip_prefix(prefix)).map(str::to_owned).collect()))
    }

    async fn tidy_token(&self, key: TokenKey, done: &mut Tidied) -> Result<(), Refusal> {
        let Some(record) = self.record(key).await?.filter(|record| !record.revoked) else { return Ok(()) };
        if let Some(parent) = record.parent_key()
            && self.record(parent).await?.is_none()
            && self.record(key).await?.is_some_and(|anew| anew.parent_key() == Some(parent))
        {
            // Children are revoked or set free before their parent is deleted: this one lost it in another way.
            self.revoke(key).await?;
            done.strays += 1;
            return Ok(());
        }
        done.mended += usize::from(self.mend(key).await?);
        Ok(())
    }

    /// Writes what a token lost of its accessor and its place below its parent, under its lock.
    async fn mend(&self, key: TokenKey) -> Result<bool, Refusal> {
        let _held = self.locks.lock(&key.hex()).await;
        let Some(record) = self.record(key).await?.filter(|record| !record.revoked) else { return Ok(false) };
        let mut batch = ViewBatch::new();
        for (path, value) in self.indexes(key, &record)? {
            let is_sound = match self.root.get(&path).await {
                Ok(found) => found.is_some(),
                Err(coffre_barrier::BarrierError::Damaged { .. }) => false,
                Err(e) => return Err(storage(e)),
            };
            if !is_sound {
                batch = batch.put(path, value);
            }
        }
        let is_needed = !batch.is_empty();
        if is_needed {
            self.root.transact(batch).await.map_err(storage)?;
        }
        Ok(is_needed)
    }

    /// The entries that lead to a token: from its accessor, and from its parent.
    fn indexes(&self, key: TokenKey, record: &TokenRecord) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
        let accessor = AccessorRecord { accessor: record.accessor.clone(), token: key.hex() };
        let accessor_key = KernelKey::Accessor(&self.accessor_key(&record.accessor)).to_string();
        // EXPOSE: on its way back into storage.
        let mut all = vec![(accessor_key, stored::bytes(&accessor)?.expose().to_vec())];
        if let Some(parent) = &record.parent {
            all.push((KernelKey::Child(parent, &key.hex()).to_string(), Vec::new()));
        }
        Ok(all)
    }

    async fn tidy_place(&self, name: &str) -> Result<bool, Refusal> {
        let child = name.split_once('/').and_then(|(_, child)| TokenKey::parse(child));
        if let Some(child) = child
            && self.record(child).await?.is_some()
        {
            return Ok(false);
        }
        self.root.delete(&format!("{}{name}", keys::CHILDREN)).await.map_err(storage)?;
        Ok(true)
    }

    /// The accessor is read first: it was written with its token, so a token that is not there afterwards is gone.
    async fn tidy_accessor(&self, name: &str) -> Result<bool, Refusal> {
        let path = KernelKey::Accessor(name).to_string();
        let token = match stored::load::<AccessorRecord>(&self.root, &path).await {
            Ok(None) => return Ok(false),
            Ok(Some(accessor)) => TokenKey::parse(&accessor.token),
            Err(refusal) if refusal.kind() == coffre_api::Kind::Bug => None,
            Err(refusal) => return Err(refusal),
        };
        let Some(token) = token else {
            // What cannot be read was written again above if its token still lives.
            tracing::error!(record = path, "an accessor's record cannot be read");
            return Ok(false);
        };
        if self.record(token).await?.is_some() {
            return Ok(false);
        }
        self.root.delete(&path).await.map_err(storage)?;
        Ok(true)
    }
}
