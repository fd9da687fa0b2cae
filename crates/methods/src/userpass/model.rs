//! What the method stores, below its mount's view: `user/<name>`, JSON of [`User`].

use serde::{Deserialize, Serialize};

use super::hash::PasswordHash;
use crate::token_settings::TokenSettings;

/// The folder of the users.
pub(super) const USERS: &str = "user/";

pub(super) fn user_key(name: &str) -> String {
    format!("{USERS}{name}")
}

/// A user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct User {
    /// In its one spelling.
    pub(super) name: String,
    /// Drawn when the user is made: a user of the same name that is made later is somebody else.
    pub(super) generation: String,
    /// Of the password.
    pub(super) hash: PasswordHash,
    /// What the tokens are like.
    #[serde(flatten)]
    pub(super) token: TokenSettings,
}
