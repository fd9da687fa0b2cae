//! Classify, plan, apply, verify, apply again, roll back.

use std::collections::BTreeMap;

use coffre_migrate::{Class, Finding, Plan};

use super::super::migration::{Migration, Original, created};
use super::super::sample;
use super::super::screen::{Told, aligned};
use super::super::server::Server;
use super::super::trouble::Trouble;
use super::Stage;

/// A vault's contents, as [`Server::contents`] gives them.
type Contents = BTreeMap<String, String>;

pub(crate) async fn classify(stage: &Stage<'_>) -> Result<Told<Original>, Trouble> {
    let original = Original::read()?;
    untouched(stage)?;
    let findings = original.findings();
    let missed = original.missed(&findings);
    if !missed.is_empty() {
        return Err(Trouble::broken(format!("taken for settings: {}", missed.join(", "))));
    }
    let count = |classes: &[Class]| findings.iter().filter(|f| classes.contains(&f.class)).count();
    let proof = format!(
        "{} variables: {} secrets, {} made of others, {} settings; no secret was missed.",
        findings.len(),
        count(&[Class::Secret, Class::Placeholder, Class::Ambiguous]),
        count(&[Class::Composed]),
        count(&[Class::Config]),
    );
    Ok(Told { below: aligned(&rows(&findings)), value: original, proof })
}

/// Secrets first, in file order otherwise.
fn rows(findings: &[Finding]) -> Vec<[String; 3]> {
    let word = |class| match class {
        Class::Secret => "secret",
        Class::Placeholder => "placeholder",
        Class::Ambiguous => "ambiguous",
        Class::Composed => "composed",
        Class::Config => "setting",
    };
    let row =
        |finding: &Finding| [finding.name.clone(), word(finding.class).to_owned(), finding.reason.clone()];
    let (settings, others): (Vec<_>, Vec<_>) = findings.iter().partition(|f| f.class == Class::Config);
    others.into_iter().chain(settings).map(row).collect()
}

pub(crate) async fn plan<'o>(
    stage: &Stage<'_>,
    server: &Server,
    original: &'o Original,
) -> Result<Told<(Migration<'o>, Plan)>, Trouble> {
    let migration = Migration::begin(original, server.client(), &stage.place.directory("state")?)?;
    let plan = migration.plan().await?;
    let (documents, others) = created(&plan);
    let proof = format!(
        "To create: {documents} documents, {others} others (engine, policies, AppRole). It holds no value."
    );
    Ok(Told::new((migration, plan), proof))
}

pub(crate) async fn apply(migration: &mut Migration<'_>, plan: &Plan) -> Result<Told<()>, Trouble> {
    let applied = migration.apply(plan).await?;
    let (documents, others) = created(plan);
    if (applied.documents, applied.objects) != (documents, others) {
        return Err(Trouble::broken(format!(
            "{} documents were written, not {documents}",
            applied.documents
        )));
    }
    let proof = format!(
        "All {} written, each journaled first, and only where the plan saw nothing (CAS).",
        documents + others
    );
    Ok(Told::new((), proof))
}

pub(crate) async fn verify(migration: &mut Migration<'_>) -> Result<Told<()>, Trouble> {
    let verified = migration.verify().await?;
    let proof = format!(
        "Read back as {}: {} secrets, all as in .env; it can only read those.",
        verified.role(),
        verified.from_vault(),
    );
    Ok(Told::new((), proof))
}

pub(crate) async fn apply_again(migration: &mut Migration<'_>) -> Result<Told<()>, Trouble> {
    let plan = migration.plan().await?;
    let applied = migration.apply(&plan).await?;
    if plan.writes() != 0 || !applied.nothing_to_do {
        return Err(Trouble::broken(format!("a second plan has {} writes", plan.writes())));
    }
    Ok(Told::new((), "A second plan and apply find everything in place and write nothing."))
}

pub(crate) async fn roll_back(
    stage: &Stage<'_>,
    server: &Server,
    migration: &mut Migration<'_>,
    before: Result<Contents, Trouble>,
) -> Result<Told<()>, Trouble> {
    let before = before?;
    let done = migration.roll_back().await?;
    if !done.left.is_empty() {
        return Err(Trouble::broken(format!("left in the vault: {}", done.left.join("; "))));
    }
    let differing = difference(&before, &server.contents().await?);
    if !differing.is_empty() {
        return Err(Trouble::broken(format!("not as before: {}", differing.join(", "))));
    }
    untouched(stage)?;
    let proof =
        format!("{} steps taken back: the vault is exactly as before; .env was never touched.", done.undone);
    Ok(Told::new((), proof))
}

/// What is in one and not, or not so, in the other.
fn difference(before: &Contents, after: &Contents) -> Vec<String> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

fn untouched(stage: &Stage<'_>) -> Result<(), Trouble> {
    let path = stage.project().join(".env");
    let bytes = std::fs::read(&path).map_err(|error| Trouble::file(&path, &error))?;
    if bytes == sample::DOTENV { Ok(()) } else { Err(Trouble::broken(".env was changed")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let contents = |pairs: &[(&str, &str)]| -> Contents {
            pairs.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect()
        };
        let before = contents(&[("engine a/", "kv"), ("policy p", "x"), ("policy q", "y")]);
        assert_eq!(difference(&before, &before), Vec::<String>::new());
        let after = contents(&[("engine a/", "kv"), ("policy p", "z"), ("policy r", "y")]);
        assert_eq!(difference(&before, &after), ["policy p", "policy q", "policy r"]);
    }
}
