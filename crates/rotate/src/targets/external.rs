//! Keys of outside services, which only a person can change: the engine asks for the new one on time, tries it at the
//! service before anybody gets it, and tries the old one after a person said that it was revoked.

use std::sync::Arc;
use std::time::Duration;

use coffre_manifest::rotation::{HttpProbe, fill};
use coffre_rotation::{Kind, Pending};
use coffre_secret::SecretText;
use reqwest::{Client, Method, Url, redirect};

use crate::outbound::{self, Outside};
use crate::{At, BoxFuture, Document, Failure, Target, Which};

/// How long the service may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest key, in bytes.
const LONGEST: usize = 65_536;

/// A key of an outside service.
pub struct ExternalKey {
    field: String,
    probe: Option<HttpProbe>,
    client: Client,
}

/// What the service said of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// One of the statuses that a good key gets.
    Accepted,
    /// One of the statuses that a revoked key gets.
    Refused,
    /// Another status.
    Other(u16),
}

impl ExternalKey {
    /// `field` is what the application reads of the document, usually `value`. Without a probe the key's form alone is
    /// looked at, and revocation is believed. `ca` are certificates in PEM that are trusted instead of the system's.
    pub fn new(field: &str, probe: Option<HttpProbe>, ca: Option<&str>) -> Result<Self, Failure> {
        let client = Client::builder()
            .tls_backend_preconfigured(crate::notify::trust(ca)?)
            // A redirection would carry the key to another place than the one that was declared, as a proxy would.
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(Outside))
            .no_proxy()
            .retry(reqwest::retry::never())
            .timeout(PATIENCE)
            .referer(false)
            .user_agent("coffre")
            .build()
            .map_err(|_| Failure::config("the client for probes cannot be made"))?;
        Ok(Self { field: field.to_owned(), probe, client })
    }

    /// Asks the service what it thinks of a key. `None`: there is no probe.
    pub async fn ask(&self, key: &SecretText) -> Result<Option<Answer>, Failure> {
        let Some(probe) = &self.probe else { return Ok(None) };
        let method = Method::from_bytes(probe.method.as_bytes());
        let method = method.map_err(|_| Failure::config("the probe's method is not one"))?;
        // EXPOSE: where the probe declares it, and nowhere else.
        let url = Url::parse(fill(&probe.url, key).expose());
        let url = url.map_err(|_| Failure::config("the probe's address is not a URL"))?;
        if !(outbound::is_here(&url) || outbound::may_be_outside(&url)) {
            return Err(Failure::config(
                "the probe's address leads to this machine's link or a cloud's metadata",
            ));
        }
        let mut request = self.client.request(method, url);
        for (name, value) in &probe.headers {
            // EXPOSE: as above.
            let value = reqwest::header::HeaderValue::from_str(fill(value, key).expose());
            let mut value =
                value.map_err(|_| Failure::permanent("the key has characters that no header may have"))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        if let Some(body) = &probe.body {
            // EXPOSE: as above.
            request = request.body(fill(body, key).expose().clone());
        }
        // Without the address, which may hold the key.
        let answer = request.send().await.map_err(|error| unreached(&error.without_url()))?;
        let status = answer.status().as_u16();
        Ok(Some(match status {
            _ if probe.expect.contains(&status) => Answer::Accepted,
            _ if probe.refused.contains(&status) => Answer::Refused,
            _ => Answer::Other(status),
        }))
    }

    fn key_of(&self, document: Option<&Document>) -> Result<SecretText, Failure> {
        let found =
            document.and_then(|document| document.field(&self.field).or_else(|| document.field("value")));
        found.ok_or_else(|| Failure::config(format!("the document has no text in its field {}", self.field)))
    }

    fn document(&self, at: &At<'_>, gen_no: u64, key: &SecretText) -> Document {
        let before = at.document.map(Document::duplicate).unwrap_or_default();
        let document = before.with("value", key).with(&self.field, key);
        document.with_plain("schema", "credential/1").with_plain("gen", gen_no)
    }

    async fn accepted(&self, key: &SecretText) -> Result<bool, Failure> {
        match self.ask(key).await? {
            None | Some(Answer::Accepted) => Ok(true),
            Some(Answer::Refused) => Ok(false),
            Some(Answer::Other(status)) => Err(unclear(status)),
        }
    }

    /// The old key: of the record, else of the last document that had it.
    fn old_key(&self, at: &At<'_>, gen_no: u64) -> Result<SecretText, Failure> {
        at.old_material(gen_no).map_or_else(|| self.key_of(at.earlier), |material| Ok(material.duplicate()))
    }
}

