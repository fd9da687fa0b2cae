use coffre_ambient::EntropyFailed;
use coffre_crypto::envelope::SealFailed;
use coffre_shamir::BadThreshold;
use coffre_storage::{BadKey, StoreError};

use crate::layout;
use crate::share::BadShare;

/// The vault is sealed: there is no key in memory, and nothing can be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the vault is sealed; unseal it with enough of its key shares")]
pub struct Sealed;

/// Why an operation on encrypted storage failed.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// There is no key in memory.
    #[error(transparent)]
    Sealed(#[from] Sealed),
    /// [`ViewBatch::expect_absent`](crate::ViewBatch::expect_absent) met a record at this path (as seen from the
    /// root view). Nothing was changed.
    #[error("a record exists already at {0}")]
    Exists(String),
    /// A path cannot be a storage key.
    #[error(transparent)]
    BadPath(BadKey),
    /// A record does not open at its place, or is not a record.
    #[error("the record at {path} was changed, moved or damaged and is not used; restore it from a backup")]
    Damaged {
        /// Where, as a storage key.
        path: String,
    },
    /// A record was sealed under a term that the keyring does not have: the keyring is older than the record.
    #[error(
        "the record at {path} needs term {term} of the keyring, which is not there: an older keyring was restored; restore the whole storage from one backup"
    )]
    UnknownTerm {
        /// Where, as a storage key.
        path: String,
        /// The missing term.
        term: u32,
    },
    /// Keyring and message counter, which are always written together, are of different age.
    #[error(
        "the stored keyring and the message counter do not belong together: one of them was replaced by an older copy; restore the whole storage from one backup"
    )]
    Mixed,
    /// Critical records are missing, too many, or older copies of themselves.
    #[error(
        "the records of the table {table} are not those that this server wrote (it wrote {expected}, there are {found}; some are missing, or were replaced by older copies): restore the whole storage from one backup, or start the server once with -accept-rollback to go on with what is there"
    )]
    Altered {
        /// The first of the tables that differ.
        table: String,
        /// How many records it should have.
        expected: u64,
        /// How many it has.
        found: u64,
    },
    /// A record that must exist does not.
    #[error(
        "the record {0} is missing from the storage; restore it from a backup, and do not initialise again"
    )]
    Missing(&'static str),
    /// The storage belongs to a newer format.
    #[error(
        "the storage has format {0}, which this version does not know; use a newer version of the server"
    )]
    Format(u32),
    /// One batch writes more records than one key may seal.
    #[error("one batch of {0} records is more than one key may seal; split it")]
    BatchTooLarge(u64),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// The storage failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for BarrierError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists(key) => Self::Exists(layout::shown(key.as_str()).to_owned()),
            StoreError::BadKey(bad) => Self::BadPath(bad),
            other => Self::Store(other),
        }
    }
}

impl From<BadKey> for BarrierError {
    fn from(bad: BadKey) -> Self {
        Self::BadPath(bad)
    }
}

impl From<SealFailed> for BarrierError {
    fn from(error: SealFailed) -> Self {
        match error {
            SealFailed::Entropy(failed) => Self::Entropy(failed),
            SealFailed::TooLong => Self::Store(StoreError::TooLarge(usize::MAX)),
        }
    }
}

/// Why a new cluster was not made. Nothing was changed, unless the storage's answer leaves that open.
#[derive(Debug, thiserror::Error)]
pub enum InitRefused {
    /// There is a cluster already.
    #[error("the vault is already initialised")]
    AlreadyInitialised,
    /// The storage holds records, but not those of an initialised cluster.
    #[error(
        "the storage is not empty although it is not initialised: records of the seal are missing; restore a backup, or use an empty storage"
    )]
    NotEmpty,
    /// More than 255 shares.
    #[error("{0} shares are more than 255; choose at most 255")]
    TooManyShares(u64),
    /// The numbers make no sense.
    #[error(transparent)]
    Threshold(#[from] BadThreshold),
    /// The storage or the randomness failed.
    #[error(transparent)]
    Failed(#[from] BarrierError),
}

/// Why a share was not taken. Unless it says otherwise, the progress of the attempt is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum UnsealRefused {
    /// There is nothing to unseal.
    #[error("the vault is not initialised; initialise it first")]
    NotInitialised,
    /// This is no share, or none of this cluster.
    #[error(transparent)]
    Share(#[from] BadShare),
    /// Another share with the same number was given in this attempt.
    #[error(
        "another share with the number {0} was given before; one of the two is wrong: reset the attempt and start again"
    )]
    Conflict(u8),
    /// The shares together do not open the root key. The attempt starts again at zero.
    #[error(
        "the given shares together do not open this vault; at least one of them is wrong: start again with the first share"
    )]
    WrongSet,
    /// The shares are right or not yet enough, but what is stored could not be read. The attempt starts again.
    #[error(transparent)]
    Failed(#[from] BarrierError),
}

impl From<coffre_shamir::SplitFailed> for BarrierError {
    fn from(error: coffre_shamir::SplitFailed) -> Self {
        match error {
            coffre_shamir::SplitFailed::Entropy(failed) => Self::Entropy(failed),
            // The unseal key always has 32 bytes.
            coffre_shamir::SplitFailed::Empty => Self::Entropy(EntropyFailed),
        }
    }
}
