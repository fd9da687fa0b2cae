//! Splitting the unseal key anew: enough holders of present shares agree, then the new shares are shown once. They
//! count from then on, or when enough of them were given back, if that was asked for.
//!
//! States: *none* → *gathering* (present shares come in under the ceremony's nonce) → *none* again, or with a
//! verification → *waiting* (new shares come back under the verification's nonce) → *none*. A cancellation and a seal
//! lead to *none* from anywhere, and leave the shares in force that were so before.
//!
//! What is kept: the [`Gathering`] of either state, the new shares' split while waiting, and with `backup` one record
//! of messages to the holders. Shares themselves are never stored.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_api::sys::rekey::{
    BackupOutput, RekeyDoneOutput, RekeyInput, RekeyStatusOutput, RekeyUpdateOutput, VerifyOutput,
    VerifyStatusOutput,
};
use coffre_api::{Refusal, SecretField};
use coffre_barrier::{Gathering, Holders, InitRefused, NewSplit, share_counts};
use coffre_engine::storage;
use coffre_pgp::PublicKey;
use coffre_secret::SecretVec;
use serde::{Deserialize, Serialize};

use super::cover::encrypt;
use super::{Ceremonies, check_nonce, pgp_keys, secret, share_refused};
use crate::kernel::Kernel;
use crate::keys::KernelKey;
use crate::stored;

/// The ceremony under way.
pub(super) struct Rekey {
    gathering: Gathering,
    shares: u8,
    threshold: u8,
    keys: Vec<PublicKey>,
    backup: bool,
    verify: bool,
    /// The new shares are out and must be given back.
    waiting: Option<Waiting>,
}

/// New shares that are out and do not count yet.
struct Waiting {
    new: NewSplit,
    gathering: Gathering,
}

/// Shares as they were shown, encrypted to their holders: kept so that they can be shown again.
#[derive(Serialize, Deserialize)]
struct BackupRecord {
    /// The ceremony that made them.
    nonce: String,
    /// Messages in hexadecimal, by fingerprint.
    keys: BTreeMap<String, Vec<String>>,
}

impl Ceremonies {
    /// Where it stands.
    pub(crate) async fn rekey_status(&self, kernel: &Kernel) -> Result<RekeyStatusOutput, Refusal> {
        let required = required(kernel).await?;
        Ok(status(self.rekey.lock().await.as_ref(), required))
    }

    /// Begins; only one at a time.
    pub(crate) async fn start_rekey(
        &self,
        kernel: &Kernel,
        input: &RekeyInput,
    ) -> Result<RekeyStatusOutput, Refusal> {
        let required = required(kernel).await?;
        let mut held = self.rekey.lock().await;
        if held.is_some() {
            return Err(Refusal::invalid("rekey already in progress: finish it, or cancel it first"));
        }
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let (shares, threshold) = share_counts(count(input.secret_shares.0), count(input.secret_threshold.0))
            .map_err(|error| Refusal::invalid(error.to_string()))?;
        let keys = pgp_keys(input.pgp_keys.items(), shares, kernel.clock().wall())?;
        if input.backup.0 && keys.is_empty() {
            return Err(Refusal::invalid(
                "cannot request a backup of the new keys without providing PGP keys for encryption",
            ));
        }
        let gathering = Gathering::named(&**kernel.entropy()).map_err(Refusal::bug)?;
        let (backup, verify) = (input.backup.0, input.require_verification.0);
        let begun = Rekey { gathering, shares, threshold, keys, backup, verify, waiting: None };
        Ok(status(Some(held.insert(begun)), required))
    }

    /// Gives it up; the present shares stay.
    pub(crate) async fn cancel_rekey(&self) {
        *self.rekey.lock().await = None;
    }

    /// Takes a present share; the last one makes the new ones.
    pub(crate) async fn update_rekey(
        &self,
        kernel: &Kernel,
        nonce: &str,
        share: &SecretField,
    ) -> Result<RekeyUpdateOutput, Refusal> {
        let required = required(kernel).await?;
        let mut held = self.rekey.lock().await;
        let Some(rekey) = held.as_mut() else {
            return Err(Refusal::invalid("no rekey in progress: begin with sys/rekey/init"));
        };
        check_nonce(nonce, rekey.gathering.nonce())?;
        if rekey.waiting.is_some() {
            return Err(Refusal::invalid(
                "rekey operation already finished; the new shares must be given to sys/rekey/verify",
            ));
        }
        // EXPOSE: decoded by the barrier, which wipes what it keeps.
        let share = share.expose().as_bytes();
        let given = kernel.barrier().give_share(&mut rekey.gathering, share).await;
        let Some(holders) = given.map_err(share_refused)? else {
            return Ok(RekeyUpdateOutput::Going(status(Some(rekey), required)));
        };
        let done = self.finish_rekey(kernel, rekey, &holders).await;
        // Without a verification the ceremony is over; also if it failed, for its shares are forgotten.
        if rekey.waiting.is_none() {
            *held = None;
        }
        done.map(RekeyUpdateOutput::Done)
    }

