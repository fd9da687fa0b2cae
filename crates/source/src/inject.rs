//! The environment of the program: the parent's, less our own credentials, plus the secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use coffre_manifest::is_variable_name;
use coffre_secret::{Secret, SecretText, SecretVec};

/// The kernel's bound for one string of the environment, `NAME=value` and its closing NUL (MAX_ARG_STRLEN).
pub const LONGEST: usize = 128 * 1024;

/// Names that steer the loader, the shell or an interpreter: a value from outside would run code.
const DANGEROUS: &[&str] = &[
    "PATH",
    "HOME",
    "SHELL",
    "IFS",
    "ENV",
    "BASH_ENV",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "NODE_OPTIONS",
    "PERL5OPT",
    "PERL5LIB",
    "RUBYOPT",
    "RUBYLIB",
    "JAVA_TOOL_OPTIONS",
    "PROMPT_COMMAND",
    "SSLKEYLOGFILE",
    "GCONV_PATH",
];
const DANGEROUS_PREFIXES: &[&str] = &["LD_", "DYLD_", "GIT_SSH", "MALLOC_", "VAULT_", "BAO_", "COFFRE_"];

/// Prefixes of our own variables, which the program does not get: credentials, addresses, settings of this tool.
const OURS: &[&str] = &["VAULT_", "BAO_", "COFFRE_"];
/// The ones of ours that say something about the program itself.
const KEPT: &[&str] = &["COFFRE_ENV"];

/// Set for every program, so that nothing reads `.env` behind our back: python-dotenv from 1.2.0 on, and Flask.
const QUIET: &[(&str, &str)] = &[("PYTHON_DOTENV_DISABLED", "1"), ("FLASK_SKIP_DOTENV", "1")];

/// Says where the secrets came from, to the program and to whoever looks.
pub const SOURCE_VARIABLE: &str = "COFFRE_SOURCE";

/// A variable that cannot be given to the program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The name is not one.
    #[error("`{0}` is not a name of an environment variable (letters, digits and `_`)")]
    Name(String),
    /// The name steers the loader, a shell or an interpreter, or is our own.
    #[error(
        "`{0}` steers how programs run, so it is not set from a secret; if it must be, allow it by name (-allow={0})"
    )]
    Dangerous(String),
    /// The value holds a NUL.
    #[error(
        "the value of `{0}` holds a NUL character, which no environment variable can; encode it, for example with base64"
    )]
    Nul(String),
    /// The value is too long.
    #[error(
        "the value of `{0}` is longer than the system allows for one variable (128 KiB); deliver it as a file"
    )]
    TooLong(String),
}

/// A complete environment. The values are wiped when it is dropped.
pub struct Injected {
    all: BTreeMap<Vec<u8>, SecretVec>,
    /// Which of them are secrets.
    secret: BTreeSet<String>,
}

impl Injected {
    /// `parent` is the environment of this process, `secrets` win over it, `source` becomes `COFFRE_SOURCE`, and
    /// `allowed` are dangerous names that are set all the same.
    pub fn build<'a>(
        parent: impl IntoIterator<Item = (OsString, OsString)>,
        secrets: impl IntoIterator<Item = (&'a str, &'a SecretText)>,
        source: &str,
        allowed: &[&str],
    ) -> Result<Self, Refused> {
        let mut all: BTreeMap<Vec<u8>, SecretVec> = parent
            .into_iter()
            .filter(|(name, _)| !is_ours(name))
            .map(|(name, value)| (name.into_vec(), Secret::new(value.into_vec())))
            .collect();
        for (name, value) in QUIET.iter().chain([&(SOURCE_VARIABLE, source)]) {
            all.insert(name.as_bytes().to_vec(), Secret::new(value.as_bytes().to_vec()));
        }
        let mut secret = BTreeSet::new();
        for (name, value) in secrets {
            check(name, value, allowed)?;
            secret.insert(name.to_owned());
            // EXPOSE: the program's environment is where it is meant to go.
            all.insert(name.as_bytes().to_vec(), Secret::new(value.expose().as_bytes().to_vec()));
        }
        Ok(Self { all, secret })
    }

    /// Whether both hold the same variables with the same values.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let both = self.all.iter().zip(&other.all);
        // EXPOSE: compared only.
        self.all.len() == other.all.len()
            && both.into_iter().all(|(a, b)| a.0 == b.0 && a.1.ct_eq(b.1.expose()))
    }

    /// Name and value of each variable, for the call that replaces the process.
    pub fn expose(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        // EXPOSE: handed to execve.
        self.all.iter().map(|(name, value)| (OsStr::from_bytes(name), OsStr::from_bytes(value.expose())))
    }
}

impl Injected {
    /// Name and value of each secret, for whoever hides them in output.
    pub fn expose_secrets(&self) -> impl Iterator<Item = (&str, &[u8])> {
        // EXPOSE: to be looked for, not to be shown.
        self.secret
            .iter()
            .filter_map(|name| Some((name.as_str(), self.all.get(name.as_bytes())?.expose().as_slice())))
    }
}

impl std::fmt::Debug for Injected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Injected({} variables)", self.all.len())
    }
}

