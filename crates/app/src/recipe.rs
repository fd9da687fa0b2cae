//! How each variable of the manifest comes about, and of which documents. Pure.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use coffre_manifest::{Entry, Manifest, Priority, Source, Template};

/// What is asked for as one piece.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Key {
    /// A document of KV v2; the path below `<mount>/<environment>/`.
    Document(Arc<str>),
    /// A credential that an engine makes on demand; the whole path.
    Credential(Arc<str>),
}

impl Key {
    /// The path, as applications name it.
    pub(crate) fn path(&self) -> &Arc<str> {
        match self {
            Self::Document(path) | Self::Credential(path) => path,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// One variable.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: Arc<str>,
    pub(crate) recipe: Recipe,
    /// Every document it depends on, through others as well.
    pub(crate) needs: BTreeSet<Key>,
    pub(crate) weight: u8,
}

/// How it comes about.
#[derive(Clone, Debug)]
pub(crate) enum Recipe {
    /// A field of a document.
    Field { key: Key, field: Arc<str> },
    /// A credential made on demand, put into the template or into the address that the document holds.
    Leased { credential: Key, document: Key, field: Arc<str>, template: Option<Template> },
    /// Composed of other variables, of settings, or of fields of a document.
    Composed { template: Template, document: Option<Key> },
    /// Not on the server; a developer's `.env` has it, and may.
    Local,
}

/// All variables of a manifest.
#[derive(Debug, Default)]
pub(crate) struct Recipes {
    variables: Vec<Variable>,
    by_name: HashMap<Arc<str>, usize>,
}

impl Recipes {
    /// `leased` says of an entry whether an engine makes its credentials, `local` whether `.env` has its value.
    pub(crate) fn of(
        manifest: &Manifest,
        leased: &dyn Fn(&Entry) -> bool,
        local: &dyn Fn(&Entry) -> bool,
    ) -> Self {
        let mut all = Self::default();
        for entry in manifest.entries() {
            let recipe =
                if local(entry) { Some(Recipe::Local) } else { recipe(manifest, entry, leased(entry)) };
            let Some(recipe) = recipe else { continue };
            let name: Arc<str> = Arc::from(entry.name.as_str());
            all.by_name.insert(Arc::clone(&name), all.variables.len());
            let weight = weight(entry.priority);
            all.variables.push(Variable { name, recipe, needs: BTreeSet::new(), weight });
        }
        let needs: Vec<_> =
            all.variables.iter().map(|variable| all.needs(variable, &mut BTreeSet::new())).collect();
        for (variable, needs) in all.variables.iter_mut().zip(needs) {
            variable.needs = needs;
        }
        all
    }

    pub(crate) fn variables(&self) -> &[Variable] {
        &self.variables
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Variable> {
        self.variables.get(*self.by_name.get(name)?)
    }

    /// Every document, with the weight of the most critical variable that needs it.
    pub(crate) fn keys(&self) -> Vec<(Key, u8)> {
        let mut weights: HashMap<&Key, u8> = HashMap::new();
        for variable in &self.variables {
            for key in &variable.needs {
                let weight = weights.entry(key).or_default();
                *weight = variable.weight.max(*weight);
            }
        }
        let mut keys: Vec<_> = weights.into_iter().map(|(key, weight)| (key.clone(), weight)).collect();
        keys.sort();
        keys
    }

    fn needs(&self, variable: &Variable, seen: &mut BTreeSet<Arc<str>>) -> BTreeSet<Key> {
        if !seen.insert(Arc::clone(&variable.name)) {
            return BTreeSet::new();
        }
        let (own, template): (Vec<&Key>, Option<&Template>) = match &variable.recipe {
            Recipe::Field { key, .. } => (vec![key], None),
            Recipe::Leased { credential, document, template, .. } => {
                (vec![credential, document], template.as_ref())
            }
            Recipe::Composed { template, document } => (document.iter().collect(), Some(template)),
            Recipe::Local => (vec![], None),
        };
        let mut needs: BTreeSet<Key> = own.into_iter().cloned().collect();
        for part in template.into_iter().flat_map(Template::names).filter_map(|name| self.named(name)) {
            needs.append(&mut self.needs(part, seen));
        }
        needs
    }
}

/// Where an engine makes credentials for an entry: `<path>/<role>`.
pub(crate) fn credential_path(entry: &Entry) -> Option<Arc<str>> {
    let (path, dynamic) = (entry.path.as_ref()?, entry.dynamic.as_ref()?);
    Some(Arc::from(format!("{path}/{}", dynamic.role)))
}

fn recipe(manifest: &Manifest, entry: &Entry, leased: bool) -> Option<Recipe> {
    let document = entry.path.as_ref().map(|path| Key::Document(Arc::from(path.as_str())));
    let field: Arc<str> = Arc::from(entry.field.as_str());
    // The environment does not matter for the shape.
    match manifest.source(entry, "")? {
        Source::Document(_) => Some(Recipe::Field { key: document?, field }),
        Source::Dynamic { template, .. } => match credential_path(entry).filter(|_| leased) {
            None => Some(Recipe::Field { key: document?, field }),
            Some(path) => Some(Recipe::Leased {
                credential: Key::Credential(path),
                document: document?,
                field,
                template: template.cloned(),
            }),
        },
        Source::Composed { template, .. } => {
            let template = template.clone();
            // Only a template that names a field needs the entry's own document.
            let known =
                |name: &str| manifest.entry(name).is_some() || manifest.config().iter().any(|c| c == name);
            let document = document.filter(|_| template.names().any(|name| !known(name)));
            Some(Recipe::Composed { template, document })
        }
    }
}

const fn weight(priority: Priority) -> u8 {
    match priority {
        Priority::Critical => 3,
        Priority::High => 2,
        Priority::Medium => 1,
        Priority::Low => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        app = "atmr"
        environments = ["dev", "prod"]
        [secret.PASSWORD]
        path = "redis/password"
        [secret.REDIS_URL]
        template = "redis://:{PASSWORD|pct}@{HOST}"
        [secret.BROKER]
        template = "{REDIS_URL}/1"
        [secret.DATABASE_URL]
        path = "database/creds"
        kind = "postgresql"
        dynamic = { role = "api", ttl = "7d" }
        [config]
        names = ["HOST"]
    "#;

    #[test]
    fn needs_reach_through_templates() {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let recipes = Recipes::of(&manifest, &|_| true, &|_| false);
        let needs = |name: &str| -> Vec<String> {
            recipes.named(name).unwrap().needs.iter().map(ToString::to_string).collect()
        };
        assert_eq!(needs("BROKER"), ["redis/password"]);
        assert_eq!(needs("DATABASE_URL"), ["database/creds", "database/creds/api"]);
        let recipes = Recipes::of(&manifest, &|_| false, &|entry| entry.name == "PASSWORD");
        assert!(matches!(recipes.named("DATABASE_URL").unwrap().recipe, Recipe::Field { .. }));
        assert_eq!(recipes.keys().len(), 1);
    }
}
