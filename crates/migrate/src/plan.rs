//! The plan: what will be written where, and why; no values. Pure: the same findings and the same server give the same
//! plan. Whatever has to be decided first is a question; a plan with questions is kept and shown, and cannot be applied.

use std::collections::BTreeMap;

use coffre_crypto::digest;
use coffre_manifest::{Manifest, Source};
use coffre_secret::SecretText;
use serde::{Deserialize, Serialize};

use crate::classify::{Class, Finding};
use crate::document::field_is;
use crate::error::Error;
use crate::fingerprint::Fingerprints;
use crate::journal::Event;
use crate::oddity::Oddity;
use crate::source::Sources;
use crate::syntax::Syntax;
use crate::vault::{Object, Place, Standing, role_state};

/// A plan, as it is stored and shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// SHA-256 of everything below.
    pub plan_id: String,
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The server's address.
    pub server: String,
    /// The release of python-dotenv that was declared, if one was.
    pub dotenv_release: Option<String>,
    /// The files with their keyed fingerprints.
    pub sources: Vec<SourceMark>,
    /// Mounts, policies and roles, in the order in which they are needed.
    pub setup: Vec<SetupStep>,
    /// Documents.
    pub documents: Vec<DocumentStep>,
    /// Each variable of the files.
    pub items: Vec<Item>,
    /// What is odd in the files.
    pub oddities: Vec<Oddity>,
    /// Questions that must be answered before the plan can be applied.
    pub questions: Vec<String>,
    /// A keyed tag over the id: a plan that was edited, or comes from elsewhere, has none that fits.
    pub mark: String,
}

/// A file that was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceMark {
    /// Its name.
    pub file: String,
    /// How it is read.
    #[serde(default, skip_serializing_if = "Syntax::is_python")]
    pub syntax: Syntax,
    /// Keyed fingerprint of its content.
    pub mark: String,
}

/// What is done with something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is not there yet.
    Create,
    /// It is there and will be another.
    Update,
    /// It is there already.
    Same,
    /// It is there with another value, and nobody said that it may be replaced.
    Conflict,
    /// It stays in the environment.
    Skip,
    /// It is composed of others.
    Template,
}

impl Action {
    /// The word in the plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Same => "same",
            Self::Conflict => "conflict",
            Self::Skip => "skip",
            Self::Template => "template",
        }
    }

    const fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update)
    }
}

/// A mount, policy or role.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetupStep {
    /// Which.
    pub object: Object,
    /// What is done.
    pub action: Action,
    /// Its state before; `None` if it does not exist.
    pub before: Option<String>,
    /// Its state afterwards.
    pub wanted: String,
}

/// A document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DocumentStep {
    /// Which.
    pub place: Place,
    /// What is done.
    pub action: Action,
    /// How it stands; writing requires its version to be the newest one still.
    pub standing: Standing,
    /// Its fields that come from the files.
    pub fields: Vec<FieldStep>,
}

/// A field of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FieldStep {
    /// The field.
    pub field: String,
    /// The variable.
    pub variable: String,
    /// Keyed fingerprint of the value.
    pub fingerprint: String,
    /// What is done.
    pub action: Action,
}

/// A variable of the files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// The variable.
    pub name: String,
    /// The file it comes from.
    pub file: String,
    /// The line (from 1).
    pub line: usize,
    /// What it is.
    pub class: Class,
    /// Why.
    pub reason: String,
    /// What is done.
    pub action: Action,
    /// The address, the template, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Keyed fingerprint of the value; not for settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A document as it was found.
#[derive(Default)]
pub struct Existing {
    /// How it stands.
    pub standing: Standing,
    /// Its newest version, if there is one.
    pub document: Option<SecretText>,
}

/// What is on the server of that which the plan is about.
#[derive(Default)]
pub struct Survey {
    /// States of objects.
    pub objects: BTreeMap<Object, Option<String>>,
    /// Documents.
    pub documents: BTreeMap<Place, Existing>,
}

/// What the plan is made for.
pub struct Target<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// The environment.
    pub environment: &'a str,
    /// The server's address, for the record.
    pub server: &'a str,
    /// Where AppRole is mounted.
    pub auth: &'a str,
}

/// Which existing values may be replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Overwrite {
    /// Those of these variables.
    Only(Vec<String>),
    /// All.
    All,
}

impl Overwrite {
    fn allows(&self, name: &str) -> bool {
        match self {
            Self::Only(names) => names.iter().any(|known| known == name),
            Self::All => true,
        }
    }
}

