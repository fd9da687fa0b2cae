//! Every value that the manifest names, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use coffre_client::{Client, Error, Kv2Entry};
use coffre_manifest::{Address, Entry, Local, Manifest, Source, Template};
use coffre_rotation::Reading;
use coffre_secret::SecretText;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

/// The field that holds a whole ring of keys.
const RING: &str = "keys";
/// How many documents are read at the same time.
const AT_ONCE: usize = 8;

/// A variable with its value and where it came from.
#[derive(Debug)]
pub struct Resolved {
    /// The environment variable.
    pub name: String,
    /// Its value.
    pub value: SecretText,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A document on the server.
    Server,
    /// `.env`.
    Dotenv,
    /// The process environment.
    Environment,
    /// Composed of others.
    Composed,
}

/// What kept values from being made: all of it, so that one start shows everything that must be mended.
#[derive(Debug, thiserror::Error)]
pub struct Incomplete {
    /// One for each variable, in manifest order.
    pub problems: Vec<Problem>,
}

/// Why one variable has no value.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub name: String,
    /// What is wrong.
    pub what: What,
}

/// What is wrong with a variable.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// There is no document.
    NoDocument(String),
    /// The newest version was deleted.
    Deleted(String),
    /// The document has no such field.
    NoField(String, String),
    /// It is composed of something that has no value.
    NoPart(String),
}

/// Reads every document that the manifest names for an environment, each one once. A document that is not there is
/// `None`; any other failure ends it all.
pub async fn fetch(client: &Client, manifest: &Manifest, environment: &str) -> Result<Documents, Error> {
    let places: BTreeSet<(String, String)> = manifest
        .entries()
        .iter()
        .filter_map(|entry| manifest.address(entry, environment))
        .map(|address| (address.mount, address.path))
        .collect();
    let read = |(mount, path): (String, String)| async move {
        let entry = client.kv2_read(&mount, &path, None).await?;
        Ok::<_, Error>(((mount, path), entry.map(Document)))
    };
    let found: BTreeMap<_, _> =
        stream::iter(places).map(read).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(Documents(found))
}

/// What was read.
pub struct Documents(BTreeMap<(String, String), Option<Document>>);

impl Documents {
    /// What is to be known of those that rotate, by their paths below the environment: those that a rotation has
    /// written, and those of which the manifest says that one will.
    #[must_use]
    pub fn rotating(&self, manifest: &Manifest, environment: &str) -> BTreeMap<String, Reading> {
        let entries = manifest.entries().iter().filter(|entry| entry.dynamic.is_none());
        let paths: BTreeSet<&str> = entries.filter_map(|entry| entry.path.as_deref()).collect();
        paths.into_iter().filter_map(|path| self.reading(manifest, environment, path)).collect()
    }

    fn reading(&self, manifest: &Manifest, environment: &str, path: &str) -> Option<(String, Reading)> {
        let entries = || manifest.entries().iter().filter(|entry| entry.path.as_deref() == Some(path));
        let place = (manifest.mount().to_owned(), format!("{environment}/{path}"));
        let text = self.0.get(&place)?.as_ref()?.0.document()?;
        let ring = entries().any(|entry| entry.field == RING);
        // EXPOSE: only numbers and states are taken.
        let reading = Reading::of(text.expose().as_bytes(), ring).ok()?;
        let rotates = reading.epoch > 0 || entries().any(|entry| entry.rotation.is_some());
        rotates.then(|| (path.to_owned(), reading))
    }
}

/// The newest version of one.
struct Document(Kv2Entry);

/// What the resolution needs to know about a document.
trait Fields {
    fn is_gone(&self) -> bool;
    fn field(&self, name: &str) -> Option<SecretText>;
}

impl Fields for Document {
    fn is_gone(&self) -> bool {
        self.0.is_gone()
    }

    fn field(&self, name: &str) -> Option<SecretText> {
        self.0.field(name)
    }
}

/// What stands outside the server.
pub struct Outside<'a> {
    /// What `.env` says; must give nothing outside development. It is asked only for entries with `local = "env"` whose
    /// document is not there at all.
    pub local: &'a Lookup<'a>,
    /// The values of `[config]` names, for templates that name them.
    pub settings: &'a Lookup<'a>,
}

/// Gives the value of a name.
pub type Lookup<'a> = dyn Fn(&str) -> Option<SecretText> + 'a;

