use std::collections::BTreeSet;
use std::time::Duration;

use super::project::{Consumer, Project};
use super::schedule::{Blackout, Window, Zone};
use super::servers::{PostgresqlServer, RedisServer};
use super::settings::{Mode, Rotation};
use crate::model::{Dynamic, Entry, Kind, Manifest};

/// One rotating thing: the document at a path, and the variables that read it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    manifest: &'a Manifest,
    /// The entry that says how it rotates.
    entry: &'a Entry,
    path: &'a str,
    kind: TargetKind,
}

/// What the engine does in each phase. The words are those of the state record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TargetKind {
    /// A ring of keys that sign.
    SigningKey,
    /// A ring of keys that encrypt stored data.
    EncryptionKey,
    /// Two logins of PostgreSQL, by turns.
    PgAlternating,
    /// Two passwords of one Redis user.
    RedisTwoPassword,
    /// Credentials that an engine makes on demand.
    Dynamic,
    /// A person changes it where it is from.
    External,
}

impl TargetKind {
    /// The word in the state record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::SigningKey => "signing-key",
            Self::EncryptionKey => "encryption-key",
            Self::PgAlternating => "pg-alternating",
            Self::RedisTwoPassword => "redis-two-password",
            Self::Dynamic => "dynamic",
            Self::External => "external",
        }
    }
}

impl Manifest {
    /// What rotates, in file order: one target for each path whose entry has `rotation` or `dynamic`.
    #[must_use]
    pub fn targets(&self) -> Vec<Target<'_>> {
        let mut seen = BTreeSet::new();
        let targets = self.entries.iter().filter_map(|entry| self.target_of(entry));
        targets.filter(|target| seen.insert(target.path)).collect()
    }

    /// The target of that path, or that the variable of that name reads.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<Target<'_>> {
        let targets = self.targets();
        let by_path = targets.iter().find(|target| target.path == name);
        by_path.or_else(|| targets.iter().find(|target| target.variables().contains(&name))).copied()
    }

    /// The targets that a consumer of that name reads: those of its variables, through templates too.
    #[must_use]
    pub fn targets_of(&self, consumer: &Consumer) -> Vec<Target<'_>> {
        if consumer.secrets.is_empty() {
            return self.targets();
        }
        let mut reads = BTreeSet::new();
        let mut ahead: Vec<&str> = consumer.secrets.iter().map(String::as_str).collect();
        while let Some(name) = ahead.pop() {
            if let Some(entry) = self.entry(name).filter(|_| reads.insert(name)) {
                ahead.extend(entry.template.iter().flat_map(|template| template.names()));
            }
        }
        let read = |target: &Target<'_>| target.variables().iter().any(|name| reads.contains(name));
        self.targets().into_iter().filter(read).collect()
    }

    /// `[rotation]`: what holds for all targets.
    #[must_use]
    pub const fn rotation(&self) -> &Project {
        &self.rotation
    }

    /// Whether an engine makes the credentials of a dynamic entry in an environment: where it says so, else in `prod`
    /// or `production`, else in the last environment.
    #[must_use]
    pub fn is_dynamic_in(&self, dynamic: &Dynamic, environment: &str) -> bool {
        if !dynamic.environments.is_empty() {
            return dynamic.environments.iter().any(|name| name == environment);
        }
        let production = |name: &String| matches!(name.as_str(), "prod" | "production");
        let usual = self.environments.iter().find(|name| production(name)).or(self.environments.last());
        usual.is_some_and(|name| name == environment)
    }

    fn target_of<'a>(&'a self, entry: &'a Entry) -> Option<Target<'a>> {
        let path = entry.path.as_deref()?;
        let kind = match (&entry.dynamic, &entry.rotation) {
            (Some(_), _) => TargetKind::Dynamic,
            (None, Some(rotation)) => rotating(entry.kind, rotation, &self.rotation),
            (None, None) => return None,
        };
        Some(Target { manifest: self, entry, path, kind })
    }
}

/// A database without a server in the manifest is changed by a person, as any password is.
fn rotating(kind: Kind, rotation: &Rotation, project: &Project) -> TargetKind {
    match kind {
        Kind::SigningKey => TargetKind::SigningKey,
        Kind::EncryptionKey => TargetKind::EncryptionKey,
        // The application's own code does what it takes.
        _ if rotation.bridge => TargetKind::External,
        Kind::Postgresql if rotation.mode == Mode::Automatic || !project.postgresql.is_empty() => {
            TargetKind::PgAlternating
        }
        Kind::Redis if rotation.mode == Mode::Automatic || !project.redis.is_empty() => {
            TargetKind::RedisTwoPassword
        }
        Kind::Postgresql
        | Kind::Redis
        | Kind::Password
        | Kind::External
        | Kind::Certificate
        | Kind::Generic => TargetKind::External,
    }
}

impl<'a> Target<'a> {
    /// Its name: the document's path below `<mount>/<environment>/`.
    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> TargetKind {
        self.kind
    }

