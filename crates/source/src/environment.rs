//! Which environment this is: `COFFRE_ENV`, else `FLASK_ENV` or `APP_ENV`; unstated means production. A production
//! marker vetoes development.

use std::fmt;

/// The variables that state an environment, the strongest first.
pub const STATED_BY: [&str; 3] = ["COFFRE_ENV", "FLASK_ENV", "APP_ENV"];

/// Variables by which other tools state an environment; they can veto development, but not declare it.
const OTHERS: [&str; 4] = ["ENVIRONMENT", "ENV_NAME", "DJANGO_ENV", "NODE_ENV"];

/// What is known about the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The manifest's name for it, which is part of every path: `dev`, `staging`, `prod`.
    pub name: String,
    /// Which variable said so; `None` if none did.
    pub stated_by: Option<&'static str>,
    /// Why this cannot be development although it is called so.
    pub markers: Vec<Marker>,
}

/// A sign that this is production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A variable has a value such as `prod` or `staging`.
    Stated(&'static str),
    /// `KUBERNETES_SERVICE_HOST` is set.
    Kubernetes,
    /// `INVOCATION_ID` is set: started by systemd as a unit.
    SystemdUnit,
    /// The server is one of the hosts that are pinned as production.
    PinnedServer(String),
    /// This machine is pinned as production.
    PinnedMachine,
}

/// The environment cannot be told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// A name that the manifest does not have.
    #[error(
        "{variable} says `{value}`, which is no environment of the manifest ({known}); correct it, or add it to `environments`"
    )]
    Name {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The manifest's environments.
        known: String,
    },
    /// Nothing is stated, and the manifest has no production environment.
    #[error(
        "no environment is stated, which means production, but the manifest has none ({known}); set COFFRE_ENV"
    )]
    NoProduction {
        /// The manifest's environments.
        known: String,
    },
}

impl Environment {
    /// Reads the variables through `lookup`. `known` are the manifest's environments, `host` is the server's host
    /// name, `pins` are host names pinned as production (`*` pins this machine).
    pub fn of(
        lookup: &dyn Fn(&str) -> Option<String>,
        known: &[String],
        host: Option<&str>,
        pins: &[String],
    ) -> Result<Self, Unknown> {
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let stated = STATED_BY.iter().find_map(|name| value(name).map(|value| (*name, value)));
        let listed = || known.join(", ");
        let name = match &stated {
            Some((variable, value)) => named(value, known).ok_or_else(|| Unknown::Name {
                variable,
                value: value.clone(),
                known: listed(),
            })?,
            None => named("production", known).ok_or_else(|| Unknown::NoProduction { known: listed() })?,
        };
        let mut markers: Vec<Marker> = STATED_BY
            .iter()
            .chain(&OTHERS)
            .filter(|name| value(name).is_some_and(|value| sounds_like_production(&value)))
            .map(|name| Marker::Stated(name))
            .collect();
        if value("KUBERNETES_SERVICE_HOST").is_some() {
            markers.push(Marker::Kubernetes);
        }
        if value("INVOCATION_ID").is_some() {
            markers.push(Marker::SystemdUnit);
        }
        if pins.iter().any(|pin| pin == "*") {
            markers.push(Marker::PinnedMachine);
        }
        if let Some(host) = host.filter(|host| pins.iter().any(|pin| pin.eq_ignore_ascii_case(host))) {
            markers.push(Marker::PinnedServer(host.to_owned()));
        }
        Ok(Self { name, stated_by: stated.map(|(variable, _)| variable), markers })
    }

    /// Whether this is development, and nothing speaks against it.
    #[must_use]
    pub fn is_dev(&self) -> bool {
        is_dev_name(&self.name) && self.markers.is_empty()
    }

