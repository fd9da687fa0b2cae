//! What acknowledgements in the store say of the use of an old key.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_rotation::{Ack, WireDocument, paths};
use serde::Deserialize;

use super::{Escrow, Meter, Testimony, Witness};
use crate::{At, BoxFuture, Failure, Kv};

/// More acknowledgements than this are not read; then it counts as in use.
const MOST: usize = 2_000;

/// Reads the acknowledgements of a target below `<environment>/_rot/ack/`.
///
/// A consumer may count its decryptions: an acknowledgement with `"decrypts": {"<kid>": "<time of the last one>"}`. If no
/// living consumer does, the quiet time is measured from the first clean scan instead.
pub struct Acknowledgements {
    kv: Arc<dyn Kv>,
    environment: String,
    lasts: Duration,
}

/// The part of an acknowledgement that only encryption keys have.
#[derive(Deserialize, Default)]
struct Counted {
    #[serde(default)]
    decrypts: Option<std::collections::BTreeMap<String, String>>,
}

impl Acknowledgements {
    /// Of an environment in a mount. A consumer that follows by itself is believed for `lasts` after its last word, whatever
    /// that says: `S + 2K`, as gates do.
    #[must_use]
    pub fn new(kv: Arc<dyn Kv>, environment: &str, lasts: Duration) -> Self {
        Self { kv, environment: environment.to_owned(), lasts }
    }

    async fn read(&self, at: At<'_>, gen_no: u64, kid: &str) -> Result<Testimony, Failure> {
        let folder = paths::acks(&self.environment, &at.record.target);
        let names = self.kv.list(&folder).await?;
        let mut in_use = Vec::new();
        let (mut counted, mut last) = (false, None);
        for name in names.iter().filter(|name| !name.ends_with('/')).take(MOST) {
            let Some(read) = self.kv.read(&format!("{folder}/{name}"), None).await? else { continue };
            let Some(text) = read.document else { continue };
            // EXPOSE: an acknowledgement holds no material.
            let ack = Ack::parse(text.expose().as_bytes());
            let Ok(ack) = ack else { continue };
            // EXPOSE: as above.
            let more: Counted = serde_json::from_str(text.expose()).unwrap_or_default();
            if let Some(decrypts) = more.decrypts {
                counted = true;
                last = last.max(decrypts.get(kid).and_then(|time| Wall::parse(time)));
            }
            let bound = read.created.filter(|_| !ack.frozen).map(|written| written.plus(self.lasts));
            let expires = bound.map_or(ack.expires, |bound| bound.min(ack.expires));
            if expires >= at.now && ack.in_use <= gen_no {
                in_use.push(name.clone());
            }
        }
        if names.len() > MOST {
            in_use.push(format!("(more than {MOST} consumers)"));
        }
        let meter = if counted { Meter::Last(last) } else { Meter::Uncounted };
        Ok(Testimony { meter, in_use, approvals: 0, escrow: None::<Escrow> })
    }
}

impl Witness for Acknowledgements {
    fn testify<'a>(
        &'a self,
        at: At<'a>,
        gen_no: u64,
        kid: &'a str,
    ) -> BoxFuture<'a, Result<Testimony, Failure>> {
        Box::pin(self.read(at, gen_no, kid))
    }
}
