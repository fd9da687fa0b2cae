//! The migration's steps, through the same library as `coffre migrate`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use coffre_ambient::{Clock, SystemClock, SystemEntropy};
use coffre_client::Client;
use coffre_dotenv::Generation;
use coffre_manifest::Manifest;
use coffre_migrate::{
    Action, Applied, Class, File, Finding, Fingerprints, Journal, Overwrite, Plan, Reader, RolledBack,
    ServerVault, Sources, State, Target, Verified, Work, apply, classify, plan, rollback, survey, verify,
};
use coffre_secret::{SecretText, SecretVec};

use super::sample;
use super::trouble::Trouble;

/// The environment that is migrated: the one where mistakes cost most.
pub(crate) const ENVIRONMENT: &str = "prod";
/// Where AppRole is mounted.
pub(crate) const AUTH: &str = "approle";

/// The files as they are before, and what they mean.
pub(crate) struct Original {
    pub(crate) manifest: Manifest,
    pub(crate) sources: Sources,
}

impl Original {
    /// Reads the sample's `.env` as the python-dotenv does that the sample asks for.
    pub(crate) fn read() -> Result<Self, Trouble> {
        let manifest = Manifest::parse(sample::MANIFEST)
            .map_err(|error| Trouble::broken(format!("the sample's manifest: {error}")))?;
        let file = File::dotenv(".env", SecretVec::new(sample::DOTENV.to_vec()));
        let nothing = |_: &str| None;
        let sources = Sources::read(vec![file], Reader::Declared(Generation::Since1_2_4), &nothing)
            .map_err(|error| Trouble::broken(format!("the sample's .env: {error}")))?;
        Ok(Self { manifest, sources })
    }

    /// Everything that the manifest says is secret, stored or composed, with its value.
    pub(crate) fn secrets(&self) -> Vec<(&str, &SecretText)> {
        let value = |name: &str| self.sources.variable(name)?.value.as_ref();
        let entries = self.manifest.entries().iter();
        entries.filter_map(|entry| Some((entry.name.as_str(), value(&entry.name)?))).collect()
    }

    /// What each variable is, found without the manifest's help.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        classify(&self.sources, None)
    }

    /// Variables that the manifest keeps secret and that would have been taken for settings: there must be none.
    pub(crate) fn missed(&self, findings: &[Finding]) -> Vec<String> {
        let settings: BTreeSet<&str> =
            findings.iter().filter(|f| f.class == Class::Config).map(|f| f.name.as_str()).collect();
        let missed = self.manifest.entries().iter().filter(|entry| settings.contains(entry.name.as_str()));
        missed.map(|entry| entry.name.clone()).collect()
    }

    /// The application's role.
    pub(crate) fn role(&self) -> String {
        self.manifest.approle(ENVIRONMENT).name
    }
}

/// A migration under way.
pub(crate) struct Migration<'a> {
    original: &'a Original,
    vault: ServerVault,
    server: String,
    state: State,
    prints: Fingerprints,
    journal: Journal,
}

impl<'a> Migration<'a> {
    /// With its state below `base`.
    pub(crate) fn begin(original: &'a Original, client: &Client, base: &Path) -> Result<Self, Trouble> {
        let state = State::open(base, original.manifest.app(), ENVIRONMENT)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Ok(Self {
            vault: ServerVault::new(client.clone(), clock),
            server: client.address().to_owned(),
            prints: state.fingerprints(&SystemEntropy)?,
            journal: state.journal()?,
            original,
            state,
        })
    }

    /// `migrate plan`.
    pub(crate) async fn plan(&self) -> Result<Plan, Trouble> {
        let target = self.target();
        let survey = survey(&self.vault, &target).await?;
        let original = self.original;
        let findings = classify(&original.sources, Some(&original.manifest));
        let overwrite = Overwrite::Only(vec![]);
        let plan = plan(&target, &original.sources, &findings, &survey, &overwrite, &self.prints);
        self.state.save(&plan)?;
        if plan.questions.is_empty() {
            return Ok(plan);
        }
        Err(Trouble::broken(format!("the plan has questions: {}", plan.questions.join("; "))))
    }

    /// `migrate apply`.
    pub(crate) async fn apply(&mut self, plan: &Plan) -> Result<Applied, Trouble> {
        let work = work(&self.vault, &self.prints);
        Ok(apply(&work, plan, &self.original.sources, &mut self.journal).await?)
    }

    /// `migrate verify`.
    pub(crate) async fn verify(&mut self) -> Result<Verified, Trouble> {
        let verified = verify(&self.vault, &self.target(), &self.original.sources).await?;
        self.journal.verified(&SystemClock, &verified)?;
        Ok(verified)
    }

    /// `migrate rollback`.
    pub(crate) async fn roll_back(&mut self) -> Result<RolledBack, Trouble> {
        let work = work(&self.vault, &self.prints);
        Ok(rollback(&work, &self.server, &mut self.journal).await?)
    }

    fn target(&self) -> Target<'_> {
        Target {
            manifest: &self.original.manifest,
            environment: ENVIRONMENT,
            server: &self.server,
            auth: AUTH,
        }
    }
}

fn work<'a>(vault: &'a ServerVault, prints: &'a Fingerprints) -> Work<'a, ServerVault> {
    Work {
        vault,
        clock: &SystemClock,
        entropy: &SystemEntropy,
        prints,
        progress: &|_| (),
        settle: std::time::Duration::ZERO,
    }
}

/// How many documents a plan creates, and the other things.
pub(crate) fn created(plan: &Plan) -> (usize, usize) {
    let new = |action: Action| usize::from(action == Action::Create);
    (
        plan.documents.iter().map(|step| new(step.action)).sum(),
        plan.setup.iter().map(|step| new(step.action)).sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_of_the_sample_is_recognised() {
        let original = Original::read().unwrap();
        assert_eq!(original.missed(&original.findings()), Vec::<String>::new());
        assert_eq!(original.secrets().len(), original.manifest.entries().len(), "each has a value");
    }

    #[test]
    fn a_missed_secret_is_named() {
        let original = Original::read().unwrap();
        let mut findings = original.findings();
        for finding in findings.iter_mut().filter(|finding| finding.name == "SENTRY_DSN") {
            finding.class = Class::Config;
        }
        assert_eq!(original.missed(&findings), ["SENTRY_DSN"]);
    }
}