    /// Why an environment called development is not treated as such; `None` if it is, or is not called so.
    #[must_use]
    pub fn veto(&self) -> Option<&Marker> {
        if is_dev_name(&self.name) { self.markers.first() } else { None }
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stated(variable) => write!(f, "{variable} names another environment"),
            Self::Kubernetes => f.write_str("this runs in Kubernetes (KUBERNETES_SERVICE_HOST is set)"),
            Self::SystemdUnit => f.write_str("this runs as a systemd unit (INVOCATION_ID is set)"),
            Self::PinnedServer(host) => write!(f, "the server {host} is pinned as production"),
            Self::PinnedMachine => f.write_str("this machine is pinned as production"),
        }
    }
}

/// Whether somebody asked to go back to `.env` with `USE_VAULT=false` (or `0`, `no`, `off`). Anything else is no such
/// wish: a typing error must not take production off its vault.
#[must_use]
pub fn rolled_back(lookup: &dyn Fn(&str) -> Option<String>) -> bool {
    lookup("USE_VAULT")
        .is_some_and(|value| matches!(value.trim().to_lowercase().as_str(), "false" | "0" | "no" | "off"))
}

/// Different spellings of the usual names find whichever one the manifest uses.
fn named(stated: &str, known: &[String]) -> Option<String> {
    let stated = stated.to_lowercase();
    let group: &[&str] = match stated.as_str() {
        "dev" | "development" => &["dev", "development"],
        "prod" | "production" => &["prod", "production"],
        "staging" | "stage" => &["staging", "stage"],
        _ => &[],
    };
    let is = |known: &&String| **known == stated || group.contains(&known.as_str());
    known.iter().find(|known| **known == stated).or_else(|| known.iter().find(is)).cloned()
}

fn is_dev_name(name: &str) -> bool {
    matches!(name, "dev" | "development")
}

fn sounds_like_production(value: &str) -> bool {
    let value = value.to_lowercase();
    ["prod", "stag", "live", "preprod"].iter().any(|start| value.starts_with(start))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(pairs: &[(&str, &str)], pins: &[&str]) -> Result<Environment, Unknown> {
        let env: BTreeMap<_, _> = pairs.iter().copied().collect();
        let known = ["dev", "staging", "prod"].map(str::to_owned);
        let pins: Vec<_> = pins.iter().map(|pin| (*pin).to_owned()).collect();
        Environment::of(&|name| env.get(name).map(|v| (*v).to_owned()), &known, Some("vault.corp"), &pins)
    }

    #[test]
    fn unstated_means_production() {
        let environment = of(&[("COFFRE_ENV", "")], &[]).unwrap();
        assert_eq!((environment.name.as_str(), environment.is_dev()), ("prod", false));
    }

    #[test]
    fn the_strongest_statement_counts_and_spellings_meet() {
        let environment = of(&[("APP_ENV", "dev"), ("FLASK_ENV", "Development")], &[]).unwrap();
        assert_eq!((environment.name.as_str(), environment.stated_by), ("dev", Some("FLASK_ENV")));
        assert!(environment.is_dev());
        assert!(matches!(of(&[("COFFRE_ENV", "tset")], &[]), Err(Unknown::Name { .. })));
    }

    #[test]
    fn every_marker_vetoes() {
        let dev = ("COFFRE_ENV", "dev");
        for marker in [
            ("FLASK_ENV", "production"),
            ("APP_ENV", "prod-eu"),
            ("NODE_ENV", "staging"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("INVOCATION_ID", "0"),
        ] {
            let environment = of(&[dev, marker], &[]).unwrap();
            assert_eq!(environment.name, "dev", "paths stay those of the stated environment");
            assert!(!environment.is_dev() && environment.veto().is_some(), "{marker:?}");
        }
        assert!(!of(&[dev], &["VAULT.corp"]).unwrap().is_dev());
        assert!(!of(&[dev], &["*"]).unwrap().is_dev());
        assert!(of(&[dev], &["other.corp"]).unwrap().is_dev());
    }
}