impl Target<'_> {
    /// The objects that follow from the manifest, in the order in which they are needed, with their states.
    #[must_use]
    pub fn objects(&self) -> Vec<(Object, String)> {
        let role = self.manifest.approle(self.environment);
        let mut objects = vec![(Object::Mount(self.manifest.mount().to_owned()), "kv/2".to_owned())];
        let policies = self.manifest.policies(self.environment);
        objects.extend(policies.into_iter().map(|policy| (Object::Policy(policy.name), policy.text)));
        objects.push((Object::Auth(self.auth.to_owned()), "approle".to_owned()));
        let hours = |text: &str| {
            text.parse::<coffre_manifest::Period>().map_or(0, |period| period.length().as_secs())
        };
        let state = role_state(&role.token_policies, hours(role.token_ttl), hours(role.token_max_ttl));
        objects.push((self.role(), state));
        objects
    }

    /// The consumer's role.
    #[must_use]
    pub fn role(&self) -> Object {
        Object::Role { auth: self.auth.to_owned(), name: self.manifest.approle(self.environment).name }
    }

    /// The documents that the manifest's variables live in.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let addresses =
            self.manifest.entries().iter().filter_map(|entry| self.manifest.address(entry, self.environment));
        let mut places: Vec<Place> =
            addresses.map(|address| Place { mount: address.mount, path: address.path }).collect();
        places.sort();
        places.dedup();
        places
    }
}

/// Makes the plan.
#[must_use]
pub fn plan(
    target: &Target<'_>,
    sources: &Sources,
    findings: &[Finding],
    survey: &Survey,
    overwrite: &Overwrite,
    prints: &Fingerprints,
) -> Plan {
    let mut draft =
        Draft { target, sources, survey, overwrite, prints, documents: BTreeMap::new(), questions: vec![] };
    let items = findings.iter().map(|finding| draft.item(finding)).collect();
    draft.ask_about_oddities();
    let setup = draft.setup();
    let documents = draft.documents();
    let marks = sources.files.iter().map(|file| SourceMark {
        file: file.name.clone(),
        syntax: file.syntax,
        // EXPOSE: goes into the keyed tag.
        mark: prints.of_file(&file.name, file.bytes.expose()),
    });
    let mut plan = Plan {
        plan_id: String::new(),
        app: target.manifest.app().to_owned(),
        environment: target.environment.to_owned(),
        server: target.server.to_owned(),
        dotenv_release: sources.reader.release().map(str::to_owned),
        sources: marks.collect(),
        setup,
        documents,
        items,
        oddities: sources.oddities.clone(),
        questions: draft.questions,
        mark: String::new(),
    };
    plan.plan_id = plan.id();
    plan.mark = prints.sign(&plan.plan_id);
    plan
}

impl Plan {
    /// How many documents and objects would be written.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.setup.iter().filter(|step| step.action.writes()).count()
            + self.documents.iter().filter(|step| step.action.writes()).count()
    }

    /// Whether the plan is whole, ours and without open questions.
    pub(crate) fn ready(&self, prints: &Fingerprints) -> Result<(), Error> {
        if self.id() != self.plan_id || prints.sign(&self.plan_id) != self.mark {
            return Err(Error::PlanChanged);
        }
        if !self.questions.is_empty() {
            return Err(Error::Blocked(self.questions.clone()));
        }
        Ok(())
    }

    /// The journal's first line about it.
    pub(crate) fn begin(&self) -> Event {
        let (plan, server) = (self.plan_id.clone(), self.server.clone());
        Event::Begin { plan, server, app: self.app.clone(), environment: self.environment.clone() }
    }

    fn id(&self) -> String {
        let bare = Self { plan_id: String::new(), mark: String::new(), ..self.clone() };
        // Maps are sorted and there are no floats, so this text is canonical.
        let text = serde_json::to_string(&bare).unwrap_or_default();
        digest::hex(&digest::sha256(text.as_bytes()))
    }
}

struct Draft<'a> {
    target: &'a Target<'a>,
    sources: &'a Sources,
    survey: &'a Survey,
    overwrite: &'a Overwrite,
    prints: &'a Fingerprints,
    documents: BTreeMap<Place, Vec<FieldStep>>,
    questions: Vec<String>,
}

