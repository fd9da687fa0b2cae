//! What each variable is: recall first. A value is a secret until its form proves that it is a setting, because a
//! setting in the vault costs nothing and a secret left behind costs everything.

mod compose;
mod names;
mod shapes;

use std::collections::BTreeSet;

use coffre_manifest::{Manifest, Template};
use coffre_secret::SecretText;
use serde::{Deserialize, Serialize};

use crate::oddity::OddityKind;
use crate::source::{Sources, Variable};

const UNFILLED: &str = "its value has yet to be filled in";

/// What a variable is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Belongs in the vault.
    Secret,
    /// Follows from other variables; its template belongs in the manifest.
    Composed,
    /// Stays in the environment.
    Config,
    /// A secret whose value has yet to be filled in; goes to the vault as it is, so that nothing changes.
    Placeholder,
    /// Must be decided by a person first.
    Ambiguous,
}

/// A variable with its class and why; no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The variable.
    pub name: String,
    /// The file it comes from.
    pub file: String,
    /// The line (from 1).
    pub line: usize,
    /// What it is.
    pub class: Class,
    /// Why, in words.
    pub reason: String,
    /// How it is composed, if it is.
    pub template: Option<Template>,
}

/// Classifies all variables that have a value. The manifest's word, where there is one, is final.
#[must_use]
pub fn classify(sources: &Sources, manifest: Option<&Manifest>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = sources
        .variables
        .iter()
        .filter_map(|variable| {
            let (class, reason) = alone(variable, variable.value.as_ref()?, sources, manifest);
            Some(finding(variable, class, reason))
        })
        .collect();
    let stored = |class| matches!(class, Class::Secret | Class::Placeholder);
    let mut secrets: BTreeSet<String> =
        findings.iter().filter(|found| stored(found.class)).map(|found| found.name.clone()).collect();
    let needles = compose::needles(sources, &secrets);
    let mut composed = BTreeSet::new();
    for found in &mut findings {
        let decided = manifest.is_some_and(|manifest| named(manifest, &found.name));
        if decided || found.class == Class::Ambiguous {
            continue;
        }
        let Some(variable) = sources.variable(&found.name) else { continue };
        if let Some((template, reason)) = compose::infer(variable, sources, &secrets, &needles) {
            secrets.remove(&found.name);
            composed.insert(found.name.clone());
            (found.class, found.reason, found.template) = (Class::Composed, reason, Some(template));
        } else if found.class == Class::Config
            && let Some(reason) = compose::holds(variable, &[&secrets, &composed], &needles)
        {
            // No template can say it, so it is a secret as a whole.
            secrets.insert(found.name.clone());
            (found.class, found.reason) = (Class::Secret, reason);
        }
    }
    findings
}

fn finding(variable: &Variable, class: Class, reason: String) -> Finding {
    Finding {
        name: variable.name.clone(),
        file: variable.file.clone(),
        line: variable.line,
        class,
        reason,
        template: None,
    }
}

fn named(manifest: &Manifest, name: &str) -> bool {
    manifest.entry(name).is_some() || manifest.config().iter().any(|config| config == name)
}

/// The class of a variable by itself; first match wins.
fn alone(
    variable: &Variable,
    value: &SecretText,
    sources: &Sources,
    manifest: Option<&Manifest>,
) -> (Class, String) {
    let name = variable.name.as_str();
    let doubt = sources
        .oddities
        .iter()
        .find(|odd| odd.kind.doubts_the_value() && !odd.decided && odd.name.as_deref() == Some(name));
    let asked =
        |name: &str| manifest.is_some_and(|manifest| manifest.config().iter().any(|config| config == name));
    // What stays in the environment is read there as ever.
    let stays = |odd: &crate::oddity::Oddity| {
        asked(name)
            || matches!(odd.kind, OddityKind::Elsewhere | OddityKind::Dialect) && {
                let known = manifest.is_some_and(|manifest| manifest.entry(name).is_some());
                // EXPOSE: looked at, not kept.
                !known && by_form(name, value.expose()).0 == Class::Config
            }
    };
    if let Some(odd) = doubt.filter(|odd| !stays(odd)) {
        let who = match odd.kind {
            OddityKind::Ambiguous => "releases of python-dotenv read it differently",
            _ => "it is not certain which value the application sees",
        };
        return (Class::Ambiguous, who.to_owned());
    }
    if let Some(manifest) = manifest {
        if let Some(entry) = manifest.entry(name) {
            let composed = entry.template.is_some() && entry.dynamic.is_none();
            // EXPOSE: looked at, not kept.
            if !composed && shapes::is_placeholder(value.expose()) {
                return (Class::Placeholder, UNFILLED.to_owned());
            }
            return (
                if composed { Class::Composed } else { Class::Secret },
                "the manifest says so".to_owned(),
            );
        }
        if manifest.config().iter().any(|config| config == name) {
            return (Class::Config, "the manifest says so".to_owned());
        }
    }
    // EXPOSE: looked at, not kept.
    by_form(name, value.expose())
}

fn by_form(name: &str, value: &str) -> (Class, String) {
    let by_name = names::names_a_secret(name);
    let boolean = shapes::is_boolean(&value.trim().to_ascii_lowercase());
    let setting = shapes::setting_format(value);
    if shapes::is_placeholder(value) {
        return (Class::Placeholder, UNFILLED.to_owned());
    }
    if let Some(format) = shapes::credential_format(value) {
        return (Class::Secret, format!("its value is {format}"));
    }
    if let Some(part) = by_name.filter(|part| !boolean || matches!(*part, "pass" | "pwd" | "secret")) {
        return (Class::Secret, format!("its name speaks of `{part}`"));
    }
    if value.trim().is_empty() {
        return (Class::Config, "it is empty".to_owned());
    }
    if let Some(format) = setting {
        return (Class::Config, format!("its value is {format}"));
    }
    if names::names_a_setting(name) && shapes::is_plain_word(value) {
        return (Class::Config, "its name is a setting's, and its value a plain word".to_owned());
    }
    if value.chars().count() >= 16 && shapes::entropy(value) >= 3.0 {
        return (Class::Secret, "its value is long and looks drawn at random".to_owned());
    }
    (Class::Secret, "nothing proves that it is a setting".to_owned())
}