/// Makes all values.
pub fn assemble(
    manifest: &Manifest,
    environment: &str,
    documents: &Documents,
    outside: &Outside<'_>,
) -> Result<Vec<Resolved>, Incomplete> {
    let find = |address: &Address| {
        let place = (address.mount.clone(), address.path.clone());
        documents.0.get(&place).and_then(Option::as_ref).map(|document| document as &dyn Fields)
    };
    assemble_from(manifest, environment, &find, outside)
}

type Find<'a> = dyn Fn(&Address) -> Option<&'a dyn Fields> + 'a;

fn assemble_from<'a>(
    manifest: &Manifest,
    environment: &str,
    find: &Find<'a>,
    outside: &Outside<'_>,
) -> Result<Vec<Resolved>, Incomplete> {
    let mut made: BTreeMap<&str, Resolved> = BTreeMap::new();
    let mut problems: BTreeMap<&str, What> = BTreeMap::new();
    let mut composed: Vec<(&Entry, &Template, Option<Address>)> = Vec::new();
    for entry in manifest.entries() {
        let address = match manifest.source(entry, environment) {
            Some(Source::Document(address)) => address,
            // Until an engine makes credentials on demand, the document holds the whole value.
            Some(Source::Dynamic { document, .. }) => document,
            Some(Source::Composed { template, document }) => {
                composed.push((entry, template, document));
                continue;
            }
            None => continue,
        };
        match from_document(entry, &address, find, outside.local) {
            Ok(resolved) => drop(made.insert(&entry.name, resolved)),
            Err(what) => drop(problems.insert(&entry.name, what)),
        }
    }
    compose(&composed, manifest, find, outside.settings, &mut made, &mut problems);
    if problems.is_empty() {
        return Ok(manifest.entries().iter().filter_map(|entry| made.remove(entry.name.as_str())).collect());
    }
    let in_order = manifest.entries().iter().filter_map(|entry| {
        let what = problems.remove(entry.name.as_str())?;
        Some(Problem { name: entry.name.clone(), what })
    });
    Err(Incomplete { problems: in_order.collect() })
}

fn from_document<'a>(
    entry: &Entry,
    address: &Address,
    find: &Find<'a>,
    local: &Lookup<'_>,
) -> Result<Resolved, What> {
    let shown = format!("{}/{}", address.mount, address.path);
    let name = entry.name.clone();
    match find(address) {
        Some(document) if document.is_gone() => Err(What::Deleted(shown)),
        Some(document) => match document.field(&address.field) {
            Some(value) => Ok(Resolved { name, value, origin: Origin::Server }),
            None => Err(What::NoField(address.field.clone(), shown)),
        },
        None => match local(&entry.name).filter(|_| entry.local == Some(Local::Env)) {
            Some(value) => Ok(Resolved { name, value, origin: Origin::Dotenv }),
            None => Err(What::NoDocument(shown)),
        },
    }
}

