//! Batch tokens: everything that is known of the token stands, sealed, in its own text, and nothing in storage.
//!
//! `hvb.` + base64url of: version (1 byte) ‖ salt (16) ‖ nonce ‖ ciphertext ‖ tag. Each token is sealed under a key of its
//! own, derived from a key of the cluster and the salt, so no key seals more than one message however many tokens are
//! made. The cluster's key outlives restarts, seals and rotations; only those who can unseal can make or read a token.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffre_api::Refusal;
use coffre_crypto::{derive, envelope};
use coffre_secret::SecretText;

use super::create::{Created, NewToken};
use super::record::{TokenKey, TokenRecord};
use super::store::{LiveToken, TokenStore};

/// What stands before every batch token.
pub const BATCH_PREFIX: &str = "hvb.";
/// The longest batch token that is made, in bytes: with the rest of a request it must fit a header.
const LONGEST: usize = 4 * 1024;
const VERSION: u8 = 1;
const SALT: usize = 16;
const BOUND_TO: &[u8] = b"batch token";

impl TokenStore {
    /// Makes a batch token. Nothing is stored.
    pub(super) fn create_batch(&self, new: &NewToken) -> Result<Created, Refusal> {
        let mut record = self.record_of(new)?;
        record.accessor = String::new();
        record.space = String::new();
        record.renewable = false;
        record.batch = true;
        let token = self.seal_batch(&record)?;
        // EXPOSE: hashed into the token's name.
        let key = self.key_of(token.expose());
        let live = self.keep(key, record)?;
        Ok(Created { token, live })
    }

    fn seal_batch(&self, record: &TokenRecord) -> Result<SecretText, Refusal> {
        let plain = crate::stored::bytes(record)?;
        let mut salt = [0; SALT];
        self.entropy.fill(&mut salt).map_err(Refusal::bug)?;
        let mut sealed = Vec::with_capacity(1 + SALT + plain.expose().len() + envelope::OVERHEAD);
        sealed.push(VERSION);
        sealed.extend_from_slice(&salt);
        // EXPOSE: about to be sealed.
        let body = envelope::seal(&self.batch_key_of(&salt), BOUND_TO, plain.expose(), &*self.entropy);
        sealed.extend_from_slice(&body.map_err(Refusal::bug)?);
        // Room for all of it at once: a text that grows leaves copies of the token behind.
        let mut text = String::with_capacity(BATCH_PREFIX.len() + sealed.len().div_ceil(3) * 4);
        text.push_str(BATCH_PREFIX);
        URL_SAFE_NO_PAD.encode_string(&sealed, &mut text);
        let text = SecretText::new(text);
        // EXPOSE: its length.
        if text.expose().len() > LONGEST {
            return Err(Refusal::invalid(
                "this batch token would be too long for a header: give it less metadata or fewer policies, or make a service token",
            ));
        }
        Ok(text)
    }

    /// The batch token of this text, if it was sealed by this cluster. What is not is nobody's.
    pub(super) fn open_batch(&self, key: TokenKey, token: &str) -> Result<Option<Arc<LiveToken>>, Refusal> {
        let Some(record) = self.unseal_batch(token) else { return Ok(None) };
        self.keep(key, record).map(Some)
    }

    fn unseal_batch(&self, token: &str) -> Option<TokenRecord> {
        let sealed = URL_SAFE_NO_PAD.decode(token.strip_prefix(BATCH_PREFIX)?).ok()?;
        let (&[version], rest) = sealed.split_first_chunk::<1>()?;
        let (salt, body) = rest.split_first_chunk::<SALT>()?;
        if version != VERSION {
            return None;
        }
        let plain = envelope::open(&self.batch_key_of(salt), BOUND_TO, body).ok()?;
        // EXPOSE: parsed; the bytes are wiped.
        serde_json::from_slice::<TokenRecord>(plain.expose()).ok().filter(|record| record.batch)
    }

    fn batch_key_of(&self, salt: &[u8; SALT]) -> coffre_crypto::Key {
        derive::subkey(&self.batch_key, &hex::encode(salt))
    }
}