impl Target for ExternalKey {
    fn kind(&self) -> Kind {
        Kind::External
    }

    fn prepare<'a>(&'a self, _at: At<'a>) -> BoxFuture<'a, Result<Pending, Failure>> {
        let failure = Failure::config("the key of an outside service is made there, by a person")
            .advise("Make a new key at the service, then `coffre rotate provide` it.");
        Box::pin(std::future::ready(Err(failure)))
    }

    fn provide<'a>(&'a self, at: At<'a>, material: SecretText) -> BoxFuture<'a, Result<Pending, Failure>> {
        Box::pin(async move {
            // EXPOSE: what a shell or an editor put at the end is taken off.
            let key = SecretText::from(material.expose().trim_end_matches(['\r', '\n']));
            // EXPOSE: its form is looked at.
            if key.is_empty() || key.len() > LONGEST || key.expose().chars().any(|each| each == '\0') {
                let what = "the key is empty, longer than 64 KiB, or has a zero byte";
                return Err(Failure::permanent(what)
                    .advise("Nothing was changed. Give the key as the service shows it, and nothing else."));
            }
            // EXPOSE: compared in constant time.
            let same = self.key_of(at.document).is_ok_and(|active| active.ct_eq(key.expose().as_bytes()));
            if same {
                return Err(Failure::permanent("that is the key which is in use already").advise(
                    "Nothing was changed. Have another one issued by the service, then provide that.",
                ));
            }
            Ok(Pending { gen_no: at.next_gen(), principal: None, material: key, created: at.now })
        })
    }

    fn verify<'a>(&'a self, _at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            match self.accepted(&pending.material).await? {
                true => Ok(()),
                false => Err(Failure::permanent("the service refuses the new key")
                    .advise("Make another key at the service, then `coffre rotate provide` it.")),
            }
        })
    }

    fn promote(&self, at: At<'_>, pending: &Pending) -> Result<Document, Failure> {
        Ok(self.document(&at, pending.gen_no, &pending.material))
    }

    /// A person revokes the key at its service.
    fn retire<'a>(&'a self, _at: At<'a>, _gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn undo<'a>(
        &'a self,
        _at: At<'a>,
        _pending: &'a Pending,
    ) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn rollback(&self, at: At<'_>, gen_no: u64) -> Result<Document, Failure> {
        Ok(self.document(&at, gen_no, &self.old_key(&at, gen_no)?))
    }

    fn works<'a>(&'a self, at: At<'a>, which: Which<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            match which {
                Which::Active => self.accepted(&self.key_of(at.document)?).await,
                Which::Pending(pending) => self.accepted(&pending.material).await,
                Which::Earlier => self.accepted(&self.key_of(at.earlier)?).await,
            }
        })
    }

    /// The negative probe. Only a status that was declared for revoked keys is believed: a service that is down, or
    /// counts our requests, has not said that the key is revoked.
    fn revoked<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            match self.ask(&self.old_key(&at, gen_no)?).await? {
                None | Some(Answer::Refused) => Ok(true),
                Some(Answer::Accepted) => Ok(false),
                Some(Answer::Other(status)) => Err(unclear(status)),
            }
        })
    }

    fn check<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async move {
            if at.document.is_none() {
                return Vec::new();
            }
            match self.works(at, Which::Active).await {
                Ok(true) => Vec::new(),
                Ok(false) => vec!["its service refuses the key that is in use now".to_owned()],
                Err(failure) => vec![failure.to_string()],
            }
        })
    }
}

/// Too many requests and a server's own troubles pass; other statuses say that the probe is not the right one.
fn unclear(status: u16) -> Failure {
    let message =
        format!("the probe got status {status}, which is declared neither for good nor for revoked keys");
    match status {
        408 | 425 | 429 | 500..=599 => Failure::transient(message),
        _ => Failure::config(message)
            .advise("Correct the probe's `expect` and `refused`, then `coffre rotate resume`."),
    }
}

fn unreached(error: &reqwest::Error) -> Failure {
    let what = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
    Failure::transient(format!("the service of the probe {what}"))
}
