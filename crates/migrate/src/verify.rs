//! Proof that the application would get, from the vault and as itself, exactly the environment that its files give.

use std::collections::BTreeMap;

use coffre_crypto::digest;
use coffre_manifest::{Entry, Source};
use coffre_secret::SecretText;
use futures_util::{StreamExt as _, stream};

use crate::document::field_text;
use crate::error::Error;
use crate::plan::Target;
use crate::source::Sources;
use crate::survey::AT_ONCE;
use crate::vault::{Place, Vault, VaultError, VaultErrorKind};

/// Every variable was read back as the consumer and compared. Only [`verify`] makes one: whoever wants to touch a
/// `.env` file has to show it.
#[derive(Debug)]
pub struct Verified {
    variables: usize,
    from_vault: usize,
    role: String,
    /// SHA-256 of each file whose variables were compared; never stored.
    files: BTreeMap<String, [u8; 32]>,
}

impl Verified {
    /// How many variables were compared.
    #[must_use]
    pub const fn variables(&self) -> usize {
        self.variables
    }

    /// How many of them come from the vault, read or composed.
    #[must_use]
    pub const fn from_vault(&self) -> usize {
        self.from_vault
    }

    /// Whether these are the bytes of a file whose variables were compared.
    pub(crate) fn covers(&self, file: &str, bytes: &[u8]) -> bool {
        self.files.get(file).is_some_and(|known| *known == digest::sha256(bytes))
    }

    /// The role that read them.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }
}

/// A version that no document has: a write that demands it is refused by any server, even if the policy allows it.
const IMPOSSIBLE_CAS: u64 = 0x7fff_ffff;

/// Logs in as the consumer, reads everything, and compares it with the files.
pub async fn verify<V: Vault>(vault: &V, target: &Target<'_>, sources: &Sources) -> Result<Verified, Error> {
    let role = target.role();
    let doing = format!("cannot log in as the consumer ({role}); the .env file stays in use");
    let consumer = vault.log_in(&role).await.map_err(Error::vault(doing))?;
    let outcome = compare(&consumer, target, sources).await;
    // A token that could not be revoked ends by itself; the comparison is what counts.
    let _ = consumer.log_out().await;
    let (problems, mut verified) = outcome;
    if !problems.is_empty() {
        return Err(Error::Unverified(problems));
    }
    verified.role = role.to_string();
    Ok(verified)
}

async fn compare<C: Vault>(consumer: &C, target: &Target<'_>, sources: &Sources) -> (Vec<String>, Verified) {
    let mut problems = Vec::new();
    let documents = documents(consumer, target, &mut problems).await;
    let reader = Reader { target, sources, documents: &documents };
    let files = sources.files.iter().map(|file| {
        // EXPOSE: its hash is taken.
        (file.name.clone(), digest::sha256(file.bytes.expose()))
    });
    let mut verified = Verified { variables: 0, from_vault: 0, role: String::new(), files: files.collect() };
    for variable in sources.variables() {
        let Some(value) = &variable.value else { continue };
        verified.variables += 1;
        if target.manifest.config().contains(&variable.name) {
            continue;
        }
        verified.from_vault += 1;
        match reader.value(&variable.name) {
            // EXPOSE: compared.
            Ok(found) if found.ct_eq(value.expose().as_bytes()) => {}
            Ok(_) => problems
                .push(format!("{} has another value in the vault than in {}", variable.name, variable.file)),
            Err(why) => problems.push(format!("{} {why}", variable.name)),
        }
    }
    // The program starts with everything that the manifest names, or not at all.
    let set = |name: &str| sources.variable(name).is_some_and(|variable| variable.value.is_some());
    for entry in target.manifest.entries().iter().filter(|entry| !set(&entry.name)) {
        if let Err(why) = reader.value(&entry.name) {
            problems.push(format!(
                "{} {why}, and no file sets it: add it, or take it out of the manifest",
                entry.name
            ));
        }
    }
    problems.extend(overreach(consumer, target).await);
    (problems, verified)
}

/// The newest versions, as the consumer sees them.
async fn documents<C: Vault>(
    consumer: &C,
    target: &Target<'_>,
    problems: &mut Vec<String>,
) -> BTreeMap<Place, SecretText> {
    let asked = target.places().into_iter().map(|place| async move {
        let read = consumer.read(&place, None).await;
        (place, read)
    });
    let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let mut found = BTreeMap::new();
    for (place, answer) in answers {
        match answer {
            Ok(Some(document)) => {
                found.insert(place, document);
            }
            Ok(None) => {}
            Err(error) => problems.push(format!("the consumer cannot read {place}: {error}")),
        }
    }
    problems.sort();
    found
}

struct Reader<'a> {
    target: &'a Target<'a>,
    sources: &'a Sources,
    documents: &'a BTreeMap<Place, SecretText>,
}

impl Reader<'_> {
    /// The value as the application would get it.
    fn value(&self, name: &str) -> Result<SecretText, String> {
        let manifest = self.target.manifest;
        let Some(entry) = manifest.entry(name) else {
            if manifest.config().iter().any(|config| config == name) {
                let variable = self.sources.variable(name).and_then(|variable| variable.value.as_ref());
                return variable.map(SecretText::duplicate).ok_or_else(|| "is set nowhere".to_owned());
            }
            return Err("is not in the manifest; run `migrate init`".to_owned());
        };
        match manifest.source(entry, self.target.environment) {
            Some(Source::Document(address) | Source::Dynamic { document: address, .. }) => {
                self.field(entry, &address.field)
            }
            Some(Source::Composed { template, .. }) => {
                // The manifest has no circles, so this ends.
                let lookup = |name: &str| self.value(name).ok().or_else(|| self.field(entry, name).ok());
                template.render(lookup).map_err(|missing| format!("cannot be composed: {missing} is missing"))
            }
            None => Err("has no place in the manifest".to_owned()),
        }
    }

    fn field(&self, entry: &Entry, field: &str) -> Result<SecretText, String> {
        let address = self.target.manifest.address(entry, self.target.environment);
        let address = address.ok_or_else(|| "has no path in the manifest".to_owned())?;
        let place = Place { mount: address.mount, path: address.path };
        let document = self.documents.get(&place).ok_or_else(|| format!("is not in the vault at {place}"))?;
        field_text(document, field).ok_or_else(|| format!("is not in the vault at {place}, field {field}"))
    }
}

/// What the consumer can do and should not.
async fn overreach<C: Vault>(consumer: &C, target: &Target<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let refused = |result: Result<(), VaultError>| {
        matches!(result, Err(VaultError { kind: VaultErrorKind::Denied, .. }))
    };
    let nothing = SecretText::from("{}");
    if let Some(place) = target.places().first() {
        let written = consumer.write(place, IMPOSSIBLE_CAS, &nothing).await.map(drop);
        if !refused(written) {
            problems
                .push(format!("the consumer may write {place}, but should only read; check its policies"));
        }
    }
    let others = target.manifest.environments().iter().filter(|name| *name != target.environment);
    for elsewhere in others.map(String::as_str).chain(["_elsewhere"]) {
        let path = target
            .places()
            .first()
            .and_then(|place| place.path.split_once('/').map(|(_, rest)| rest.to_owned()));
        let path = format!("{elsewhere}/{}", path.unwrap_or_else(|| "any".to_owned()));
        let place = Place { mount: target.manifest.mount().to_owned(), path };
        if !refused(consumer.read(&place, None).await.map(drop)) {
            problems.push(format!(
                "the consumer may read {place}, which is not its environment; check its policies"
            ));
        }
    }
    problems
}
