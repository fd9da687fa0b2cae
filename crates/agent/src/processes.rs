//! The programs of `[[process]]`: their values are read, followed, and given to the supervisor.
//!
//! A program is started when all of its values are there. What was once delivered is in its environment and stays there:
//! neither a server that is down nor a value that is beyond its bound stops a program that runs; health says so.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use coffre_rotation::{Ledger, Reading};
use coffre_secret::SecretText;
use coffre_source::inject::Injected;

use crate::acknowledge::{RING, Voice, reading};
use crate::config::ProcessSettings;
use crate::health::Health;
use crate::store::{Reader, Store};
use crate::supervise::{self, Control, OnChange};

/// How often values are asked for that are missing.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked whether values are still within their bounds; changes are told at once.
const LOOK: Duration = Duration::from_secs(5);
/// What a service manager says to the agent alone.
const OF_THE_AGENT: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// What programs need.
pub struct Parts {
    /// Where secrets come from.
    pub store: Store,
    /// Where troubles are told.
    pub health: Health,
    /// Who starts them, in the order of the settings.
    pub control: Control,
    /// Where it is said what they have.
    pub voice: Voice,
}

/// Feeds the supervisor, until the task is dropped.
pub async fn run(processes: Vec<ProcessSettings>, parts: Parts) {
    let (mut changes, mut news) = (parts.store.changes(), parts.control.news());
    let paths: Vec<String> = processes.iter().flat_map(paths).collect();
    parts.store.follow(Reader::Processes, paths).await;
    let mut troubles: Vec<Option<String>> = vec![None; processes.len()];
    let mut ledgers = vec![Ledger::default(); processes.len()];
    loop {
        changes.mark_unchanged();
        let each = processes.iter().zip(&mut troubles).zip(&mut ledgers);
        for (at, ((settings, trouble), ledger)) in each.enumerate() {
            let found = environment(settings, &parts.store).await;
            let before = trouble.take();
            match found {
                // Equal ones change nothing.
                Ok((environment, from)) => parts.control.values(at, environment, ledger.number(from)).await,
                Err(why) => {
                    if before.as_ref() != Some(&why) {
                        tracing::error!(process = settings.name, error = why, "its values are not all there");
                    }
                    *trouble = Some(why);
                }
            }
        }
        let wait = if troubles.iter().any(Option::is_some) { AGAIN } else { LOOK };
        let next = tokio::time::sleep(wait);
        tokio::pin!(next);
        loop {
            show(&processes, &troubles, &parts);
            say(&processes, &mut ledgers, &parts);
            tokio::select! {
                news = news.changed() => if news.is_err() { return },
                changed = changes.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = &mut next => break,
            }
        }
    }
}

/// Says in the log how they ended.
pub fn tell_ends(control: &Control) {
    for health in control.health() {
        if let Some(code) = health.code.filter(|_| health.starts > 0) {
            tracing::info!(process = health.name, code, "ended");
        }
    }
}

fn paths(settings: &ProcessSettings) -> impl Iterator<Item = String> + '_ {
    settings.secrets.values().map(|at| at.path.clone())
}

/// Says what they have of what rotates. What has ended uses nothing.
fn say(processes: &[ProcessSettings], ledgers: &mut [Ledger], parts: &Parts) {
    for ((settings, ledger), seen) in processes.iter().zip(ledgers).zip(parts.control.health()) {
        let stands = !seen.current || settings.policy.on_change == OnChange::None;
        let holds = seen.holds.filter(|_| seen.state != "ended");
        parts.voice.say(&settings.name, ledger.statements(holds, stands));
    }
}

