//! From `.env` files into a vault: classify, plan, apply, verify, roll back.
//!
//! The steps, each of which takes data and returns data; nothing here prints:
//! 1. [`Sources::read`] reads the files as python-dotenv does, and [`classify`] says what each variable is.
//! 2. [`draft`] proposes the manifest's entries for what it does not name yet.
//! 3. [`survey`] asks the server, and [`plan`] says what will be written where.
//! 4. [`apply`] writes it, each write announced in the [`Journal`] first.
//! 5. [`verify`] reads everything back as the application's own role, and compares.
//! 6. [`cutover`] switches programs over with one write.
//! 7. [`retire`] takes the secrets out of the files, which are kept in a sealed archive.
//! 8. [`rollback_to`] takes back what was done, as far as asked, and nothing else.
//!
//! No step but retiring and its way back touches a `.env` file, and that one demands a [`Verified`]. No value gets into a plan, a journal, a message or a `Debug`: values are told apart by
//! [`Fingerprints`] under a key that stays in the [`State`] directory.

mod apply;
mod archive;
mod classify;
mod cutover;
mod desk;
mod discover;
mod document;
mod draft;
mod error;
mod exposure;
mod fingerprint;
mod journal;
mod oddity;
mod plan;
mod retire;
mod rollback;
mod scan;
mod server_vault;
mod source;
mod state;
mod status;
mod stub;
mod survey;
mod syntax;
mod tree;
mod vault;
mod verify;

pub use apply::{Applied, Work, apply};
pub use archive::{ArchiveError, Kept, OpenKey, SealKey, recovery_key};
pub use classify::{Class, Finding, classify};
pub use cutover::{SwitchedOver, cutover};
pub use desk::{Desk, DiskDesk};
pub use discover::{Assigned, Beyond, Consumer, Discovery, FileInput, Input, discover, hold_against};
pub use draft::{Draft, draft};
pub use error::Error;
pub use exposure::exposures;
pub use fingerprint::Fingerprints;
pub use journal::{
    CutOver, Ended, Exposure, FileSink, Journal, JournalError, Queued, Run, Sink, Step, Subject,
};
pub use oddity::{Oddity, OddityKind};
pub use plan::{
    Action, DocumentStep, Existing, FieldStep, Item, Overwrite, Plan, SetupStep, SourceMark, Survey, Target,
    plan,
};
pub use retire::{Retired, Retiring, retire};
pub use rollback::{Back, RolledBack, rollback, rollback_to};
pub use scan::{Language, Place as CodePlace, Read, Reads, Scan, Usage, reads, scan};
pub use server_vault::ServerVault;
pub use source::{File, Reader, Sources, Unreadable, Variable};
pub use state::State;
pub use status::{RunStatus, Status, status};
pub use survey::survey;
pub use syntax::Syntax;
pub use tree::Tree;
pub use vault::{Answer, Object, Place, Standing, Vault, VaultError, VaultErrorKind, role_state};
pub use verify::{Verified, verify};
