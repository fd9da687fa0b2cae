//! Response wrapping: an answer is kept with a single-use token, and whoever brings the token first gets it.
//!
//! The use is taken durably before the answer is given. If the server dies in between, the answer is lost: the second
//! one to ask must not be told what the first may have read.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::{RawJson, Refusal, WrapInfo};
use coffre_secret::SecretText;
use serde::{Deserialize, Serialize};

use crate::keys::KernelKey;
use crate::stored;
use crate::tokens::{NewToken, TokenKey, TokenStore, whole_secs};

/// A wrapped answer as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct WrapRecord {
    /// The whole answer, byte for byte.
    pub(crate) body: RawJson,
    /// Seconds.
    pub(crate) ttl: u64,
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    /// The path that was asked.
    pub(crate) path: String,
    /// The accessor of the token or secret id inside.
    #[serde(default)]
    pub(crate) accessor: Option<String>,
}

/// What a used, expired or unknown wrapping token is told: which of the three it is stays open.
pub(crate) fn invalid() -> Refusal {
    Refusal::invalid("wrapping token is not valid or does not exist")
}

/// Keeps an answer and makes its token.
pub(crate) async fn wrap(
    tokens: &TokenStore,
    body: SecretText,
    path: &str,
    ttl: Duration,
    accessor: Option<String>,
    now: Wall,
) -> Result<WrapInfo, Refusal> {
    // EXPOSE: moved into the record; both forms are wiped.
    let body = RawJson::parse(body.expose().clone()).map_err(Refusal::bug)?;
    let record =
        WrapRecord { body, ttl: whole_secs(ttl), created: now.nanos(), path: path.to_owned(), accessor };
    let bytes = stored::bytes(&record)?;
    let created = tokens.create(NewToken {
        policies: vec!["response-wrapping".into()],
        path: path.to_owned(),
        display_name: "wrapping".into(),
        ttl,
        explicit_max_ttl: ttl,
        num_uses: 1,
        wrapped: Some(bytes),
        ..NewToken::default()
    });
    let created = created.await?;
    Ok(WrapInfo {
        token: created.token,
        accessor: created.live.record.accessor.clone(),
        ttl: record.ttl,
        creation_time: now.rfc3339(),
        creation_path: record.path,
        wrapped_accessor: record.accessor,
    })
}

impl TokenStore {
    /// Looks at what a wrapping token carries.
    pub(crate) async fn peek_wrapped(&self, key: TokenKey) -> Result<WrapRecord, Refusal> {
        let live = self.find(key).await?.filter(|live| live.record.wrapping).ok_or_else(invalid)?;
        self.wrap_record(live.key).await?.ok_or_else(invalid)
    }

    /// Takes what a wrapping token carries and ends the token. Of several callers exactly one succeeds: the use is
    /// taken durably before the answer is given.
    pub(crate) async fn take_wrapped(&self, key: TokenKey) -> Result<WrapRecord, Refusal> {
        let live = self.find(key).await?.filter(|live| live.record.wrapping).ok_or_else(invalid)?;
        self.take_use(&live).await.map_err(|refusal| match refusal.kind() {
            coffre_api::Kind::Denied => invalid(),
            _ => refusal,
        })?;
        let record = self.wrap_record(key).await?.ok_or_else(invalid)?;
        self.revoke(key).await?;
        Ok(record)
    }

    async fn wrap_record(&self, key: TokenKey) -> Result<Option<WrapRecord>, Refusal> {
        stored::load(&self.root, &KernelKey::Wrap(&key.hex()).to_string()).await
    }
}
