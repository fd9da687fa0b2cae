//! Every dependency has a licence that `deny.toml` allows.
//!
//! The same list serves `cargo deny`; this check needs nothing but cargo, so that it also runs where that tool is not
//! installed. Expressions are SPDX (2.3, annex D), with `/` read as `OR` as old manifests meant it.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};

use crate::workspace::{self, Package};

/// Every package without an allowed licence, or from another place than crates.io.
pub(crate) fn findings() -> Result<Vec<String>> {
    let path = workspace::root().join("deny.toml");
    let text = fs::read_to_string(&path).context("reading deny.toml")?;
    let allowed = allow_list(&text).context("deny.toml")?;
    Ok(workspace::packages()?.iter().filter_map(|package| refused(package, &allowed)).collect())
}

fn allow_list(text: &str) -> Result<BTreeSet<String>> {
    let table: toml::Table = text.parse().context("not TOML")?;
    let list = table
        .get("licenses")
        .and_then(|licences| licences.get("allow")?.as_array())
        .context("no list [licenses] allow")?;
    Ok(list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
}

fn refused(package: &Package, allowed: &BTreeSet<String>) -> Option<String> {
    let Package { name, version, licence, source } = package;
    let Some(expression) = licence else {
        return Some(format!("{name} {version}: states no licence"));
    };
    match Parser::new(expression).holds(allowed) {
        Ok(true) => None,
        Ok(false) => {
            Some(format!("{name} {version}: licence `{expression}` is not on the list in deny.toml"))
        }
        Err(error) => Some(format!("{name} {version}: licence `{expression}`: {error:#}")),
    }
    .or_else(|| {
        let foreign = source.as_ref().filter(|source| !source.contains("crates.io-index"))?;
        Some(format!("{name} {version}: comes from {foreign}"))
    })
}

/// Evaluates while it reads: a licence is true if it is allowed.
struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<String>>,
}

impl Parser {
    fn new(expression: &str) -> Self {
        let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let tokens: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
        Self { tokens: tokens.into_iter().peekable() }
    }

    fn holds(mut self, allowed: &BTreeSet<String>) -> Result<bool> {
        let value = self.any(allowed)?;
        match self.tokens.next() {
            None => Ok(value),
            Some(rest) => anyhow::bail!("cannot read it from `{rest}` on"),
        }
    }

    /// `a OR b`; `AND` binds tighter.
    fn any(&mut self, allowed: &BTreeSet<String>) -> Result<bool> {
        let mut value = self.all(allowed)?;
        while self.tokens.next_if(|token| token == "OR").is_some() {
            value |= self.all(allowed)?;
        }
        Ok(value)
    }

    fn all(&mut self, allowed: &BTreeSet<String>) -> Result<bool> {
        let mut value = self.one(allowed)?;
        while self.tokens.next_if(|token| token == "AND").is_some() {
            value &= self.one(allowed)?;
        }
        Ok(value)
    }

    fn one(&mut self, allowed: &BTreeSet<String>) -> Result<bool> {
        let token = self.tokens.next().context("it ends too early")?;
        if token == "(" {
            let value = self.any(allowed)?;
            self.tokens.next_if(|token| token == ")").context("a parenthesis is not closed")?;
            return Ok(value);
        }
        let mut licence = token;
        if self.tokens.next_if(|token| token == "WITH").is_some() {
            let exception = self.tokens.next().context("it ends after WITH")?;
            licence = format!("{licence} WITH {exception}");
        }
        Ok(allowed.contains(&licence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(expression: &str) -> Result<bool> {
        let allowed = ["MIT", "Apache-2.0", "ISC"].map(str::to_owned).into();
        Parser::new(expression).holds(&allowed)
    }

    #[test]
    fn one_allowed_alternative_is_enough_and_every_conjunct_is_needed() {
        for good in
            ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR MIT", "MIT AND (ISC OR GPL-3.0)", "(MIT OR GPL-3.0) AND ISC"]
        {
            assert!(holds(good).unwrap(), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR MIT AND BSD-3-Clause", "Apache-2.0 WITH X"] {
            assert!(!holds(bad).unwrap(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_an_expression_is_said() {
        for broken in ["", "MIT OR", "(MIT", "MIT ISC", "MIT WITH"] {
            assert!(holds(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn n9_what_is_downloaded_is_pinned_by_its_hash() {
        for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
            let packages = locked(lock);
            assert!(packages.len() > 100, "{lock}");
            for package in packages.iter().filter(|package| package.contains_key("source")) {
                let hash = package.get("checksum").and_then(toml::Value::as_str).unwrap_or_default();
                assert_eq!(hash.len(), 64, "{lock}: {package}");
            }
        }
    }

    #[test]
    fn n10_no_format_that_starts_plugins_is_linked() {
        for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
            for package in locked(lock) {
                let name = package["name"].as_str().unwrap();
                let parts: Vec<&str> = name.split(['-', '_']).collect();
                assert!(!parts.iter().any(|part| ["age", "rage", "gpgme"].contains(part)), "{lock}: {name}");
            }
        }
    }

    fn locked(file: &str) -> Vec<toml::Table> {
        let text = fs::read_to_string(workspace::root().join(file)).unwrap();
        let lock: toml::Table = text.parse().unwrap();
        let packages = lock["package"].as_array().unwrap();
        packages.iter().map(|package| package.as_table().unwrap().clone()).collect()
    }

    #[test]
    fn n9_a_missing_licence_and_a_foreign_source_are_refused() {
        let allowed = BTreeSet::from(["MIT".to_owned()]);
        let package = |licence: Option<&str>, source: Option<&str>| Package {
            name: "x".to_owned(),
            version: "1".to_owned(),
            licence: licence.map(str::to_owned),
            source: source.map(str::to_owned),
        };
        assert!(refused(&package(None, None), &allowed).is_some());
        assert!(refused(&package(Some("MIT"), Some("git+https://example.org")), &allowed).is_some());
        assert!(refused(&package(Some("MIT"), None), &allowed).is_none());
    }
}