    /// The entry that says how it rotates.
    #[must_use]
    pub const fn entry(&self) -> &'a Entry {
        self.entry
    }

    /// The variables that read the document itself, in file order; at least one.
    #[must_use]
    pub fn variables(&self) -> Vec<&'a str> {
        let reads = |entry: &&Entry| entry.path.as_deref() == Some(self.path);
        self.manifest.entries.iter().filter(reads).map(|entry| entry.name.as_str()).collect()
    }

    /// Its own settings; `None` for dynamic credentials.
    #[must_use]
    pub const fn rotation(&self) -> Option<&'a Rotation> {
        self.entry.rotation.as_ref()
    }

    /// What the engine of dynamic credentials is asked for.
    #[must_use]
    pub const fn dynamic(&self) -> Option<&'a Dynamic> {
        self.entry.dynamic.as_ref()
    }

    /// Whether the schedule starts it.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        self.rotation().is_none_or(|rotation| rotation.mode == Mode::Automatic)
    }

    /// Its zone.
    #[must_use]
    pub fn zone(&self) -> Zone {
        let own = self.rotation().and_then(|rotation| rotation.zone.as_ref());
        own.or(self.project().zone.as_ref()).cloned().unwrap_or_default()
    }

    /// The hours in which it may change; `None`: always.
    #[must_use]
    pub fn window(&self) -> Option<&'a Window> {
        let own = self.rotation().and_then(|rotation| rotation.window.as_ref());
        own.or(self.project().window.as_ref())
    }

    /// When it may not: its own times and the project's.
    pub fn blackouts(&self) -> impl Iterator<Item = &'a Blackout> {
        let own = self.rotation().into_iter().flat_map(|rotation| &rotation.blackout);
        own.chain(&self.project().blackout)
    }

    /// How long to wait for consumers; 24 hours unless the file says otherwise.
    #[must_use]
    pub fn gate_deadline(&self) -> Duration {
        let own = self.rotation().and_then(|rotation| rotation.gate_deadline.as_ref());
        let found = own.or(self.project().gate_deadline.as_ref());
        found.map_or(Duration::from_secs(86_400), crate::Period::length)
    }

    /// How long what still uses the old credential is left alone; 15 minutes unless the file says otherwise.
    #[must_use]
    pub fn grace(&self) -> Duration {
        let own = self.rotation().and_then(|rotation| rotation.grace.as_ref());
        own.or(self.project().grace.as_ref()).map_or(Duration::from_secs(900), crate::Period::length)
    }

    /// How long the bytes of a retired key stay in the vault; 7 days unless the file says otherwise.
    #[must_use]
    pub fn destroy_hold(&self) -> Duration {
        self.project().destroy_hold.as_ref().map_or(Duration::from_secs(7 * 86_400), crate::Period::length)
    }

    /// The oldest copy with which a consumer still works; 1 hour unless the file says otherwise.
    #[must_use]
    pub fn max_stale(&self) -> Duration {
        self.project().max_stale.as_ref().map_or(Duration::from_secs(3_600), crate::Period::length)
    }

    /// The group of which one is changed at a time: its own, else `pg` and `redis` for databases.
    #[must_use]
    pub fn group(&self) -> Option<&'a str> {
        let own = self.rotation().and_then(|rotation| rotation.group.as_deref());
        own.or(match (self.kind, self.entry.kind) {
            (TargetKind::PgAlternating, _) | (TargetKind::Dynamic, Kind::Postgresql) => Some("pg"),
            (TargetKind::RedisTwoPassword, _) | (TargetKind::Dynamic, Kind::Redis) => Some("redis"),
            _ => None,
        })
    }

    /// The PostgreSQL server that knows the login or has the encrypted columns: the named one, else the only one.
    #[must_use]
    pub fn postgresql(&self) -> Option<(&'a str, &'a PostgresqlServer)> {
        self.postgresql_named(None)
    }

    /// As [`postgresql`](Self::postgresql), for a holder that may name its own.
    #[must_use]
    pub fn postgresql_named(&self, own: Option<&str>) -> Option<(&'a str, &'a PostgresqlServer)> {
        let named = own.or_else(|| self.rotation().and_then(|rotation| rotation.server.as_deref()));
        chosen(&self.project().postgresql, named)
    }

    /// The Redis server that knows the user: the named one, else the only one.
    #[must_use]
    pub fn redis(&self) -> Option<(&'a str, &'a RedisServer)> {
        chosen(&self.project().redis, self.rotation().and_then(|rotation| rotation.server.as_deref()))
    }

    /// The programs that read it once, when they start, with their names.
    pub fn frozen_consumers(&self) -> impl Iterator<Item = (&'a str, &'a Consumer)> {
        let (manifest, path) = (self.manifest, self.path);
        let consumers = self.project().consumers.iter().filter(|(_, consumer)| consumer.frozen);
        let reads =
            move |consumer: &Consumer| manifest.targets_of(consumer).iter().any(|target| target.path == path);
        consumers
            .filter(move |(_, consumer)| reads(consumer))
            .map(|(name, consumer)| (name.as_str(), consumer))
    }

    /// `[rotation]`: what holds for all targets.
    #[must_use]
    pub const fn project(&self) -> &'a Project {
        &self.manifest.rotation
    }
}

fn chosen<'a, T>(
    servers: &'a std::collections::BTreeMap<String, T>,
    named: Option<&str>,
) -> Option<(&'a str, &'a T)> {
    let mut all = servers.iter().map(|(name, server)| (name.as_str(), server));
    match named {
        Some(name) => all.find(|(known, _)| *known == name),
        None => all.next().filter(|_| servers.len() == 1),
    }
}
