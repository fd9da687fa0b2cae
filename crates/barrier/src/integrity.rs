//! The index against the records: opened and compared at each unseal.

use std::sync::Arc;

use coffre_crypto::mac::Mac;
use coffre_crypto::{Key, derive};
use coffre_storage::{Batch, Key as StoreKey, Store};

use crate::error::BarrierError;
use crate::index::Index;
use crate::layout;
use crate::record;
use crate::session::{Live, Session};
use crate::unseal::must;

/// How many records are asked of the store at once.
const PAGE: usize = 512;

/// What makes the elements of the index.
pub(crate) fn mac(derivation: &Key) -> Mac {
    Mac::new(&derive::subkey(derivation, "coffre barrier integrity v1"))
}

/// The index in its record.
pub(crate) fn open(live: &Live, cluster: &str, bytes: &[u8]) -> Result<Index, BarrierError> {
    let plain = live.open(cluster, &StoreKey::new(layout::INTEGRITY)?, bytes)?;
    // EXPOSE: sums, no secret of anybody; they are forgotten soon.
    Index::decode(plain.expose()).ok_or_else(|| BarrierError::Damaged { path: layout::INTEGRITY.to_owned() })
}

impl Session {
    /// Compares the index with what is stored. An index whose message number is not reserved was written after the
    /// message counter, which is thus an older copy.
    pub(crate) async fn verify(&self) -> Result<(), BarrierError> {
        let bytes = must(&*self.store, layout::INTEGRITY).await?;
        let live = self.live()?;
        let expected = open(&live, &self.config.cluster_id, &bytes)?;
        if record::header(&bytes).is_ok_and(|header| header.version >= self.messages.reserved()) {
            return Err(BarrierError::Mixed);
        }
        match expected.difference(&self.count(&live).await?) {
            None => Ok(()),
            Some((table, expected, found)) => Err(BarrierError::Altered { table, expected, found }),
        }
    }

    /// Makes the index anew from what is stored, whatever it was.
    pub(crate) async fn accept(&self) -> Result<(), BarrierError> {
        let live = self.live()?;
        let mut index = self.count(&live).await?;
        let before = self.store.get(&StoreKey::new(layout::INTEGRITY)?).await?;
        let before = before.and_then(|bytes| open(&live, &self.config.cluster_id, &bytes).ok());
        index.changes = before.map_or(0, |before| before.changes).saturating_add(1);
        let key = StoreKey::new(layout::INTEGRITY)?;
        let mut draw = self.draw(1).await?;
        let bytes = self.seal(&mut draw, &key, &index.encode())?;
        Ok(self.store.transact(Batch::new().put(key, bytes)).await?)
    }

    /// The sums of what is stored. Versions are taken from the records as they lie there: a record whose version was
    /// forged does not open, so it is refused where it is read.
    async fn count(&self, live: &Arc<Live>) -> Result<Index, BarrierError> {
        let mut index = Index::default();
        for path in [layout::SEAL_CONFIG, layout::ROOT_KEY, layout::ROOT_KEY_BEFORE, layout::KEYRING] {
            if let Some(bytes) = self.store.get(&StoreKey::new(path)?).await? {
                index.add(&live.integrity, path, &bytes);
            }
        }
        let mut after: Option<String> = None;
        loop {
            let page = self.store.read_page(layout::KERNEL, after.as_deref(), PAGE).await?;
            for (key, bytes) in &page.records {
                index.add(&live.integrity, key, bytes);
            }
            after = page.records.last().map(|(key, _)| key.clone());
            if !page.more || after.is_none() {
                return Ok(index);
            }
        }
    }
}
