use serde::{Deserialize, Serialize};

use super::holders::{Drain, Holder};
use super::probe::HttpProbe;
use super::schedule::{Blackout, Cron, Window, Zone};
use crate::period::Period;

/// `rotation = { mode, every, token_lifetime, … }` of an entry. What is absent is as `[rotation]` says, else the default.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Who starts it.
    pub mode: Mode,
    /// How often, counted from the last success. Automatic rotation needs this or `cron`.
    pub every: Option<Period>,
    /// When, instead of `every`.
    pub cron: Option<Cron>,
    /// The zone of `cron`, `window` and `blackout`.
    pub zone: Option<Zone>,
    /// The hours in which it may change.
    pub window: Option<Window>,
    /// When it may not, besides the project's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blackout: Vec<Blackout>,
    /// How long something signed with the key stays valid, refresh tokens included: how long an old key must still be
    /// accepted.
    pub token_lifetime: Option<Period>,
    /// By how much verifiers forgive an expired token.
    pub leeway: Option<Period>,
    /// How long what still uses the old credential is left alone once everybody has acknowledged the new one.
    pub grace: Option<Period>,
    /// How a signing key signs; HS256 unless it says otherwise.
    pub alg: Option<Algorithm>,
    /// The longest that a process lives which reads the secret only when it starts.
    pub max_process_lifetime: Option<Period>,
    /// How long to wait for consumers before the rotation halts.
    pub gate_deadline: Option<Period>,
    /// Targets of one group are not changed within `limits.group_spacing` of each other.
    pub group: Option<String>,
    /// Which of `[rotation.postgresql.*]` or `[rotation.redis.*]` knows the credential, or holds the encrypted columns;
    /// not needed where there is one.
    pub server: Option<String>,
    /// A request that the new key of an outside service must answer, and the old one must not.
    pub probe: Option<HttpProbe>,
    /// Where texts stand that are encrypted with the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
    /// Where texts stand that go away by themselves: queues, caches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drains: Vec<Drain>,
    /// How long backups are kept that hold texts under an old key.
    pub backup_retention: Option<Period>,
    /// How long nobody may have decrypted anything with an old key before it is destroyed; 7 days.
    pub quiet: Option<Period>,
    /// The public half of a recovery key to which an old encryption key is sealed before it is destroyed.
    pub escrow: Option<String>,
    /// How many people must agree before an old encryption key is destroyed.
    pub approvals: Option<u8>,
    /// Extensions of the application that know only `SECRET_KEY`, no fallbacks, and are rotated knowingly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_extensions: Vec<String>,
    /// What happens when an outside service's key is long overdue.
    pub breach: Option<Breach>,
    /// The application has a rotation of its own, which the engine calls: in a process that has its code, and no other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bridge: bool,
}

impl Rotation {
    /// Nothing but who starts it.
    #[must_use]
    pub const fn of(mode: Mode) -> Self {
        Self {
            mode,
            every: None,
            cron: None,
            zone: None,
            window: None,
            blackout: Vec::new(),
            token_lifetime: None,
            leeway: None,
            grace: None,
            alg: None,
            max_process_lifetime: None,
            gate_deadline: None,
            group: None,
            server: None,
            probe: None,
            holders: Vec::new(),
            drains: Vec::new(),
            backup_retention: None,
            quiet: None,
            escrow: None,
            approvals: None,
            accepted_extensions: Vec::new(),
            breach: None,
            bridge: false,
        }
    }
}

/// Who starts a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A person; `every` is when to remind them.
    Manual,
    /// The schedule. What only a person can change (a key of an outside service) is asked for on time.
    Automatic,
}

impl Mode {
    /// The word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automatic => "automatic",
        }
    }
}

/// How a signing key signs (RFC 7518, 3.1; RFC 8037, 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
pub enum Algorithm {
    /// HMAC with SHA-256. Everybody who verifies can sign.
    #[default]
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// ECDSA on P-256.
    ES256,
    /// Ed25519.
    EdDSA,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
}

impl Algorithm {
    /// The word in the file and in a token's header.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
            Self::RS256 => "RS256",
        }
    }
}

/// What happens when a person has let the deadline and the time of grace pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breach {
    /// People are told, every day.
    #[default]
    Alert,
    /// `doctor` fails as well, and with it the pipeline that runs it.
    Doctor,
    /// The application says that it is not ready.
    Readiness,
}
