//! Names of new users.

use coffre_ambient::{Entropy, Wall};
use coffre_api::Refusal;
use coffre_database::names::{Seed, Template};

use super::connections::told;
use super::details;
use super::model::Connection;

/// What a name is made from, besides randomness.
#[derive(Clone, Copy)]
pub(super) struct Naming<'a> {
    /// Of the caller's token.
    pub(super) display_name: &'a str,
    /// The role's name.
    pub(super) role: &'a str,
    /// For templates with a time.
    pub(super) now: Wall,
}

/// Refuses a template that makes no names. Empty is the plugin's own.
pub(super) fn check(template: &str) -> Result<(), Refusal> {
    if template.is_empty() {
        return Ok(());
    }
    Template::parse(template).map(drop).map_err(|error| told(&error))
}

/// A new name.
pub(super) fn draw(
    connection: &Connection,
    naming: Naming<'_>,
    entropy: &dyn Entropy,
) -> Result<String, Refusal> {
    let plugin = details::plugin(&connection.plugin_name)?;
    let template = match connection.username_template.as_str() {
        "" => Template::default_of(plugin),
        text => Template::parse(text).map_err(|error| told(&error))?,
    };
    let Naming { display_name, role: role_name, now } = naming;
    template.name(plugin, &Seed { display_name, role_name, now, entropy }).map_err(|error| told(&error))
}
