//! What the method stores, below its mount's view: `config`, JSON of [`Config`]; `role/<name>`, JSON of [`Role`].

use coffre_api::Refusal;
use serde::{Deserialize, Serialize};

use crate::token_settings::TokenSettings;

pub(super) const CONFIG: &str = "config";
/// The folder of the roles.
pub(super) const ROLES: &str = "role/";
/// The longest name of a role.
const MAX_NAME: usize = 128;

pub(super) fn role_key(name: &str) -> String {
    format!("{ROLES}{name}")
}

/// A role's name in its one spelling: lower-case ASCII letters, digits and `_`, inside also `-` and `.`.
pub(super) fn role_name(raw: &str) -> Result<String, Refusal> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = raw.as_bytes();
    let inner = bytes.iter().all(|byte| is_word(*byte) || matches!(byte, b'-' | b'.'));
    let ends = bytes.first().zip(bytes.last()).is_some_and(|(a, z)| is_word(*a) && is_word(*z));
    if inner && ends && bytes.len() <= MAX_NAME {
        Ok(raw.to_ascii_lowercase())
    } else {
        Err(Refusal::invalid(format!(
            "a role's name has 1 to {MAX_NAME} letters, digits and _ - . and does not begin or end with - or ."
        )))
    }
}

/// How tokens of the cluster are checked.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    pub(super) host: String,
    pub(super) ca_cert: String,
    /// Secret.
    pub(super) reviewer_jwt: String,
    /// Each one public key, PEM, as written.
    pub(super) pem_keys: Vec<String>,
    /// Empty is the default of clusters.
    pub(super) issuer: String,
    pub(super) disable_iss_validation: bool,
    pub(super) disable_local_ca_jwt: bool,
    pub(super) use_annotations_as_alias_metadata: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: String::new(),
            ca_cert: String::new(),
            reviewer_jwt: String::new(),
            pem_keys: Vec::new(),
            issuer: String::new(),
            disable_iss_validation: true,
            disable_local_ca_jwt: false,
            use_annotations_as_alias_metadata: false,
        }
    }
}

/// A role.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    /// In its one spelling.
    pub(super) name: String,
    /// Drawn when the role is made: one of the same name that is made later is another.
    pub(super) generation: String,
    /// `*` is any; never empty.
    pub(super) names: Vec<String>,
    /// `*` is any; never empty.
    pub(super) namespaces: Vec<String>,
    /// Empty is anything.
    pub(super) audience: String,
    pub(super) alias: AliasSource,
    /// What the tokens are like.
    #[serde(flatten)]
    pub(super) token: TokenSettings,
}

/// What names the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum AliasSource {
    /// Never the same for two accounts, also if one is deleted and made again.
    #[default]
    #[serde(rename = "serviceaccount_uid")]
    Uid,
    /// `namespace/name`.
    #[serde(rename = "serviceaccount_name")]
    Name,
}

impl AliasSource {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Uid => "serviceaccount_uid",
            Self::Name => "serviceaccount_name",
        }
    }

    pub(super) fn parse(word: &str) -> Result<Self, Refusal> {
        match word {
            "" | "serviceaccount_uid" => Ok(Self::Uid),
            "serviceaccount_name" => Ok(Self::Name),
            _ => Err(Refusal::invalid("alias_name_source must be serviceaccount_uid or serviceaccount_name")),
        }
    }
}