impl Draft<'_> {
    fn item(&mut self, finding: &Finding) -> Item {
        let mut item = Item {
            name: finding.name.clone(),
            file: finding.file.clone(),
            line: finding.line,
            class: finding.class,
            reason: finding.reason.clone(),
            action: Action::Skip,
            to: None,
            fingerprint: None,
        };
        let Some(value) = self.sources.variable(&finding.name).and_then(|variable| variable.value.as_ref())
        else {
            return item;
        };
        let manifest = self.target.manifest;
        let Some(entry) = manifest.entry(&finding.name) else {
            if !manifest.config().contains(&finding.name) {
                self.questions.push(format!(
                    "{} ({}:{}) is not in the manifest: run `migrate init`, or name it under [secret] or [config]",
                    finding.name, finding.file, finding.line
                ));
            }
            return item;
        };
        match manifest.source(entry, self.target.environment) {
            Some(Source::Composed { template, .. }) => {
                item.action = Action::Template;
                item.to = Some(template.text().to_owned());
                item.fingerprint = Some(self.prints.of(&self.context(&finding.name), value));
                self.check_template(finding, template, value);
            }
            Some(Source::Document(address) | Source::Dynamic { document: address, .. }) => {
                let place = Place { mount: address.mount, path: address.path };
                item.to = Some(format!("{place}:{}", address.field));
                let field = self.field(&finding.name, &place, address.field, value);
                item.action = field.action;
                item.fingerprint = Some(field.fingerprint.clone());
                self.documents.entry(place).or_default().push(field);
            }
            None => {}
        }
        item
    }

    fn context(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.target.manifest.app(), self.target.environment)
    }

    fn field(&mut self, name: &str, place: &Place, field: String, value: &SecretText) -> FieldStep {
        let document = self.survey.documents.get(place).and_then(|existing| existing.document.as_ref());
        let action = match document.and_then(|document| field_is(document, &field, value)) {
            None => Action::Create,
            Some(true) => Action::Same,
            Some(false) if self.overwrite.allows(name) => Action::Update,
            Some(false) => {
                self.questions.push(format!(
                    "{place}, field {field}, already holds another value than {name}: keep the server's by taking {name} out of the file, or replace it with `migrate plan -overwrite={name}`"
                ));
                Action::Conflict
            }
        };
        let fingerprint = self.prints.of(&format!("{place}:{field}"), value);
        FieldStep { field, variable: name.to_owned(), fingerprint, action }
    }

    fn check_template(
        &mut self,
        finding: &Finding,
        template: &coffre_manifest::Template,
        value: &SecretText,
    ) {
        let sources = self.sources;
        let lookup = |name: &str| sources.variable(name)?.value.as_ref().map(SecretText::duplicate);
        let problem = match template.render(lookup) {
            // EXPOSE: compared.
            Ok(made) if made.ct_eq(value.expose().as_bytes()) => return,
            Ok(_) => "gives another value than the file".to_owned(),
            Err(name) => format!("needs {name}, which no file sets"),
        };
        self.questions.push(format!(
            "the template of {} {problem} ({}:{}): correct it in the manifest, or give {} a path instead",
            finding.name, finding.file, finding.line, finding.name
        ));
    }

    fn ask_about_oddities(&mut self) {
        let stays = |name: &String| self.target.manifest.config().contains(name);
        let open = |odd: &&Oddity| {
            // Of what stays in the environment no value is moved, so none can be moved wrongly.
            odd.blocks() && !(odd.kind.doubts_the_value() && odd.name.as_ref().is_some_and(stays))
        };
        for odd in self.sources.oddities.iter().filter(open) {
            let name = odd.name.as_deref().unwrap_or("a key");
            self.questions.push(format!("{name} ({}:{}): {}", odd.file, odd.line, odd.advice()));
        }
    }

    fn setup(&mut self) -> Vec<SetupStep> {
        let objects = self.target.objects();
        let step = |(object, wanted): (Object, String)| {
            let before = self.survey.objects.get(&object).cloned().flatten();
            let action = match &before {
                None => Action::Create,
                Some(before) if *before == wanted => Action::Same,
                Some(before) if matches!(object, Object::Mount(_) | Object::Auth(_)) => {
                    self.questions.push(format!(
                        "{object} exists but is `{before}`, not `{wanted}`: name another mount in the manifest (mount = \"…\")"
                    ));
                    Action::Conflict
                }
                Some(_) => Action::Update,
            };
            SetupStep { object, action, before, wanted }
        };
        objects.into_iter().map(step).collect()
    }

    fn documents(&mut self) -> Vec<DocumentStep> {
        let mut steps = Vec::new();
        for (place, fields) in std::mem::take(&mut self.documents) {
            let existing = self.survey.documents.get(&place);
            let standing = existing.map(|existing| existing.standing).unwrap_or_default();
            let has = |action| fields.iter().any(|field| field.action == action);
            let action = if has(Action::Conflict) {
                Action::Conflict
            } else if !has(Action::Create) && !has(Action::Update) {
                Action::Same
            } else if existing.is_some_and(|existing| existing.document.is_some()) {
                Action::Update
            } else {
                Action::Create
            };
            if action == Action::Update && standing.max_versions == 1 {
                self.questions.push(format!(
                    "{place} keeps one version only, so the value that is there now could not be brought back: raise it first with `kv metadata put -max-versions=2`"
                ));
            }
            steps.push(DocumentStep { place, action, standing, fields });
        }
        steps
    }
}