/// Composes in rounds, so that one composed variable may stand in another. What no round can make is a problem; a
/// circle, which the manifest's own check refuses, would end here too.
fn compose<'m, 'a>(
    composed: &[(&'m Entry, &'m Template, Option<Address>)],
    manifest: &Manifest,
    find: &Find<'a>,
    settings: &Lookup<'_>,
    made: &mut BTreeMap<&'m str, Resolved>,
    problems: &mut BTreeMap<&'m str, What>,
) {
    loop {
        let mut progress = false;
        for (entry, template, document) in composed {
            if made.contains_key(entry.name.as_str()) || problems.contains_key(entry.name.as_str()) {
                continue;
            }
            let rendered = template.render(|name| match manifest.entry(name) {
                Some(_) => made.get(name).map(|resolved| resolved.value.duplicate()),
                None if manifest.config().iter().any(|config| config == name) => settings(name),
                None => document.as_ref().and_then(find).and_then(|document| document.field(name)),
            });
            match rendered {
                Ok(value) => {
                    progress = true;
                    let name = entry.name.clone();
                    made.insert(&entry.name, Resolved { name, value, origin: Origin::Composed });
                }
                Err(part) if manifest.entry(part).is_none() || problems.contains_key(part) => {
                    progress = true;
                    problems.insert(&entry.name, What::NoPart(part.to_owned()));
                }
                // The part may come in a later round.
                Err(_) => {}
            }
        }
        if !progress {
            break;
        }
    }
    for (entry, template, _) in composed {
        if !made.contains_key(entry.name.as_str()) && !problems.contains_key(entry.name.as_str()) {
            problems.insert(&entry.name, What::NoPart(template.text().to_owned()));
        }
    }
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Documents({})", self.0.len())
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.what {
            What::NoDocument(place) => write!(f, "{name}: nothing is at {place}"),
            What::Deleted(place) => write!(f, "{name}: the newest version of {place} was deleted"),
            What::NoField(field, place) => write!(f, "{name}: {place} has no field `{field}`"),
            What::NoPart(part) => write!(f, "{name}: it is composed of `{part}`, which has no value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        app = "atmr"
        environments = ["dev", "prod"]
        [secret.KEY]
        path = "flask/key"
        [secret.REDIS_URL]
        path = "redis/creds"
        kind = "redis"
        local = "env"
        [secret.BROKER]
        template = "{REDIS_URL}/1"
        [secret.BROKER_COPY]
        template = "{BROKER}?copy"
        [secret.DB]
        path = "db/app"
        template = "pg://{username}:{password|pct}@h/{KEY}"
        [secret.PLACE]
        template = "{KEY}@{HOST}"
        [config]
        names = ["HOST"]
    "#;

    struct Fake(Option<&'static [(&'static str, &'static str)]>);

    impl Fields for Fake {
        fn is_gone(&self) -> bool {
            self.0.is_none()
        }

        fn field(&self, name: &str) -> Option<SecretText> {
            self.0?.iter().find(|(known, _)| *known == name).map(|(_, value)| SecretText::from(*value))
        }
    }

    fn run(
        documents: &[(&str, Fake)],
        dotenv: &[(&str, &str)],
    ) -> Result<Vec<(String, String, Origin)>, Vec<Problem>> {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let find = |address: &Address| {
            assert_eq!(address.mount, "atmr");
            let found = documents.iter().find(|(path, _)| *path == address.path);
            found.map(|(_, fake)| fake as &dyn Fields)
        };
        let local = |name: &str| {
            dotenv.iter().find(|(known, _)| *known == name).map(|(_, value)| SecretText::from(*value))
        };
        let settings = |name: &str| (name == "HOST").then(|| "db1".into());
        assemble_from(&manifest, "prod", &find, &Outside { local: &local, settings: &settings })
            .map(|all| all.into_iter().map(|r| (r.name, r.value.expose().clone(), r.origin)).collect())
            .map_err(|incomplete| incomplete.problems)
    }

    fn whole() -> Vec<(&'static str, Fake)> {
        vec![
            ("prod/flask/key", Fake(Some(&[("value", "k")]))),
            ("prod/redis/creds", Fake(Some(&[("value", "redis://r")]))),
            ("prod/db/app", Fake(Some(&[("username", "u"), ("password", "p@")]))),
        ]
    }

    #[test]
    fn everything_is_made_in_manifest_order() {
        let made = run(&whole(), &[("REDIS_URL", "not asked")]).unwrap();
        let values: Vec<_> = made.iter().map(|(name, value, _)| format!("{name}={value}")).collect();
        assert_eq!(
            values,
            [
                "KEY=k",
                "REDIS_URL=redis://r",
                "BROKER=redis://r/1",
                "BROKER_COPY=redis://r/1?copy",
                "DB=pg://u:p%40@h/k",
                "PLACE=k@db1"
            ]
        );
        assert_eq!(made[1].2, Origin::Server);
        assert_eq!(made[2].2, Origin::Composed);
    }

    #[test]
    fn only_absence_and_only_where_allowed_falls_to_dotenv() {
        let mut documents = whole();
        documents.remove(1);
        let made = run(&documents, &[("REDIS_URL", "redis://local"), ("KEY", "x")]).unwrap();
        assert_eq!((made[1].1.as_str(), made[1].2), ("redis://local", Origin::Dotenv));
        documents.insert(1, ("prod/redis/creds", Fake(None)));
        let problems = run(&documents, &[("REDIS_URL", "redis://local")]).unwrap_err();
        assert_eq!(
            problems[0].what,
            What::Deleted("atmr/prod/redis/creds".to_owned()),
            "deleted is not absent"
        );
        documents.remove(0);
        let problems = run(&documents, &[("KEY", "x"), ("REDIS_URL", "redis://local")]).unwrap_err();
        assert_eq!(
            problems[0].what,
            What::NoDocument("atmr/prod/flask/key".to_owned()),
            "no local = \"env\""
        );
    }

    #[test]
    fn all_problems_are_told_at_once_and_without_values() {
        let problems = run(&[("prod/db/app", Fake(Some(&[("username", "hunter2")])))], &[]).unwrap_err();
        let names: Vec<_> = problems.iter().map(|problem| problem.name.as_str()).collect();
        assert_eq!(names, ["KEY", "REDIS_URL", "BROKER", "BROKER_COPY", "DB", "PLACE"]);
        assert!(!Incomplete { problems }.to_string().contains("hunter2"));
    }
}