/// All variables of a program, and what there is to know of the documents they come from. Each document is read once, so
/// that its fields belong together.
async fn environment(
    settings: &ProcessSettings,
    store: &Store,
) -> Result<(Injected, BTreeMap<String, Reading>), String> {
    let mut documents = BTreeMap::new();
    for path in settings.secrets.values().map(|at| &at.path) {
        if !documents.contains_key(path) {
            let got = store.get(path).await.map_err(|refusal| format!("{path}: {refusal}"))?;
            documents.insert(path, got.document);
        }
    }
    let mut values = Vec::with_capacity(settings.secrets.len());
    for (name, at) in &settings.secrets {
        let field = documents.get(&at.path).and_then(|document| document.field(&at.field));
        let field = field.ok_or_else(|| format!("{} has no field `{}`, for {name}", at.path, at.field))?;
        values.push((name.as_str(), Arc::clone(field)));
    }
    let secrets = values.iter().map(|(name, value)| -> (&str, &SecretText) { (name, value) });
    let allowed: Vec<&str> = settings.allow.iter().map(String::as_str).collect();
    let environment = Injected::build(inherited(std::env::vars_os()), secrets, "vault", &allowed)
        .map_err(|refused| refused.to_string())?;
    let ring = |path: &String| settings.secrets.values().any(|at| at.path == *path && at.field == RING);
    let from = documents
        .iter()
        .filter_map(|(path, document)| Some(((*path).clone(), reading(document, ring(path))?)));
    Ok((environment, from.collect()))
}

/// The agent's own environment without what a service manager says to the agent. Credentials are left out by
/// [`Injected::build`].
fn inherited(all: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (OsString, OsString)> {
    all.filter(|(name, _)| !OF_THE_AGENT.iter().any(|own| name == own))
}

fn show(processes: &[ProcessSettings], troubles: &[Option<String>], parts: &Parts) {
    for ((settings, trouble), seen) in processes.iter().zip(troubles).zip(parts.control.health()) {
        match told(&seen, trouble.as_deref()) {
            Told::Well => parts.health.well(&settings.part()),
            Told::Ill(why) => parts.health.ill(&settings.part(), why),
            Told::Nothing => {}
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Well,
    Ill(String),
    /// It is on its way to another state.
    Nothing,
}

fn told(seen: &supervise::Health, trouble: Option<&str>) -> Told {
    match (seen.state, trouble) {
        ("running", _) if seen.reverted => {
            Told::Ill("it runs with older values, because it failed with the newest: correct them".to_owned())
        }
        ("running", Some(why)) => {
            Told::Ill(format!("it goes on with the values that it has, which cannot be confirmed: {why}"))
        }
        ("running", None) => Told::Well,
        ("starting", Some(why)) => Told::Ill(format!("it is not started, because values are missing: {why}")),
        ("pausing", _) => Told::Ill("it failed, and is started again after a pause; see the log".to_owned()),
        ("ended", _) => Told::Ill("it has ended".to_owned()),
        _ => Told::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_tells_what_a_person_must_know() {
        let seen = |state, reverted| supervise::Health {
            name: "web".to_owned(),
            state,
            pid: None,
            starts: 1,
            reverted,
            code: None,
            holds: Some(1),
            current: true,
        };
        let ill = |seen: &supervise::Health, trouble| match told(seen, trouble) {
            Told::Ill(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(told(&seen("running", false), None), Told::Well);
        assert!(ill(&seen("running", false), Some("kv/data/x: gone")).contains("goes on"));
        assert!(ill(&seen("running", true), None).contains("older values"));
        assert!(ill(&seen("starting", false), Some("kv/data/x: gone")).ends_with("kv/data/x: gone"));
        assert!(ill(&seen("pausing", false), None).contains("started again"));
        assert_eq!(told(&seen("starting", false), None), Told::Nothing);
        assert_eq!(told(&seen("stopping", false), None), Told::Nothing);
    }

    #[test]
    fn what_is_said_to_the_agent_is_not_inherited() {
        let all = ["NOTIFY_SOCKET", "PATH", "WATCHDOG_USEC"].map(|name| (name.into(), "x".into()));
        let names: Vec<_> = inherited(all.into_iter()).map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH"]);
    }
}
