//! `explain`: where an application's values come from, how old they are, which version. Never a value.

use std::collections::BTreeMap;

use coffre_app::{Explanation, Part, Secrets, Settings};

use crate::args::Flag;
use crate::args::global::{Format, variable};
use crate::call::Call;
use crate::connect;
use crate::outcome::{Exit, Failure, Outcome};
use crate::render::table;
use crate::world::{Lookup as _, ProcessEnv};

pub(crate) const FLAGS: &[Flag] = &[
    Flag::one(
        "manifest",
        "The manifest; without it, coffre.toml here or in a directory above. Also COFFRE_MANIFEST.",
    ),
    Flag::one("env-file", "The .env file; without it, the one beside the manifest."),
    Flag::one(
        "wait",
        "How long to wait for the server outside development; 60s by default. Also COFFRE_WAIT.",
    ),
    Flag::switch("json", "Print JSON, as -format=json does."),
];

/// Flags of a connection with the variables that the library reads instead.
const CONNECTION: &[(&str, &str)] = &[
    ("address", "COFFRE_ADDR"),
    ("agent-address", "COFFRE_AGENT_ADDR"),
    ("namespace", "COFFRE_NAMESPACE"),
    ("ca-cert", "COFFRE_CACERT"),
    ("ca-path", "COFFRE_CAPATH"),
    ("client-cert", "COFFRE_CLIENT_CERT"),
    ("client-key", "COFFRE_CLIENT_KEY"),
    ("tls-server-name", "COFFRE_TLS_SERVER_NAME"),
    ("wait", "COFFRE_WAIT"),
];

/// Asks as an application would, and tells what came of it: of the named variables, or of all.
pub(crate) fn explain(call: &mut Call) -> Outcome {
    let secrets = Secrets::open(settings(call)?).map_err(|error| Failure::local(error.to_string()))?;
    let names = match call.rest(0) {
        names if names.is_empty() => secrets.names(),
        names => names,
    };
    let explained: Result<Vec<Explanation>, _> = names.iter().map(|name| secrets.explain(name)).collect();
    let explained = explained.map_err(|error| Failure::local(error.to_string()))?;
    if call.parsed.on("json") || call.format == Format::Json {
        let text = serde_json::to_string_pretty(&explained);
        call.world.say(&text.map_err(|_| Failure::local("the explanation is no JSON"))?);
    } else {
        call.world.tell(&format!("environment {}, source {}", secrets.environment(), secrets.source()));
        let rows = explained.iter().flat_map(rows).collect();
        call.world.say(&table(&["Variable", "Origin", "Place", "Version", "State", "Confirmed"], rows));
    }
    secrets.close();
    Ok(Exit::DONE)
}

/// What the library is opened with: the environment, with the flags over it.
fn settings(call: &Call) -> Result<Settings, Failure> {
    let mut over: BTreeMap<String, String> = CONNECTION
        .iter()
        .filter_map(|(flag, name)| Some(((*name).to_owned(), call.parsed.one(flag)?.to_owned())))
        .collect();
    if call.parsed.switch("tls-skip-verify") == Some(true) {
        over.insert("COFFRE_SKIP_VERIFY".to_owned(), "true".to_owned());
    }
    // A person asks, so the token of that person's login will do.
    if variable(call.world.env.as_ref(), "TOKEN").is_none()
        && let Some(token) = connect::token(&call.world)?
    {
        // EXPOSE: handed to the library, which wraps it again.
        over.insert("COFFRE_TOKEN".to_owned(), token.expose().trim().to_owned());
    }
    let here = std::env::current_dir()
        .map_err(|error| Failure::local(format!("cannot tell the working directory: {error}")))?;
    let lookup = move |name: &str| over.get(name).cloned().or_else(|| ProcessEnv.var(name));
    let mut settings =
        Settings::from_lookup(lookup, here).map_err(|error| Failure::local(error.to_string()))?;
    if let Some(manifest) = call.parsed.one("manifest") {
        settings = settings.manifest(manifest);
    }
    if let Some(file) = call.parsed.one("env-file") {
        settings = settings.env_file(file);
    }
    Ok(settings)
}

/// A row for each document; one for a variable that has none.
fn rows(explained: &Explanation) -> Vec<Vec<String>> {
    let dash = || "-".to_owned();
    let row = |part: Option<&Part>, place: String| {
        let number = |number: Option<u64>| number.map_or_else(dash, |number| number.to_string());
        let state = match part {
            Some(part) => part.state,
            None if explained.present => "set",
            None => "no value",
        };
        let age = part.and_then(|part| part.age).map_or_else(dash, |age| format!("{age} s ago"));
        vec![
            explained.name.clone(),
            explained.origin.to_owned(),
            place,
            number(part.and_then(|part| part.version)),
            state.to_owned(),
            age,
        ]
    };
    if explained.documents.is_empty() {
        let line = explained.line.map_or_else(String::new, |line| format!(":{line}"));
        let place = explained.file.as_ref().map_or_else(dash, |file| format!("{file}{line}"));
        return vec![row(None, place)];
    }
    let place = |part: &Part| match &part.field {
        Some(field) => format!("{} {field}", part.path),
        None => part.path.clone(),
    };
    explained.documents.iter().map(|part| row(Some(part), place(part))).collect()
}
