//! `[[process]]`: programs that the agent starts with secrets in their environment, and looks after.

use std::collections::BTreeMap;
use std::ffi::OsString;

use coffre_source::inject::{Refused, check_name};

use super::error::{ConfigError, Spot};
use super::fields::{ByName, Fields};
use crate::supervise::Spec;
use crate::supervise::policy::{BadChoice, OnChange, OnCrash, Policy, stop_signal};
use crate::template::is_path;

/// More programs than this are a matter for a service manager.
const MOST: usize = 64;
/// Variables of one program at most.
const MOST_SECRETS: usize = 1_024;

/// `[[process]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Its name in the log and in health.
    pub name: String,
    /// The program and its arguments. No shell.
    pub command: Vec<String>,
    /// The variables that it gets, by their names.
    pub secrets: BTreeMap<String, FieldPath>,
    /// Names that steer how programs run (`PATH`, `LD_…`) and may come from a secret all the same.
    pub allow: Vec<String>,
    /// How it is looked after.
    pub policy: Policy,
    /// Run on changes with the new values, if the policy says so. Empty: none.
    pub hook: Vec<String>,
    /// Whether signals go to all of its processes.
    pub whole_group: bool,
    /// Whether values are hidden in what it prints.
    pub redact: bool,
}

/// One field of a document, written `path#field`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath {
    /// The API's path, below `/v1/`.
    pub path: String,
    /// The field.
    pub field: String,
}

impl ProcessSettings {
    /// What the supervisor is told.
    #[must_use]
    pub fn spec(&self) -> Spec {
        let split = |words: &[String]| {
            let (program, args) = words.split_first()?;
            Some((OsString::from(program), args.iter().map(OsString::from).collect::<Vec<_>>()))
        };
        let (program, args) = split(&self.command).unwrap_or_default();
        Spec {
            name: self.name.clone(),
            program,
            args,
            policy: self.policy.clone(),
            whole_group: self.whole_group,
            redact: self.redact,
            hook: split(&self.hook),
        }
    }

    /// Its name in health reports.
    #[must_use]
    pub fn part(&self) -> String {
        format!("process {}", self.name)
    }
}

/// All of them; names are unique.
pub(super) fn processes(tables: Vec<Fields<'_>>) -> Result<Vec<ProcessSettings>, ConfigError> {
    let mut names: BTreeMap<String, Spot> = BTreeMap::new();
    let mut all = Vec::new();
    for table in tables {
        if all.len() == MOST {
            return Err(table.wrong(format!("more than {MOST} processes: start some of them otherwise")));
        }
        let spot = table.spot().clone();
        let settings = process(table)?;
        if let Some(first) = names.insert(settings.name.clone(), spot.clone()) {
            return Err(ConfigError::at(
                &spot,
                format!("the process at {first} has this name already: take another"),
            ));
        }
        all.push(settings);
    }
    Ok(all)
}

fn process(mut fields: Fields<'_>) -> Result<ProcessSettings, ConfigError> {
    let name = fields.text("name")?;
    let name = fields.required("name", name, "\"web\"")?;
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.value.len() > 64 || !name.value.chars().all(sound) {
        return Err(name.wrong("`name` takes letters, digits, `-`, `_` and `.`, 64 at most"));
    }
    let command = super::check::command(&mut fields, "command")?;
    if command.is_empty() {
        return Err(fields.wrong("[[process]] needs `command`, for example [\"gunicorn\", \"app:app\"]"));
    }
    let allow = fields.texts("allow")?.map(|at| at.value).unwrap_or_default();
    let written = fields.texts_by_name("secrets")?;
    let secrets = secrets(&fields, written, &allow)?;
    let hook = super::check::command(&mut fields, "hook")?;
    let policy = policy(&mut fields, !hook.is_empty())?;
    let settings = ProcessSettings {
        name: name.value,
        command,
        secrets,
        allow,
        policy,
        hook,
        whole_group: fields.flag("signal_group")?.is_some_and(|at| at.value),
        redact: fields.flag("redact")?.is_some_and(|at| at.value),
    };
    fields.done()?;
    Ok(settings)
}

fn secrets(
    fields: &Fields<'_>,
    written: Option<ByName>,
    allow: &[String],
) -> Result<BTreeMap<String, FieldPath>, ConfigError> {
    let Some(written) = written else {
        return Err(fields.wrong(
            "[[process]] needs `secrets`, the variables that it gets, for example secrets = { KEY = \
             \"atmr/data/prod/key#value\" }",
        ));
    };
    if written.len() > MOST_SECRETS {
        return Err(fields.wrong(format!("more than {MOST_SECRETS} variables: deliver them as a file")));
    }
    let allow: Vec<&str> = allow.iter().map(String::as_str).collect();
    let mut secrets = BTreeMap::new();
    for (name, at) in written {
        check_name(&name, &allow).map_err(|refused| at.wrong(name_refused(&refused)))?;
        let found = at.value.rsplit_once('#').filter(|(path, field)| is_path(path) && !field.is_empty());
        let Some((path, field)) = found else {
            return Err(at.wrong(format!(
                "`{name}` must be an API path and a field, such as \"atmr/data/prod/key#value\""
            )));
        };
        secrets.insert(name, FieldPath { path: path.to_owned(), field: field.to_owned() });
    }
    Ok(secrets)
}

fn name_refused(refused: &Refused) -> String {
    match refused {
        Refused::Dangerous(name) => format!(
            "`{name}` steers how programs run, so it is not set from a secret; if it must be, write allow = [\"{name}\"]"
        ),
        other => other.to_string(),
    }
}

fn policy(fields: &mut Fields<'_>, has_hook: bool) -> Result<Policy, ConfigError> {
    let mut policy = Policy::default();
    if let Some(at) = fields.text("stop_signal")? {
        policy.stop_signal = stop_signal(&at.value).map_err(|bad| at.wrong(choice_refused(&bad)))?;
    }
    if let Some(at) = fields.text("on_crash")? {
        policy.on_crash = OnCrash::parse(&at.value).map_err(|bad| at.wrong(choice_refused(&bad)))?;
    }
    policy.grace = fields.duration("grace")?.map_or(policy.grace, |at| at.value);
    policy.min_uptime = fields.duration("min_uptime")?.map_or(policy.min_uptime, |at| at.value);
    let on_change = fields.text("on_change")?;
    if let Some(at) = &on_change {
        policy.on_change = OnChange::parse(&at.value).map_err(|bad| at.wrong(choice_refused(&bad)))?;
    }
    match (policy.on_change == OnChange::Hook, has_hook) {
        (true, false) => Err(fields.wrong("on_change = \"hook\" needs the program to run: hook = [\"…\"]")),
        (false, true) => Err(fields.wrong("`hook` is run with on_change = \"hook\" only")),
        _ => Ok(policy),
    }
}

/// Says what is possible, and repeats nothing.
fn choice_refused(bad: &BadChoice) -> &'static str {
    match bad {
        BadChoice::OnChange(_) => "`on_change` must be \"none\", \"restart\" or \"hook\"",
        BadChoice::Signal(_) => {
            "`on_change`: a signal cannot bring new values to a program that has them in its environment, because what \
             it starts or re-reads on a signal inherits the old ones; use \"restart\""
        }
        BadChoice::OnCrash(_) => "`on_crash` must be \"exit\" or \"backoff\"",
        BadChoice::StopSignal(_) => {
            "`stop_signal` must be one that a program can take: \"TERM\", \"INT\", \"QUIT\", \"HUP\", \"USR1\" or such"
        }
    }
}