    /// Makes the new shares, covers them, and puts them in force unless they must come back first.
    async fn finish_rekey(
        &self,
        kernel: &Kernel,
        rekey: &mut Rekey,
        holders: &Holders,
    ) -> Result<RekeyDoneOutput, Refusal> {
        let entropy = &**kernel.entropy();
        let new = kernel.barrier().split_anew(holders, rekey.shares, rekey.threshold).await;
        let new = new.map_err(split_failed)?;
        let shown = Shown::of(&new.shares, &rekey.keys, entropy)?;
        let nonce = rekey.gathering.nonce().to_owned();
        if rekey.backup {
            let record = BackupRecord { nonce: nonce.clone(), keys: shown.by_fingerprint() };
            let bytes = stored::bytes(&record)?;
            let key = KernelKey::RekeyBackup.to_string();
            // EXPOSE: messages to the holders; sealed at once.
            self.records.put(&key, bytes.expose()).await.map_err(storage)?;
        }
        let verification_nonce = if rekey.verify {
            let gathering = Gathering::named(entropy).map_err(Refusal::bug)?;
            let name = gathering.nonce().to_owned();
            rekey.waiting = Some(Waiting { new, gathering });
            Some(name)
        } else {
            kernel.barrier().adopt(&new, false).await.map_err(storage)?;
            None
        };
        Ok(RekeyDoneOutput {
            complete: true,
            nonce,
            pgp_fingerprints: rekey.fingerprints(),
            keys: shown.hexadecimal,
            keys_base64: shown.base64,
            backup: rekey.backup,
            verification_required: rekey.verify,
            verification_nonce,
        })
    }

    /// How many new shares were given back.
    pub(crate) async fn verify_status(&self) -> Result<VerifyStatusOutput, Refusal> {
        self.rekey.lock().await.as_ref().and_then(Rekey::verification).ok_or_else(no_verification)
    }

    /// Forgets the new shares that were given back, and begins again under a new nonce.
    pub(crate) async fn restart_verify(&self, kernel: &Kernel) -> Result<VerifyStatusOutput, Refusal> {
        let mut held = self.rekey.lock().await;
        let rekey = held.as_mut().ok_or_else(no_verification)?;
        let waiting = rekey.waiting.as_mut().ok_or_else(no_verification)?;
        waiting.gathering = Gathering::named(&**kernel.entropy()).map_err(Refusal::bug)?;
        rekey.verification().ok_or_else(no_verification)
    }

    /// Takes a new share back; with the last one the new shares count, and the ceremony is over.
    pub(crate) async fn update_verify(
        &self,
        kernel: &Kernel,
        nonce: &str,
        share: &SecretField,
    ) -> Result<VerifyOutput, Refusal> {
        let mut held = self.rekey.lock().await;
        let rekey = held.as_mut().ok_or_else(no_verification)?;
        let waiting = rekey.waiting.as_mut().ok_or_else(no_verification)?;
        check_nonce(nonce, waiting.gathering.nonce())?;
        // EXPOSE: decoded by the barrier, which wipes what it keeps.
        let share = share.expose().as_bytes();
        let checked = kernel.barrier().check_new_share(&waiting.new, &mut waiting.gathering, share).await;
        if !checked.map_err(share_refused)? {
            return rekey.verification().map(VerifyOutput::Going).ok_or_else(no_verification);
        }
        kernel.barrier().adopt(&waiting.new, true).await.map_err(storage)?;
        let nonce = waiting.gathering.nonce().to_owned();
        *held = None;
        Ok(VerifyOutput::Done { nonce, complete: true })
    }

