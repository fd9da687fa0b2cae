use serde::{Deserialize, Serialize};

/// `[notifications]`: who is told what. Log and metrics tell everything.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notifications {
    /// What people are told; see [`EventWord::usual`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventWord>,
    /// Addresses that get a signed request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhook: Vec<Webhook>,
    /// E-mail.
    pub smtp: Option<Email>,
}

impl Notifications {
    /// What people are told, the usual if the file does not say.
    #[must_use]
    pub fn wanted(&self) -> &[EventWord] {
        if self.events.is_empty() { EventWord::usual() } else { &self.events }
    }
}

/// `[[notifications.webhook]]`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where; `https://…`, or `http://` on this machine. One of `url` and `url_from`.
    pub url: Option<String>,
    /// The document whose `value` is the address, for an address that is itself a secret; a path below
    /// `<mount>/<environment>/`.
    pub url_from: Option<String>,
    /// The document whose `value` is the key with which requests are signed; without it they are not.
    pub secret: Option<String>,
    /// What this one is told, instead of the section's `events`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventWord>,
}

/// `[notifications.smtp]`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The server.
    pub host: String,
    /// Its port; 587 with `starttls`, 465 with `tls`, 25 without.
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub security: Security,
    /// The document with `username` and `password`, a path below `<mount>/<environment>/`; without it nobody logs in.
    pub credentials: Option<String>,
    /// From whom.
    pub from: String,
    /// To whom; at least one, at most 16.
    pub to: Vec<String>,
}

impl Email {
    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            Security::Starttls => 587,
            Security::Tls => 465,
            Security::None => 25,
        })
    }
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Begins in the clear and must become TLS (RFC 3207).
    #[default]
    Starttls,
    /// TLS from the beginning (RFC 8314).
    Tls,
    /// Not at all: for a server on this machine, without credentials.
    None,
}

/// What can happen to a target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventWord {
    /// A person has to change it, or soon will have to.
    Due,
    /// A rotation began.
    Started,
    /// It entered a phase.
    Phase,
    /// It waits for consumers.
    GateWaiting,
    /// The new credential is in use.
    Promoted,
    /// The old one is no longer accepted.
    Retired,
    /// Its bytes are gone.
    Destroyed,
    /// It stopped and needs a person.
    Halted,
    /// Its deadline passed.
    Overdue,
    /// What is in the vault and what the target accepts differ.
    Drift,
    /// It was undone before the new credential was used.
    Undo,
    /// The old credential is in use again.
    Rollback,
}

impl EventWord {
    /// The word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Started => "started",
            Self::Phase => "phase",
            Self::GateWaiting => "gate_waiting",
            Self::Promoted => "promoted",
            Self::Retired => "retired",
            Self::Destroyed => "destroyed",
            Self::Halted => "halted",
            Self::Overdue => "overdue",
            Self::Drift => "drift",
            Self::Undo => "undo",
            Self::Rollback => "rollback",
        }
    }

    /// What people want to hear: whatever needs them, and that something changed.
    #[must_use]
    pub const fn usual() -> &'static [Self] {
        &[
            Self::Due,
            Self::Promoted,
            Self::Destroyed,
            Self::Halted,
            Self::Overdue,
            Self::Drift,
            Self::Undo,
            Self::Rollback,
        ]
    }
}
