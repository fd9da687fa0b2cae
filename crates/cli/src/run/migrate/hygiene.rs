//! Files that python-dotenv or the flask command would still find, and that still hold secrets.

use std::path::PathBuf;

use coffre_dotenv::{LeftOver, left_over};
use coffre_manifest::Manifest;
use coffre_migrate::{Class, File, Reader, Sources, Tree, classify, discover};
use coffre_secret::SecretText;
use serde_json::json;

use super::{Site, files, wants_json};
use crate::args::Flag;
use crate::call::Call;
use crate::outcome::{Exit, Failure, Outcome};

/// `migrate hygiene`
pub(crate) const HYGIENE: &[Flag] = &[
    super::MANIFEST,
    super::ENVIRONMENT,
    super::STATE,
    super::JSON,
    Flag::one("policy", "What a left-over file is: warn, or fail (exit status 1; the default)."),
];

/// Looks where the application's libraries would look.
pub(crate) fn hygiene(call: &mut Call) -> Outcome {
    let fails = match call.parsed.one("policy") {
        None | Some("fail") => true,
        Some("warn") => false,
        Some(_) => return Err(Failure::local("-policy: write warn or fail")),
    };
    let site = Site::offline(call)?;
    let here = std::path::absolute(&site.directory)
        .map_err(|error| Failure::local(format!("cannot tell the directory: {error}")))?;
    let text = |name: &str| call.world.env.var(name);
    let found = discover(&Tree::walk(&here), &text);
    let modules: Vec<PathBuf> = found
        .consumers
        .iter()
        .filter(|consumer| consumer.name == "load_dotenv()")
        .filter_map(|consumer| consumer.file.parent().map(PathBuf::from))
        .collect();
    let found = left_over(&here, &modules, &|path| path.is_file());
    let found: Vec<(LeftOver, Vec<String>)> =
        found.into_iter().map(|file| (secrets(&file, &site.manifest), file)).map(|(s, f)| (f, s)).collect();
    let bad = found.iter().filter(|(_, secrets)| !secrets.is_empty()).count();
    if wants_json(call) {
        let shown: Vec<_> = found
            .iter()
            .map(|(file, secrets)| json!({ "file": file.path, "found_by": file.finder.to_string(), "nearest": file.nearest, "secrets": secrets }))
            .collect();
        call.world.say(&format!("{:#}", json!({ "left_over": shown, "clean": bad == 0 })));
        return Ok(if bad > 0 && fails { Exit::LOCAL } else { Exit::DONE });
    }
    for (file, secrets) in &found {
        let held = if secrets.is_empty() { "no secret".to_owned() } else { secrets.join(", ") };
        let first = if file.nearest { "" } else { ", once nothing nearer is there" };
        call.world.say(&format!("{}: found by {}{first}; holds {held}", file.path.display(), file.finder));
    }
    if bad == 0 {
        call.world.say("No file with secrets is left where the application's libraries look.");
        return Ok(Exit::DONE);
    }
    let text = "files with secrets are left where the application's libraries look: retire them with `migrate retire`, or remove them; until then set PYTHON_DOTENV_DISABLED=1 and FLASK_SKIP_DOTENV=1";
    if fails {
        return Err(Failure::local(text));
    }
    call.world.warn(text);
    Ok(Exit::DONE)
}

/// The names in a file that hold something which is no setting. A file that cannot be read may hold anything.
fn secrets(file: &LeftOver, manifest: &Manifest) -> Vec<String> {
    let unknown = || vec!["what cannot be read".to_owned()];
    let Ok(bytes) = files::read(&file.path) else { return unknown() };
    let read = File::dotenv(file.path.display().to_string(), bytes);
    let nothing = |_: &str| None::<SecretText>;
    let Ok(sources) = Sources::read(vec![read], Reader::Unknown, &nothing) else { return unknown() };
    let filled = |name: &str| {
        let value = sources.variable(name).and_then(|variable| variable.value.as_ref());
        value.is_some_and(|value| !value.is_empty())
    };
    let findings = classify(&sources, Some(manifest));
    let secret = findings.into_iter().filter(|found| found.class != Class::Config && filled(&found.name));
    secret.map(|found| found.name).collect()
}