    /// The encrypted shares that were kept.
    pub(crate) async fn backup(&self) -> Result<BackupOutput, Refusal> {
        let found: Option<BackupRecord> =
            stored::load(&self.records, &KernelKey::RekeyBackup.to_string()).await?;
        let record = found.ok_or_else(|| Refusal::invalid("no backed-up keys found"))?;
        let base64 =
            |text: &String| hex::decode(text).map(|bytes| STANDARD.encode(bytes)).map_err(Refusal::bug);
        let all = record.keys.iter();
        let all =
            all.map(|(name, keys)| Ok((name.clone(), keys.iter().map(base64).collect::<Result<_, _>>()?)));
        let keys_base64 = all.collect::<Result<_, Refusal>>()?;
        Ok(BackupOutput { nonce: record.nonce, keys: record.keys, keys_base64 })
    }

    /// Removes them.
    pub(crate) async fn delete_backup(&self) -> Result<(), Refusal> {
        self.records.delete(&KernelKey::RekeyBackup.to_string()).await.map_err(storage)
    }
}

/// Shares as they are shown: readable, or as messages to their holders.
pub(crate) struct Shown {
    fingerprints: Vec<String>,
    pub(crate) hexadecimal: Vec<SecretField>,
    pub(crate) base64: Vec<SecretField>,
}

impl Shown {
    /// With keys each share is encrypted as the text of its hexadecimal digits, which is what its holder types.
    pub(crate) fn of(
        shares: &[SecretVec],
        keys: &[PublicKey],
        entropy: &dyn coffre_ambient::Entropy,
    ) -> Result<Self, Refusal> {
        let mut shown = Self {
            fingerprints: keys.iter().map(PublicKey::fingerprint).collect(),
            hexadecimal: Vec::with_capacity(shares.len()),
            base64: Vec::with_capacity(shares.len()),
        };
        for (at, share) in shares.iter().enumerate() {
            // EXPOSE: shown once to whoever holds the ceremony, or to the key's owner alone.
            let raw = share.expose().as_slice();
            let message = match keys.get(at) {
                // EXPOSE: encrypted at once.
                Some(key) => Some(encrypt(key, secret(hex::encode(raw)).expose().as_bytes(), entropy)?),
                None => None,
            };
            let bytes = message.as_deref().unwrap_or(raw);
            shown.hexadecimal.push(secret(hex::encode(bytes)));
            shown.base64.push(secret(STANDARD.encode(bytes)));
        }
        Ok(shown)
    }

    /// As they are kept for `sys/rekey/backup`: hexadecimal digits of the messages.
    fn by_fingerprint(&self) -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        for (name, key) in self.fingerprints.iter().zip(&self.hexadecimal) {
            // EXPOSE: a message that its holder alone can open.
            all.entry(name.clone()).or_default().push(key.expose().to_owned());
        }
        all
    }
}

impl Rekey {
    /// Of the holders' PGP keys; `None` without any.
    fn fingerprints(&self) -> Option<Vec<String>> {
        (!self.keys.is_empty()).then(|| self.keys.iter().map(PublicKey::fingerprint).collect())
    }

    /// The state of the verification, once the new shares are out.
    fn verification(&self) -> Option<VerifyStatusOutput> {
        let Waiting { new, gathering } = self.waiting.as_ref()?;
        Some(VerifyStatusOutput {
            nonce: gathering.nonce().to_owned(),
            started: true,
            t: new.threshold().into(),
            n: new.count().into(),
            progress: gathering.progress().into(),
        })
    }
}

/// How many present shares a ceremony takes: as many as unsealing.
async fn required(kernel: &Kernel) -> Result<u64, Refusal> {
    Ok(kernel.barrier().status().await.map_err(storage)?.threshold.into())
}

/// What a caller sees of it; without a ceremony, how many shares one would take.
fn status(rekey: Option<&Rekey>, required: u64) -> RekeyStatusOutput {
    let Some(rekey) = rekey else { return RekeyStatusOutput { required, ..RekeyStatusOutput::default() } };
    RekeyStatusOutput {
        nonce: rekey.gathering.nonce().to_owned(),
        started: true,
        t: rekey.threshold.into(),
        n: rekey.shares.into(),
        progress: rekey.gathering.progress().into(),
        required,
        pgp_fingerprints: rekey.fingerprints(),
        backup: rekey.backup,
        verification_required: rekey.verify,
        verification_nonce: rekey.verification().map(|verification| verification.nonce),
    }
}

fn no_verification() -> Refusal {
    Refusal::invalid("no rekey verification in progress: it begins when the new shares were made")
}

fn split_failed(error: InitRefused) -> Refusal {
    match error {
        InitRefused::Failed(error) => storage(error),
        other => Refusal::invalid(other.to_string()),
    }
}
