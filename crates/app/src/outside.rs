//! Secrets that no server gives: `.env`, and the process environment.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coffre_dotenv::{Document, Interpolation, Precedence, Values};
use coffre_manifest::Manifest;
use coffre_secret::SecretText;
use coffre_source::environment::Environment;
use coffre_source::place;
use coffre_source::start::Plan;

use crate::core::{Core, Facts};
use crate::engine::Engines;
use crate::error::ErrorKind;
use crate::published::{Fixed, Missing, Place, Published, Slot, Times};
use crate::recipe::Recipes;
use crate::settings::Settings;
use crate::source::Source;

/// How often somebody is reminded that the vault is not in use.
const REMINDER: Duration = Duration::from_secs(300);

/// Reads `.env`, and notes on which line each name stands (the last one counts).
pub(crate) fn read(
    given: Option<&Path>,
    directory: &Path,
    lines: &RefCell<HashMap<String, usize>>,
) -> Result<Option<Document>, String> {
    let document = place::dotenv(given, directory)?;
    let mut lines = lines.borrow_mut();
    for (line, binding) in document.iter().flat_map(Document::bindings) {
        lines.insert(binding.key.clone(), line);
    }
    drop(lines);
    Ok(document)
}

/// What `dotenv_values` would give; for variables that may stay in a developer's file.
pub(crate) fn values(plan: &Plan<'_>) -> Result<Option<Values>, String> {
    let env = |name: &str| (plan.lookup)(name).map(SecretText::new);
    let document = (plan.dotenv)()?;
    Ok(document.map(|document| document.values(&env, Precedence::FileFirst, Interpolation::On)))
}

/// The instance that `coffre run` feeds through the process environment.
pub(crate) fn launched(settings: &Settings, manifest: Option<Manifest>, launched_from: String) -> Arc<Core> {
    let lookup = &*settings.lookup;
    let environment = manifest.as_ref().and_then(|manifest| {
        Environment::of(lookup, manifest.environments(), None, &[]).ok().map(|environment| environment.name)
    });
    tracing::info!(source = %Source::Environment, launched_from, "the secrets are in the environment");
    let origin = (Source::Environment, Some(launched_from), environment.unwrap_or_default());
    fixed(settings, manifest, origin, [], None)
}

/// An instance whose values do not change. What `values` does not have comes from the process environment, or is
/// composed.
pub(crate) fn fixed(
    settings: &Settings,
    manifest: Option<Manifest>,
    (source, launched_from, environment): (Source, Option<String>, String),
    values: impl IntoIterator<Item = (String, SecretText, Place)>,
    env_file: Option<PathBuf>,
) -> Arc<Core> {
    let mut found: HashMap<String, (SecretText, Place)> =
        values.into_iter().map(|(name, value, place)| (name, (value, place))).collect();
    let entries = manifest.iter().flat_map(Manifest::entries);
    for entry in entries.clone() {
        if !found.contains_key(&entry.name)
            && let Some(value) = (settings.lookup)(&entry.name)
        {
            found.insert(entry.name.clone(), (SecretText::new(value), Place::Environment));
        }
    }
    compose(settings, manifest.as_ref(), &mut found);
    let slots = entries.map(|entry| {
        let slot = match found.remove(&entry.name) {
            Some((value, place)) => Slot::fixed(value, place),
            None => Slot {
                made: Err(Missing::Unset(Arc::from(entry.name.as_str()))),
                times: Times::ENDLESS,
                parts: vec![],
                place: Place::Environment,
            },
        };
        (Arc::from(entry.name.as_str()), Arc::new(slot))
    });
    let published = Published { slots: slots.collect(), ..Published::default() };
    let fallback = is_fallback(source, launched_from.as_deref());
    let loose = manifest.is_none().then(|| Arc::clone(&settings.lookup));
    let facts = Facts {
        source,
        launched_from,
        environment,
        manifest,
        recipes: Recipes::default(),
        fixed: Fixed::default(),
        budget: Duration::ZERO,
        env_file,
        loose,
    };
    let core = Core::new(facts, settings, published, Engines::default());
    if fallback {
        remind(&core);
    }
    core
}

/// Whether secrets come from `.env` although there is a vault.
pub(crate) fn is_fallback(source: Source, launched_from: Option<&str>) -> bool {
    let name = launched_from.unwrap_or(source.name());
    name == Source::DotenvRolledBack.name() || name == Source::DotenvUnavailable.name()
}

fn compose(
    settings: &Settings,
    manifest: Option<&Manifest>,
    found: &mut HashMap<String, (SecretText, Place)>,
) {
    // Each round makes what the round before made possible; the manifest's check refuses circles.
    let entries = || manifest.into_iter().flat_map(Manifest::entries);
    for _ in entries() {
        let mut progress = false;
        for entry in entries().filter(|entry| entry.dynamic.is_none()) {
            let Some(template) = entry.template.as_ref().filter(|_| !found.contains_key(&entry.name)) else {
                continue;
            };
            let part = |name: &str| {
                let known = found.get(name).map(|(value, _)| value.duplicate());
                known.or_else(|| (settings.lookup)(name).map(SecretText::new))
            };
            if let Ok(value) = template.render(part) {
                found.insert(entry.name.clone(), (value, Place::Composed));
                progress = true;
            }
        }
        if !progress {
            break;
        }
    }
}

/// Says so at start and every five minutes, for as long as the instance lives.
fn remind(core: &Arc<Core>) {
    let subscription = core.bells.subscribe();
    let name = core.facts.launched_from.clone().unwrap_or_else(|| core.facts.source.name().to_owned());
    let warn = move || {
        tracing::warn!(
            "secrets come from {name}, not from the vault: not rotated, not audited. Remove USE_VAULT=false, or bring the server back, and start again"
        );
    };
    warn();
    let run = move || {
        while subscription.wait(REMINDER).map_err(|error| error.kind()) != Err(ErrorKind::Closed) {
            warn();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("coffre-reminder".to_owned()).spawn(run) {
        tracing::warn!("nobody will be reminded of it: {error}");
    }
}
