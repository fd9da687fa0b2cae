//! Splitting the unseal key anew, by enough holders of its shares. All answers are bare, without an envelope, but for
//! the kept copies of encrypted shares.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::{CommaList, LooseBool, LooseInt};
use crate::{Access, Ceremony, Endpoint, Nothing, Op, SecretField, Template};

const OPENED: Access = Access::Ceremony(Ceremony::Rekey);

/// What the new shares are to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysRekeyInitInput")]
pub struct RekeyInput {
    /// Number of shares, 1 to 255.
    #[serde(default)]
    pub secret_shares: LooseInt,
    /// Shares needed to unseal.
    #[serde(default)]
    pub secret_threshold: LooseInt,
    /// A PGP public key for each share, base64 or armoured; empty leaves the shares readable.
    #[serde(default)]
    pub pgp_keys: CommaList,
    /// Keep the encrypted shares, for `sys/rekey/backup`.
    #[serde(default)]
    pub backup: LooseBool,
    /// The new shares count only when enough of them were given back.
    #[serde(default)]
    pub require_verification: LooseBool,
}

/// The state of a ceremony.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysRekeyStatusOutput")]
pub struct RekeyStatusOutput {
    /// Names the ceremony; empty if there is none.
    pub nonce: String,
    /// Whether there is one.
    pub started: bool,
    /// New shares needed.
    pub t: u64,
    /// New shares.
    pub n: u64,
    /// Present shares given so far.
    pub progress: u64,
    /// Present shares needed.
    pub required: u64,
    /// Of the PGP keys, in order.
    pub pgp_fingerprints: Option<Vec<String>>,
    /// Whether encrypted shares are kept.
    pub backup: bool,
    /// Whether the new shares must be given back.
    pub verification_required: bool,
    /// Names the verification, once it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_nonce: Option<String>,
}

/// One share, for the ceremony that it is meant for.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysCeremonyShareInput")]
pub struct ShareInput {
    /// A share, in hexadecimal or base64.
    #[serde(default)]
    pub key: Option<SecretField>,
    /// The ceremony's nonce.
    #[serde(default)]
    pub nonce: String,
}

/// The state, or with the last share the new shares.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SysRekeyUpdateOutput")]
#[serde(untagged)]
pub enum RekeyUpdateOutput {
    /// More shares are needed.
    Going(RekeyStatusOutput),
    /// Done.
    Done(RekeyDoneOutput),
}

/// The new shares, shown this once.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysRekeyDoneOutput")]
pub struct RekeyDoneOutput {
    /// True.
    pub complete: bool,
    /// Names the ceremony.
    pub nonce: String,
    /// Shares in hexadecimal; messages to their holders, if PGP keys were given.
    pub keys: Vec<SecretField>,
    /// The same in base64.
    pub keys_base64: Vec<SecretField>,
    /// Of the PGP keys, in order.
    pub pgp_fingerprints: Option<Vec<String>>,
    /// Whether encrypted shares were kept.
    pub backup: bool,
    /// Whether the new shares must be given back before they count.
    pub verification_required: bool,
    /// Names the verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_nonce: Option<String>,
}

/// The state of a verification.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysRekeyVerifyStatusOutput")]
pub struct VerifyStatusOutput {
    /// Names the verification.
    pub nonce: String,
    /// Whether it began.
    pub started: bool,
    /// Shares needed.
    pub t: u64,
    /// Shares.
    pub n: u64,
    /// Shares given back so far.
    pub progress: u64,
}

/// The state, or that the new shares count.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SysRekeyVerifyOutput")]
#[serde(untagged)]
pub enum VerifyOutput {
    /// More shares are needed.
    Going(VerifyStatusOutput),
    /// Done.
    Done {
        /// Names the verification.
        nonce: String,
        /// True.
        complete: bool,
    },
}

