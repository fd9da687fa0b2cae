use serde::{Deserialize, Serialize};

use crate::period::Period;
use crate::rotation::{Notifications, Project, Rotation};
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
    pub(crate) rotation: Project,
    pub(crate) notifications: Notifications,
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

    /// The environment before this one, in which a rotation must have gone well for `promote_after`, if that is said.
    #[must_use]
    pub fn soaks_in(&self, environment: &str) -> Option<&str> {
        self.rotation.promote_after()?;
        let at = self.environments.iter().position(|name| name == environment)?;
        self.environments.get(at.checked_sub(1)?).map(String::as_str)
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

    /// Who is told what about rotations.
    #[must_use]
    pub const fn notifications(&self) -> &Notifications {
        &self.notifications
    }
}

/// `[dotenv]`: what was decided about the files that the application is migrated from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dotenv {
    /// The release of python-dotenv that the application uses, as `1.2.4`.
    pub release: Option<String>,
    /// Variables (or places, `.env:7`) of which migration's reading is right, although others read them differently.
    #[serde(skip_serializing_if = "Vec::is_empty")]
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

/// `dynamic = { role, ttl }`: credentials that an engine makes on demand. As long as no engine makes them, the
/// document at the entry's path holds the whole value (see [`Source::Dynamic`](crate::Source::Dynamic)).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Dynamic {
    /// The engine's role.
    pub role: String,
    /// How long a credential lives.
    pub ttl: Period,
    /// Where the engine is mounted; `database` unless this says otherwise.
    pub mount: Option<String>,
    /// The environments in which the engine makes them; production unless this says otherwise. Elsewhere the document
    /// holds the value, and a role of production is out of reach of other environments' policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// How many may live at once before making another halts; 20.
    pub max_live_leases: Option<u32>,
    /// How many may be made in a minute; 6.
    pub per_minute: Option<u32>,
}

impl Dynamic {
    /// Of a role at the usual mount, in production.
    #[must_use]
    pub const fn of(role: String, ttl: Period) -> Self {
        Self { role, ttl, mount: None, environments: Vec::new(), max_live_leases: None, per_minute: None }
    }

    /// Where the engine is mounted, without slashes at its ends.
    #[must_use]
    pub fn mount(&self) -> &str {
        self.mount.as_deref().unwrap_or("database")
    }
}

/// `local = "env"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Local {
    /// In a development environment the variable may come from `.env`.
    Env,
}
