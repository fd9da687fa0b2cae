//! The end: nothing secret is anywhere but in `.env` and, encrypted, in the vault.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use coffre_audit::{Head, chain};
use coffre_secret::SecretText;

use super::super::migration::Original;
use super::super::sample;
use super::super::screen::Told;
use super::super::search::{Needles, search};
use super::super::server::{Keys, NEIGHBOUR_VALUE, Server};
use super::super::trouble::Trouble;
use super::Stage;

/// Everything that must be found nowhere.
pub(crate) fn needles(original: &Original, keys: &Keys) -> Needles {
    let mut needles = Needles::default();
    original.secrets().into_iter().for_each(|(name, value)| needles.add(name, value));
    keys.shares.iter().for_each(|share| needles.add("an unseal key", share));
    needles.add("the root token", &keys.root);
    needles.add("the other team's secret", &SecretText::from(NEIGHBOUR_VALUE));
    needles
}

/// Ends the server, so that everything is on disk, and looks at all of it; how many audit entries there are.
pub(crate) async fn end_and_search(
    stage: &Stage<'_>,
    server: Server,
    needles: &Needles,
    said: &str,
) -> Result<Told<u64>, Trouble> {
    let audit = server.audit_log().to_owned();
    server.stop().await?;
    let entries = chain_of(&audit)?;
    let in_dotenv = needles.found_in(sample::DOTENV).len();
    if in_dotenv == 0 {
        return Err(Trouble::broken("the search finds nothing, not even in .env"));
    }
    let mut searched = search(needles, stage.place.root(), &[".env", "venv"])?;
    searched
        .hits
        .extend(needles.found_in(said.as_bytes()).iter().map(|name| format!("{name} in this output")));
    if !searched.hits.is_empty() {
        return Err(Trouble::broken(format!("found {}", searched.hits.join(", "))));
    }
    let proof = format!(
        "{} values: none in {} files, none in this output. In .env the same search finds {in_dotenv}.",
        needles.len(),
        searched.files,
    );
    let below = vec![
        "Secrets, unseal keys, root token: plain, in JSON, base64, hexadecimal, percent-encoded;".to_owned(),
        format!("in plan, journal, audit log ({entries} entries), storage and the programs' logs."),
    ];
    Ok(Told { value: entries, proof, below })
}

fn chain_of(audit: &Path) -> Result<u64, Trouble> {
    let file = File::open(audit).map_err(|error| Trouble::file(audit, &error))?;
    let verified = chain::verify(BufReader::new(file), Some(Head::START), None);
    verified
        .map(|verified| verified.lines)
        .map_err(|error| Trouble::broken(format!("the audit log's chain is broken: {error}")))
}