/// Encrypted shares that were kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysRekeyBackupOutput")]
pub struct BackupOutput {
    /// The ceremony that made them.
    pub nonce: String,
    /// By fingerprint, in hexadecimal.
    pub keys: BTreeMap<String, Vec<String>>,
    /// By fingerprint, in base64.
    pub keys_base64: BTreeMap<String, Vec<String>>,
}

macro_rules! endpoint {
    ($name:ident, $input:ty, $output:ty, $op:ident, $path:literal, $access:expr, $summary:literal) => {
        #[doc = $summary]
        pub struct $name;

        impl Endpoint for $name {
            type Input = $input;
            type Output = $output;
            const OP: Op = Op::$op;
            const PATH: Template = Template::new($path);
            const ACCESS: Access = $access;
            const SUMMARY: &'static str = $summary;
            const BARE: bool = !matches!(Self::ACCESS, Access::Sudo) && !matches!(Self::OP, Op::Delete);
        }
    };
}

endpoint!(
    RekeyStatus,
    Nothing,
    RekeyStatusOutput,
    Read,
    "rekey/init",
    OPENED,
    "Read how far the splitting of the key has come."
);
endpoint!(
    StartRekey,
    RekeyInput,
    RekeyStatusOutput,
    Write,
    "rekey/init",
    OPENED,
    "Begin to split the unseal key anew."
);
endpoint!(
    CancelRekey,
    Nothing,
    Nothing,
    Delete,
    "rekey/init",
    OPENED,
    "Give up splitting the key; the present shares stay."
);
endpoint!(
    UpdateRekey,
    ShareInput,
    RekeyUpdateOutput,
    Write,
    "rekey/update",
    OPENED,
    "Give one present share; the last one makes the new shares."
);
endpoint!(
    VerifyStatus,
    Nothing,
    VerifyStatusOutput,
    Read,
    "rekey/verify",
    OPENED,
    "Read how many new shares were given back."
);
endpoint!(
    UpdateVerify,
    ShareInput,
    VerifyOutput,
    Write,
    "rekey/verify",
    OPENED,
    "Give one new share back; with the last one they count."
);
endpoint!(
    RestartVerify,
    Nothing,
    VerifyStatusOutput,
    Delete,
    "rekey/verify",
    OPENED,
    "Start giving the new shares back from the beginning."
);

/// Read the encrypted shares that were kept.
pub struct ReadBackup;

impl Endpoint for ReadBackup {
    type Input = Nothing;
    type Output = BackupOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("rekey/backup");
    const ACCESS: Access = Access::Sudo;
    const TOP_LEVEL: bool = true;
    const SUMMARY: &'static str = "Read the encrypted shares that were kept.";
}

endpoint!(
    DeleteBackup,
    Nothing,
    Nothing,
    Delete,
    "rekey/backup",
    Access::Sudo,
    "Remove the encrypted shares that were kept."
);

/// Any of the paths for recovery keys, which only automatic unsealing has.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysRecoveryKeyInput")]
pub struct RecoveryInput {
    /// `init`, `update` or `verify`.
    pub step: String,
}

endpoint!(
    ReadRecovery,
    RecoveryInput,
    Nothing,
    Read,
    "rekey-recovery-key/{step}",
    OPENED,
    "Refused: this seal has no recovery keys."
);
endpoint!(
    WriteRecovery,
    RecoveryInput,
    Nothing,
    Write,
    "rekey-recovery-key/{step}",
    OPENED,
    "Refused: this seal has no recovery keys."
);
endpoint!(
    DeleteRecovery,
    RecoveryInput,
    Nothing,
    Delete,
    "rekey-recovery-key/{step}",
    OPENED,
    "Refused: this seal has no recovery keys."
);
endpoint!(
    ReadRecoveryBackup,
    Nothing,
    Nothing,
    Read,
    "rekey/recovery-key-backup",
    Access::Sudo,
    "Refused: this seal has no recovery keys."
);
endpoint!(
    DeleteRecoveryBackup,
    Nothing,
    Nothing,
    Delete,
    "rekey/recovery-key-backup",
    Access::Sudo,
    "Refused: this seal has no recovery keys."
);
