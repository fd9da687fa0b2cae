//! Revoking tokens: for ever, whatever happens next.
//!
//! Two steps, each durable: mark (from here on nobody gets in), then delete. What a crash leaves between them is named
//! by a note in storage and finished at the next unseal, before the first request.

use coffre_api::Refusal;
use coffre_barrier::ViewBatch;
use coffre_engine::storage;

use super::record::{TokenKey, TokenRecord};
use super::store::TokenStore;
use crate::builtin;
use crate::keys::{self, KernelKey};
use crate::stored;

impl TokenStore {
    /// Revokes a token, its children and theirs, with everything they own. Unknown tokens are fine.
    ///
    /// First every token of the tree is marked as revoked, parents before children, so that all are refused from the
    /// next request on; then they are deleted, children before parents. The mark on the first one comes with a note
    /// in storage by which the work is finished after a crash.
    pub async fn revoke(&self, key: TokenKey) -> Result<(), Refusal> {
        let mut tree = Vec::new();
        let mut next = vec![key];
        while let Some(key) = next.pop() {
            let Some(record) = self.mark(key, Children::Die).await? else { continue };
            for child in stored::all_below(&self.root, &format!("{}{}/", keys::CHILDREN, key.hex())).await? {
                next.extend(TokenKey::parse(&child));
            }
            tree.push((key, record));
        }
        for (key, record) in tree.iter().rev() {
            self.delete(*key, record).await?;
        }
        Ok(())
    }

    /// Revokes a token and lets its children live, as orphans.
    pub async fn revoke_and_orphan(&self, key: TokenKey) -> Result<(), Refusal> {
        let Some(record) = self.mark(key, Children::Live).await? else { return Ok(()) };
        for child in stored::all_below(&self.root, &format!("{}{}/", keys::CHILDREN, key.hex())).await? {
            let Some(child) = TokenKey::parse(&child) else { continue };
            self.make_orphan(key, child).await?;
        }
        self.delete(key, &record).await
    }

    /// Finishes the revocations that a crash or a failing storage interrupted. Idempotent, also beside one that is
    /// under way. One that fails again keeps no other waiting.
    pub(crate) async fn finish_revocations(&self) -> Result<usize, Refusal> {
        let left = stored::all_below(&self.root, keys::REVOKING).await?;
        let mut first = None;
        for name in &left {
            first = first.or(self.finish_revocation(name).await.err());
        }
        first.map_or(Ok(left.len()), Err)
    }

    async fn finish_revocation(&self, name: &str) -> Result<(), Refusal> {
        let path = KernelKey::Revoking(name).to_string();
        let Some(note) = self.root.get(&path).await.map_err(storage)? else { return Ok(()) };
        // EXPOSE: one of two words.
        match (TokenKey::parse(name), note.expose() == Children::Live.note()) {
            (Some(key), true) => self.revoke_and_orphan(key).await?,
            (Some(key), false) => self.revoke(key).await?,
            (None, _) => {}
        }
        self.root.delete(&path).await.map_err(storage)
    }

    /// Revokes every token that this mount's logins made.
    pub(crate) async fn revoke_of_mount(&self, accessor: &str) -> Result<(), Refusal> {
        for name in stored::all_below(&self.root, keys::TOKENS).await? {
            let Some(key) = TokenKey::parse(&name) else { continue };
            if self.record(key).await?.is_some_and(|record| record.mount == accessor) {
                self.revoke(key).await?;
            }
        }
        Ok(())
    }

    /// Marks a token as revoked; from here on nobody gets in with it. `None` if there is no such token.
    async fn mark(&self, key: TokenKey, children: Children) -> Result<Option<TokenRecord>, Refusal> {
        let _held = self.locks.lock(&key.hex()).await;
        self.forget(key);
        let Some(mut record) = self.record(key).await? else { return Ok(None) };
        if !record.revoked {
            record.revoked = true;
            record.frees_children = matches!(children, Children::Live);
            let batch = ViewBatch::new()
                .put(KernelKey::Token(&key.hex()).to_string(), stored::bytes(&record)?)
                .put(KernelKey::Revoking(&key.hex()).to_string(), children.note().to_vec());
            self.root.transact(batch).await.map_err(storage)?;
        }
        Ok(Some(record))
    }

    async fn make_orphan(&self, parent: TokenKey, child: TokenKey) -> Result<(), Refusal> {
        let _held = self.locks.lock(&child.hex()).await;
        let mut batch = ViewBatch::new().delete(KernelKey::Child(&parent.hex(), &child.hex()).to_string());
        // A damaged record reads as revoked, and stays as it is.
        if let Some(mut record) = self.record(child).await?.filter(|record| !record.revoked) {
            record.parent = None;
            batch = batch.put(KernelKey::Token(&child.hex()).to_string(), stored::bytes(&record)?);
        }
        self.forget(child);
        self.root.transact(batch).await.map_err(storage)
    }

    /// Deletes what a revoked token owned, and the token last.
    async fn delete(&self, key: TokenKey, record: &TokenRecord) -> Result<(), Refusal> {
        // Its leases end in storage before it goes, so whatever happens then they are known to have ended.
        self.leases.end_of_token(key).await?;
        // A record that cannot be read names no space.
        if !record.space.is_empty() {
            builtin::destroy_private_space(&self.cubbyhole, &record.space).await?;
        }
        let name = key.hex();
        // Under the lock, so that nobody who has read the record writes it back afterwards.
        let _held = self.locks.lock(&name).await;
        let mut batch = ViewBatch::new()
            .delete(KernelKey::Token(&name).to_string())
            .delete(KernelKey::Accessor(&self.accessor_key(&record.accessor)).to_string())
            .delete(KernelKey::Wrap(&name).to_string())
            .delete(KernelKey::Revoking(&name).to_string());
        if let Some(parent) = &record.parent {
            batch = batch.delete(KernelKey::Child(parent, &name).to_string());
        }
        self.root.transact(batch).await.map_err(storage)?;
        self.unschedule(key, record.end());
        Ok(())
    }
}

/// What becomes of a revoked token's children.
#[derive(Clone, Copy)]
enum Children {
    /// They are revoked with it, and theirs.
    Die,
    /// They become orphans.
    Live,
}

impl Children {
    /// What stands in the note by which the work is finished.
    const fn note(self) -> &'static [u8] {
        match self {
            Self::Die => b"",
            Self::Live => b"orphan",
        }
    }
}
