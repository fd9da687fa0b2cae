use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_database::postgresql::Texts;
use coffre_database::redis::Persistence;
use coffre_database::{Plugin, Settings, Tls};
use coffre_manifest::rotation::{Persistence as Keeps, PostgresqlServer, Target as Declared, TargetKind};
use coffre_rotation::Kind;

use super::settings::settled;
use super::unready::Unready;
use super::{login, settings_of};
use crate::targets::encryption::{Acknowledgements, EncryptionKey, Rate, Registry, Rules, Safe};
use crate::targets::external::ExternalKey;
use crate::targets::signing::SigningKey;
use crate::targets::{PgAlternating, PgPair, PgProbe, RedisProbe, RedisTwoPassword};
use crate::{Failure, FailureKind, Kv, Target};

/// What the kind of a target does, ready to be driven; or what it lacks. Fails if the vault does not answer: nothing is
/// lacking then, and the engine is put together later.
pub(super) async fn of(
    target: &Declared<'_>,
    environment: &str,
    kv: &Arc<dyn Kv>,
) -> Result<Arc<dyn Target>, Failure> {
    let made = match target.kind() {
        TargetKind::SigningKey => Ok(signing(target)),
        TargetKind::EncryptionKey => encryption(target, environment, kv).await,
        TargetKind::PgAlternating => postgresql(target, environment, &**kv).await,
        TargetKind::RedisTwoPassword => redis(target, environment, &**kv).await,
        TargetKind::External | TargetKind::Dynamic => external(target),
    };
    made.or_else(|failure| match failure.kind() {
        FailureKind::Transient => Err(failure),
        _ => {
            let kind = settings_of(target).map_or(Kind::External, |settings| settings.kind);
            Ok(Arc::new(Unready { kind, failure }))
        }
    })
}

fn signing(target: &Declared<'_>) -> Arc<dyn Target> {
    let algorithm = target.rotation().and_then(|rotation| rotation.alg);
    Arc::new(SigningKey::new(&target.entry().field, algorithm.map(|algorithm| algorithm.word())))
}

fn external(target: &Declared<'_>) -> Result<Arc<dyn Target>, Failure> {
    let probe = target.rotation().and_then(|rotation| rotation.probe.clone());
    Ok(Arc::new(ExternalKey::new(&target.entry().field, probe, None)?))
}

async fn postgresql(
    target: &Declared<'_>,
    environment: &str,
    kv: &dyn Kv,
) -> Result<Arc<dyn Target>, Failure> {
    let (_, server) = target.postgresql().ok_or_else(|| unknown(target, "postgresql"))?;
    let (username, password) = login(kv, environment, &server.admin).await?;
    Ok(Arc::new(PgAlternating::new(pair(server, environment)?, &username, password)?))
}

fn pair(server: &PostgresqlServer, environment: &str) -> Result<PgPair, Failure> {
    let place = server.place(environment);
    let probe = server.probe.clone().unwrap_or_default();
    let rights = probe.privileges.iter();
    let rights = rights.flat_map(|on| on.can.iter().map(|right| (on.table.clone(), right.clone())));
    Ok(PgPair {
        host: place.host.unwrap_or_default(),
        port: place.port.unwrap_or(5432),
        database: place.database.unwrap_or_default(),
        sslmode: place.sslmode.unwrap_or_default().word().to_owned(),
        ca: certificates(place.root_certificate.as_deref())?,
        owner: server.owner.clone(),
        users: server.principals.clone(),
        probe: PgProbe { privileges: rights.collect(), read: probe.read.clone(), write: probe.write.clone() },
    })
}

async fn redis(target: &Declared<'_>, environment: &str, kv: &dyn Kv) -> Result<Arc<dyn Target>, Failure> {
    let (_, server) = target.redis().ok_or_else(|| unknown(target, "redis"))?;
    let (username, password) = login(kv, environment, &server.admin).await?;
    let place = server.place(environment);
    let persistence = match place.persistence.unwrap_or(server.persistence) {
        Keeps::Aclfile => Persistence::AclFile,
        Keeps::Rewrite => Persistence::Rewrite,
    };
    let tls = Tls {
        required: place.tls.unwrap_or(true),
        ca: certificates(place.root_certificate.as_deref())?,
        ..Tls::default()
    };
    let settings = Settings {
        plugin: Plugin::Redis,
        url: None,
        host: place.host,
        port: place.port,
        username,
        password,
        tls,
        limits: coffre_database::Limits::default(),
        authentication: coffre_database::PasswordAuthentication::default(),
        raw_url: false,
    };
    let probe = server.probe.clone().unwrap_or_default();
    let probe = RedisProbe { allowed: probe.allowed, denied: probe.denied };
    Ok(Arc::new(RedisTwoPassword::new(settings, persistence, server.user.clone(), probe)?))
}

async fn encryption(
    target: &Declared<'_>,
    environment: &str,
    kv: &Arc<dyn Kv>,
) -> Result<Arc<dyn Target>, Failure> {
    let rotation = target.rotation().ok_or_else(|| unknown(target, "rotation"))?;
    let mut servers = BTreeMap::new();
    let mut holders = Vec::new();
    for holder in &rotation.holders {
        let found = target.postgresql_named(holder.server.as_deref());
        let (name, server) = found.ok_or_else(|| unknown(target, "postgresql"))?;
        if !servers.contains_key(name) {
            let (username, password) = login(&**kv, environment, &server.admin).await?;
            let settings = pair(server, environment)?.settings(&username, password);
            servers.insert(name.to_owned(), Arc::new(Texts::open(settings)?));
        }
        holders.push(coffre_manifest::rotation::Holder { server: Some(name.to_owned()), ..holder.clone() });
    }
    let rules = Rules {
        settled: settled(target),
        backup_retention: rotation.backup_retention.as_ref().map(coffre_manifest::Period::length),
        escrow: rotation.escrow.is_some(),
        approvals: rotation.approvals.unwrap_or(0),
        quiet: rotation.quiet.as_ref().map_or(Rules::default().quiet, coffre_manifest::Period::length),
    };
    let safe = rotation.escrow.as_ref().map(|recovery| Safe::new(Arc::clone(kv), environment, recovery));
    let witness = Acknowledgements::new(Arc::clone(kv), environment, settled(target), rules.quiet);
    let registry =
        Registry { holders, servers, drains: rotation.drains.clone(), rules, rate: Rate::default(), safe };
    Ok(Arc::new(EncryptionKey::new(&target.entry().field, registry, Arc::new(witness))))
}

fn unknown(target: &Declared<'_>, section: &str) -> Failure {
    Failure::config(format!("no server is declared for {}", target.path()))
        .advise(format!("Add a section [rotation.{section}.main] to coffre.toml."))
}

fn certificates(path: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(path) = path else { return Ok(None) };
    std::fs::read_to_string(path).map(Some).map_err(|error| {
        Failure::config(format!("cannot read {path}: {error}"))
            .advise("Correct root_certificate in coffre.toml.")
    })
}