fn is_ours(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    OURS.iter().any(|prefix| bytes.starts_with(prefix.as_bytes()))
        && !KEPT.iter().any(|kept| bytes == kept.as_bytes())
}

/// Whether a variable of this name may be set.
pub fn check_name(name: &str, allowed: &[&str]) -> Result<(), Refused> {
    if !is_variable_name(name) {
        return Err(Refused::Name(name.to_owned()));
    }
    let dangerous =
        DANGEROUS.contains(&name) || DANGEROUS_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if dangerous && !allowed.contains(&name) {
        return Err(Refused::Dangerous(name.to_owned()));
    }
    Ok(())
}

/// Whether this is one of our own variables.
pub(crate) fn is_for_us(name: &str) -> bool {
    OURS.iter().any(|prefix| name.starts_with(prefix))
}

fn check(name: &str, value: &SecretText, allowed: &[&str]) -> Result<(), Refused> {
    check_name(name, allowed)?;
    // EXPOSE: looks for NUL only.
    if value.expose().contains('\0') {
        return Err(Refused::Nul(name.to_owned()));
    }
    // `=` between them and NUL behind.
    if name.len() + value.len() + 2 > LONGEST {
        return Err(Refused::TooLong(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn build(parent: &[(&str, &str)], secrets: &[(&str, &str)]) -> Result<BTreeMap<String, String>, Refused> {
        let parent = parent.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let secrets: Vec<_> = secrets.iter().map(|(name, value)| (*name, SecretText::from(*value))).collect();
        let injected = Injected::build(
            parent,
            secrets.iter().map(|(name, value)| (*name, value)),
            "vault",
            &["LD_ALLOWED"],
        )?;
        let text = |text: &OsStr| text.to_str().unwrap().to_owned();
        Ok(injected.expose().map(|(name, value)| (text(name), text(value))).collect())
    }

    #[test]
    fn our_own_variables_do_not_pass() {
        let parent = [
            ("VAULT_TOKEN", "t"),
            ("VAULT_SECRET_ID", "s"),
            ("BAO_ADDR", "a"),
            ("COFFRE_TOKEN", "t"),
            ("COFFRE_ENV", "dev"),
            ("VAULTED", "x"),
            ("PATH", "/bin"),
            ("KEY", "old"),
        ];
        let made = build(&parent, &[("KEY", "new"), ("LD_ALLOWED", "x")]).unwrap();
        let names: Vec<_> = made.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "COFFRE_ENV",
                "COFFRE_SOURCE",
                "FLASK_SKIP_DOTENV",
                "KEY",
                "LD_ALLOWED",
                "PATH",
                "PYTHON_DOTENV_DISABLED",
                "VAULTED"
            ]
        );
        assert_eq!((made["KEY"].as_str(), made["COFFRE_SOURCE"].as_str()), ("new", "vault"));
    }

    #[test]
    fn equal_is_what_the_program_would_see_the_same() {
        let made = |secrets: &[(&str, &str)]| {
            let secrets: Vec<_> =
                secrets.iter().map(|(name, value)| (*name, SecretText::from(*value))).collect();
            let secrets = secrets.iter().map(|(name, value)| (*name, value));
            Injected::build([], secrets, "vault", &[]).unwrap()
        };
        let one = made(&[("A", "1"), ("B", "2")]);
        assert!(one.same_as(&made(&[("B", "2"), ("A", "1")])));
        for other in [&[("A", "1")][..], &[("A", "1"), ("B", "3")], &[("A", "1"), ("C", "2")]] {
            assert!(!one.same_as(&made(other)) && !made(other).same_as(&one));
        }
    }

    #[test]
    fn what_is_refused() {
        for name in DANGEROUS.iter().chain(&[
            "LD_PRELOAD",
            "DYLD_X",
            "GIT_SSH_COMMAND",
            "MALLOC_ARENA",
            "VAULT_TOKEN",
        ]) {
            assert_eq!(build(&[], &[(name, "x")]), Err(Refused::Dangerous((*name).to_owned())));
        }
        for name in ["", "1A", "A-B", "A=B", "É", "A\0"] {
            assert_eq!(build(&[], &[(name, "x")]), Err(Refused::Name(name.to_owned())));
        }
        assert_eq!(build(&[], &[("A", "x\0y")]), Err(Refused::Nul("A".to_owned())));
        let longest = "x".repeat(LONGEST - 3);
        assert!(build(&[], &[("A", &longest)]).is_ok());
        assert_eq!(build(&[], &[("A", &format!("{longest}x"))]), Err(Refused::TooLong("A".to_owned())));
    }

    proptest! {
        #[test]
        fn every_value_arrives_as_it_is(value in "[^\0]{0,200}") {
            let made = build(&[], &[("A", &value)]).unwrap();
            prop_assert_eq!(&made["A"], &value);
        }

        #[test]
        fn refusals_hold_no_value(name in ".{0,12}") {
            if let Err(refused) = build(&[], &[(&name, "hunter2hunter2\0")]) {
                let shown = format!("{refused} {refused:?}");
                prop_assert!(!shown.contains("hunter2"));
            }
        }
    }
}
