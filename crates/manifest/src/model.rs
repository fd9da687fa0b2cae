use serde::Deserialize;

use crate::period::Period;
use crate::template::Template;

/// A sound manifest; made by [`Manifest::parse`] or [`Manifest::new`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    pub(crate) app: String,
    pub(crate) mount: Option<String>,
    pub(crate) environments: Vec<String>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) config: Vec<String>,
    pub(crate) dotenv: Dotenv,
}

impl Manifest {
    /// The application's name; also the name of its KV mount unless the manifest says otherwise.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The KV v2 mount, without slashes at its ends.
    #[must_use]
    pub fn mount(&self) -> &str {
        self.mount.as_deref().unwrap_or(&self.app)
    }

    /// The environments in file order; at least one.
    #[must_use]
    pub fn environments(&self) -> &[String] {
        &self.environments
    }

    /// The secret variables in file order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of a variable.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Variables that are not secret and stay in the environment.
    #[must_use]
    pub fn config(&self) -> &[String] {
        &self.config
    }

    /// What was decided about the `.env` files.
    #[must_use]
    pub const fn dotenv(&self) -> &Dotenv {
        &self.dotenv
    }
}

/// `[dotenv]`: what was decided about the files that the application is migrated from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dotenv {
    /// The release of python-dotenv that the application uses, as `1.2.4`.
    pub release: Option<String>,
    /// Variables (or places, `.env:7`) of which migration's reading is right, although others read them differently.
    pub accept: Vec<String>,
}

/// `[secret.NAME]`: one variable that the program reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The environment variable.
    pub name: String,
    /// Below `<mount>/<environment>/`; absent only for a variable that is composed of others.
    pub path: Option<String>,
    /// The field of the document; usually `value`.
    pub field: String,
    /// What it is.
    pub kind: Kind,
    /// How much depends on it.
    pub priority: Priority,
    /// How it changes.
    pub rotation: Option<Rotation>,
    /// Credentials that the server makes on demand.
    pub dynamic: Option<Dynamic>,
    /// How the variable is composed.
    pub template: Option<Template>,
    /// Whether it may stay in the `.env` file of a development environment.
    pub local: Option<Local>,
}

impl Entry {
    /// An entry with the defaults of the file format: field `value`, kind `generic`, priority `medium`.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: None,
            field: "value".to_owned(),
            kind: Kind::Generic,
            priority: Priority::Medium,
            rotation: None,
            dynamic: None,
            template: None,
            local: None,
        }
    }
}

/// What a secret is; decides how it is made, probed and rotated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Signs sessions or tokens: Flask's `SECRET_KEY`, a JWT key.
    SigningKey,
    /// Encrypts stored data.
    EncryptionKey,
    /// A PostgreSQL credential or URL.
    Postgresql,
    /// A Redis credential or URL.
    Redis,
    /// A password that somebody else's system knows.
    Password,
    /// A key of an outside service, changed there.
    External,
    /// A private key or certificate in PEM.
    Certificate,
    /// Anything else.
    #[default]
    Generic,
}

impl Kind {
    /// The word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::SigningKey => "signing-key",
            Self::EncryptionKey => "encryption-key",
            Self::Postgresql => "postgresql",
            Self::Redis => "redis",
            Self::Password => "password",
            Self::External => "external",
            Self::Certificate => "certificate",
            Self::Generic => "generic",
        }
    }
}

/// How much depends on a secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// The application does not work, or data is lost, without it.
    Critical,
    /// A part of the application does not work.
    High,
    /// The usual case.
    #[default]
    Medium,
    /// Nobody is woken for it.
    Low,
}

impl Priority {
    /// The word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// `rotation = { mode, every, token_lifetime }`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Who starts it.
    pub mode: Mode,
    /// How often; required for automatic rotation.
    pub every: Option<Period>,
    /// How long something signed with the key stays valid: how long an old key must still be accepted.
    pub token_lifetime: Option<Period>,
}

/// Who starts a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A person; `every` is when to remind them.
    Manual,
    /// The schedule.
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

/// `dynamic = { role, ttl }`: credentials that an engine makes on demand. As long as no engine makes them, the
/// document at the entry's path holds the whole value (see [`Source::Dynamic`](crate::Source::Dynamic)).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dynamic {
    /// The engine's role.
    pub role: String,
    /// How long a credential lives.
    pub ttl: Period,
}

/// `local = "env"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Local {
    /// In a development environment the variable may come from `.env`.
    Env,
}
