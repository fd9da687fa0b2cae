//! The names of users that are made for a while: Vault's username templates.
//!
//! A template is text with actions in `{{ … }}`, a small part of Go's text/template as Vault's documentation ("Username
//! templating") describes it: the fields `.DisplayName` and `.RoleName`, texts, whole numbers, pipelines, parentheses, and
//! the functions `random`, `truncate`, `truncate_sha256`, `lowercase`, `uppercase`, `replace`, `timestamp`, `unix_time`,
//! `unix_time_millis`, `uuid`, `sha256`, `base64`, `printf`.
//!
//! The default of PostgreSQL, for a token `ops` and a role `reader`, gives
//! `v-ops-reader-5Wd0pYlZx8mUo2aQ1kTr-1790000000`.
//!
//! A name that comes out may hold any character but control characters: whoever writes it into a statement quotes it.

mod functions;
mod layout;
mod parse;

use coffre_ambient::{Entropy, Wall};

use crate::{Error, ErrorKind, Plugin};
use parse::{Part, Term};

/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 4096;
/// The longest text at any step, in bytes.
const MAX_TEXT: usize = 4096;

/// A username template that has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Part>);

/// What a name is made from. Time and randomness are the caller's.
#[derive(Clone, Copy)]
pub struct Seed<'a> {
    /// The display name of the token that asks.
    pub display_name: &'a str,
    /// The role.
    pub role_name: &'a str,
    /// Now, for `unix_time`, `unix_time_millis` and `timestamp`.
    pub now: Wall,
    /// For `random` and `uuid`.
    pub entropy: &'a dyn Entropy,
}

impl Template {
    /// Reads a template; [`ErrorKind::Invalid`] says what it cannot be.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEMPLATE {
            return Err(invalid(format!("a username template has at most {MAX_TEMPLATE} bytes")));
        }
        let parts = parse::template(text)?;
        if parts.is_empty() {
            return Err(invalid("a username template must not be empty"));
        }
        Ok(Self(parts))
    }

    /// Vault's own for this plugin: `v-<display>-<role>-<random>-<time>`, cut to what the database allows.
    pub fn default_of(plugin: Plugin) -> Self {
        // Each of them is read in a test.
        Self(parse::template(default_text(plugin)).unwrap_or_default())
    }

    /// One name, not longer than the plugin's users may be.
    pub fn name(&self, plugin: Plugin, seed: &Seed<'_>) -> Result<String, Error> {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Action(pipeline) => name.push_str(&functions::value(pipeline, seed)?),
            }
            bounded(&name)?;
        }
        check(plugin, &name)?;
        Ok(name)
    }
}

/// Whether a user may be named so: not empty, no control character (NUL ends a name on the wire), not longer than the
/// database keeps. PostgreSQL cuts longer names silently, and two users would be one.
pub fn check(plugin: Plugin, name: &str) -> Result<(), Error> {
    let longest = longest(plugin);
    if name.is_empty() {
        return Err(invalid("the user name is empty"));
    }
    if name.chars().any(char::is_control) {
        return Err(invalid("the user name holds a control character"));
    }
    if name.len() > longest {
        return Err(invalid(format!(
            "the user name has {} bytes, this database allows {longest}: put `| truncate {longest}` at the end of the username template",
            name.len()
        )));
    }
    Ok(())
}

/// The longest user name in bytes: 63 in PostgreSQL (NAMEDATALEN - 1), 32 in MySQL. Redis has no bound; ours is 128.
pub const fn longest(plugin: Plugin) -> usize {
    match plugin {
        Plugin::Postgresql => 63,
        Plugin::Mysql | Plugin::MysqlLegacy => 32,
        Plugin::Redis | Plugin::Valkey => 128,
    }
}

const fn default_text(plugin: Plugin) -> &'static str {
    match plugin {
        Plugin::Postgresql => {
            r#"{{ printf "v-%s-%s-%s-%s" (.DisplayName | truncate 8) (.RoleName | truncate 8) (random 20) (unix_time) | truncate 63 }}"#
        }
        Plugin::Mysql => {
            r#"{{ printf "v-%s-%s-%s-%s" (.DisplayName | truncate 10) (.RoleName | truncate 10) (random 20) (unix_time) | truncate 32 }}"#
        }
        Plugin::MysqlLegacy => {
            r#"{{ printf "v-%s-%s-%s" (.DisplayName | truncate 4) (.RoleName | truncate 4) (random 20) | truncate 16 }}"#
        }
        Plugin::Redis | Plugin::Valkey => {
            r#"{{ printf "V_%s_%s_%s_%s" (.DisplayName | truncate 16 | uppercase | replace " " "_") (.RoleName | truncate 16 | uppercase) (random 20 | uppercase) (unix_time) }}"#
        }
    }
}

