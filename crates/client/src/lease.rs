use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::envelope::or_default;
use crate::{Body, Client, Envelope, Error, ErrorKind};

/// What a server promised with a credential: it works this long, and maybe longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Names the lease; no secret, and no credential.
    pub id: String,
    /// From the answer on.
    pub duration: Duration,
    /// Whether it can be made longer.
    pub renewable: bool,
}

/// What the server knows of a lease (`sys/leases/lookup`).
#[derive(Clone, Debug, Deserialize)]
pub struct LeaseState {
    /// RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub issue_time: String,
    /// RFC 3339; empty for a lease that does not end.
    #[serde(default, deserialize_with = "or_default")]
    pub expire_time: String,
    /// Whether it can be made longer.
    #[serde(default, deserialize_with = "or_default")]
    pub renewable: bool,
    /// Seconds left.
    #[serde(default, deserialize_with = "or_default")]
    pub ttl: u64,
}

impl Envelope {
    /// The lease of the answer; `None` if it carries none. The durations of KV answers are no leases.
    pub fn lease(&self) -> Option<Lease> {
        (!self.lease_id.is_empty()).then(|| Lease {
            id: self.lease_id.clone(),
            duration: Duration::from_secs(self.lease_duration),
            renewable: self.renewable,
        })
    }
}

/// Leases of credentials. A token's own life is in [`token`](crate::token).
impl Client {
    /// Makes a lease longer. The server may grant less than `increment`, down to nothing at its maximum: look at the
    /// duration that comes back. `None` asks for the default. Not repeated.
    pub async fn renew_lease(&self, id: &str, increment: Option<Duration>) -> Result<Lease, Error> {
        let mut body = json!({ "lease_id": id });
        if let (Some(increment), Some(fields)) = (increment, body.as_object_mut()) {
            fields.insert("increment".to_owned(), increment.as_secs().into());
        }
        let answer = self.write("sys/leases/renew", Body::json(&body)?).await?;
        answer
            .and_then(|answer| answer.lease())
            .ok_or_else(|| Error::new(ErrorKind::Decode, "renew a lease").message("no lease came back"))
    }

    /// Ends a lease and what it stands for. A lease that is over already counts as ended.
    pub async fn revoke_lease(&self, id: &str) -> Result<(), Error> {
        self.write("sys/leases/revoke", Body::json(&json!({ "lease_id": id }))?).await.map(drop)
    }

    /// What the server knows of a lease; `None` if it has ended ("invalid lease", 400).
    pub async fn lease(&self, id: &str) -> Result<Option<LeaseState>, Error> {
        match self.write("sys/leases/lookup", Body::json(&json!({ "lease_id": id }))?).await {
            Ok(answer) => answer.map(|answer| answer.data()).transpose(),
            Err(error) if error.status() == Some(400) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
