//! Everything stored is encrypted and bound to its place; seal and unseal.
//!
//! Threat model: whoever reads or changes the storage, and holders of fewer shares than the threshold. A record that
//! was changed, moved, cut or exchanged does not open. Critical records (all below
//! `core/`) cannot be removed or replaced by older copies either: an index of them is compared at each unseal. Not in
//! scope here: older copies of other records at their own paths, and the roll-back of the whole storage.
//!
//! Layers of keys: the *unseal key* exists only while shares are combined; it opens the *root key*, from which two
//! labelled subkeys open the *keyring* (the terms that encrypt records, and one stable secret from which all other
//! keys of the server are derived) and the message counter. While unsealed, the keyring and those two subkeys are in
//! memory; shares, unseal key and root key are not.
//!
//! * [`Barrier`] initialises, unseals, seals; [`Barrier::open`] gives [`Unsealed`], without which there is no store.
//! * [`View`] and [`ReadView`] are storage below a prefix.
//! * [`record`] is the format at rest; [`share`] the form of a share on paper.
//!
//! Layout of the storage: `core/seal-config` (plain JSON), `core/root-key`, `core/root-key-before` (for
//! a moment after the key was split anew), `core/keyring`, `core/messages`,
//! `core/integrity`, and all
//! records of views below `data/`.

mod barrier;
mod error;
mod gathering;
mod index;
mod init;
mod integrity;
mod layout;
mod messages;
pub mod record;
mod resplit;
mod secrets;
mod session;
pub mod share;
mod status;
mod unseal;
mod view;

pub use barrier::{Barrier, Limits};
pub use error::{BarrierError, InitRefused, Sealed, UnsealRefused};
pub use gathering::Gathering;
pub use init::{NewShares, PreparedInit, share_counts};
pub use resplit::{Holders, NewSplit};
pub use session::{KeyStatus, Unsealed};
pub use status::SealStatus;
pub use view::{Listing, ReadView, View, ViewBatch};