fn bounded(text: &str) -> Result<(), Error> {
    if text.len() > MAX_TEXT {
        return Err(invalid(format!("the username template makes a text of more than {MAX_TEXT} bytes")));
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use coffre_ambient::SeededEntropy;
    use proptest::prelude::*;

    use super::*;

    fn seed<'a>(display_name: &'a str, role_name: &'a str, entropy: &'a SeededEntropy) -> Seed<'a> {
        Seed { display_name, role_name, now: Wall::from_nanos(1_790_000_000_123_456_789), entropy }
    }

    fn named(template: &str) -> Result<String, Error> {
        let entropy = SeededEntropy::new(1);
        Template::parse(template)?.name(Plugin::Redis, &seed("token-ops", "reader", &entropy))
    }

    #[test]
    fn the_default_forms_are_vaults() {
        let entropy = SeededEntropy::new(1);
        let seed = seed("token-operations", "read-everything", &entropy);
        for (plugin, prefix, length) in [
            (Plugin::Postgresql, "v-token-op-read-eve-", 20 + 20 + 11),
            (Plugin::Mysql, "v-token-oper-read-every-", 32),
            (Plugin::MysqlLegacy, "v-toke-read-", 16),
            (Plugin::Redis, "V_TOKEN-OPERATIONS_READ-EVERYTHING_", 34 + 1 + 20 + 11),
        ] {
            let name = Template::default_of(plugin).name(plugin, &seed).unwrap();
            assert!(name.starts_with(prefix), "{name}");
            assert_eq!(name.len(), length, "{name}");
        }
        let again = Template::default_of(Plugin::Postgresql);
        let (a, b) = (again.name(Plugin::Postgresql, &seed), again.name(Plugin::Postgresql, &seed));
        assert_ne!(a, b, "each name is another");
        assert!(a.unwrap().ends_with("-1790000000"));
    }

    #[test]
    fn functions_do_what_vaults_do() {
        for (template, expected) in [
            ("plain", "plain"),
            ("{{.DisplayName}}_{{ .RoleName }}", "token-ops_reader"),
            ("{{.DisplayName | uppercase}}", "TOKEN-OPS"),
            ("{{ lowercase \"ABC\" }}", "abc"),
            ("{{ .RoleName | replace \"e\" \"3\" }}", "r3ad3r"),
            ("{{ .RoleName | truncate 4 }}", "read"),
            ("{{ .RoleName | truncate 400 }}", "reader"),
            ("{{ \"token-ops-x\" | truncate_sha256 9 }}", "t15d2b324"),
            ("{{ unix_time }}", "1790000000"),
            ("{{ unix_time_millis }}", "1790000000123"),
            ("{{ timestamp \"2006-01-02T15:04:05Z\" }}", "2026-09-21T14:13:20Z"),
            ("{{ timestamp `20060102150405` }}", "20260921141320"),
            ("{{ \"a\" | sha256 | truncate 8 }}", "ca978112"),
            ("{{ base64 \"a?b\" }}", "YT9i"),
            ("a {{- \" b\" -}} \n c", "a bc"),
            ("{{ printf \"%s%%%s\" .RoleName (printf \"%d\" 7) }}", "reader%7"),
            ("{{ \"q\\\"\\\\\\u00e9\" }}", "q\"\\é"),
        ] {
            assert_eq!(named(template).as_deref(), Ok(expected), "{template}");
        }
        assert_eq!(named("{{ random 12 }}").unwrap().len(), 12);
        assert_eq!(named("{{ uuid }}").unwrap().len(), 36);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_sentence() {
        for (template, say) in [
            ("", "must not be empty"),
            ("{{", "not closed"),
            ("{{ }}", "empty"),
            ("{{ .Password }}", "`.Password`"),
            ("{{ env \"HOME\" }}", "`env`"),
            ("{{ random }}", "random"),
            ("{{ random 0 }}", "1 to"),
            ("{{ random 999999999999 }}", "1 to"),
            ("{{ truncate 0 .RoleName }}", "1 to"),
            ("{{ truncate_sha256 8 .RoleName }}", "9 to"),
            ("{{ printf \"%s\" }}", "printf"),
            ("{{ printf \"%x\" 1 }}", "printf"),
            ("{{ (((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))) }}", "nested"),
            ("{{ \"open }}", "not closed"),
            ("{{ \"a\\u0000b\" }}", "control character"),
            (
                "{{ .RoleName | replace \"\" \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" | replace \"\" \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" }}",
                "more than",
            ),
        ] {
            let refused = named(template).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid, "{template}");
            assert!(refused.to_string().contains(say), "{template}: {refused}");
        }
    }

    #[test]
    fn i1_a_name_is_never_longer_than_the_database_keeps_it() {
        let entropy = SeededEntropy::new(1);
        let long = "é".repeat(300);
        let name =
            Template::default_of(Plugin::Postgresql).name(Plugin::Postgresql, &seed(&long, &long, &entropy));
        assert!(name.unwrap().len() <= 63);
        let bare = Template::parse("{{.DisplayName}}").unwrap();
        let refused = bare.name(Plugin::Postgresql, &seed(&long, "r", &entropy)).unwrap_err();
        assert!(refused.to_string().contains("truncate 63"), "{refused}");
        let nul =
            Template::default_of(Plugin::Postgresql).name(Plugin::Postgresql, &seed("a\0b", "r", &entropy));
        assert_eq!(nul.unwrap_err().kind(), ErrorKind::Invalid);
    }

    proptest! {
        #[test]
        fn no_template_and_no_name_makes_it_panic(template in ".{0,120}", action in "[.a-z0-9 |()\"`%-]{0,60}", name in ".{0,80}") {
            let entropy = SeededEntropy::new(3);
            for text in [template, format!("{{{{{action}}}}}")] {
                if let Ok(read) = Template::parse(&text)
                    && let Ok(made) = read.name(Plugin::Postgresql, &seed(&name, &name, &entropy))
                {
                    prop_assert!(check(Plugin::Postgresql, &made).is_ok());
                }
            }
        }
    }
}
