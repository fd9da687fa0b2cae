use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_ambient::Wall;
use coffre_crypto::digest;
use coffre_crypto::mac;
use coffre_rotation::EventKind;
use coffre_secret::{SecretText, SecretVec};
use reqwest::{Client, Url};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::Notice;
use super::channel::Refusal;
use super::notice::word;
use crate::Failure;
use crate::outbound::{self, Outside};

/// Of one request, connecting included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An address that gets a `POST` with a JSON body for each notice, signed as Standard Webhooks says
/// (<https://www.standardwebhooks.com>): `webhook-id` is the notice's key as a hash, `webhook-timestamp` seconds since
/// 1970, `webhook-signature` `v1,` and the base64 of HMAC-SHA-256 over `<id>.<timestamp>.<body>`. Any 2xx takes it;
/// redirects are not followed.
#[derive(Debug)]
pub struct Webhook {
    /// `https://…`, or `http://` on this machine. May itself be a secret.
    pub url: SecretText,
    /// Whether it may be on this machine: if whoever set the engine up wrote it, and it does not come from a document.
    /// Other addresses of this machine's own, as link-local ones and the metadata of clouds, never are.
    pub may_be_here: bool,
    /// The key: `whsec_` and base64, or any text. Without it requests are not signed.
    pub key: Option<SecretText>,
    /// What it is told; empty: [`USUAL`](super::USUAL).
    pub events: Vec<EventKind>,
    /// PEM with the only trust anchors; the system's without.
    pub ca: Option<String>,
}

/// A webhook that was checked.
pub(super) struct Sender {
    url: Url,
    key: Option<SecretVec>,
    client: Client,
}

impl Sender {
    pub(super) fn new(settings: Webhook) -> Result<Self, Failure> {
        // EXPOSE: parsed; the address is shown without path and query, where secrets are.
        let url = Url::parse(settings.url.expose())
            .map_err(|_| Failure::config("a webhook's address is not a URL"))?;
        let local = settings.may_be_here && outbound::is_here(&url);
        if !(local || outbound::may_be_outside(&url)) {
            return Err(Failure::config(
                "a webhook's address leads to this machine, to its link or to a cloud's metadata; only coffre.toml may name this machine",
            ));
        }
        if !(url.scheme() == "https" || url.scheme() == "http" && local) {
            return Err(Failure::config(
                "a webhook's address begins with https:// (http:// only on this machine)",
            ));
        }
        let tls = trust(settings.ca.as_deref())?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(Outside))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(TIMEOUT)
            .user_agent("coffre")
            .build()
            .map_err(|_| Failure::config("a webhook's TLS settings are not usable"))?;
        let key = settings.key.as_ref().map(key).transpose()?;
        Ok(Self { url, key, client })
    }

    /// For messages: only the host, because the path can be a secret.
    pub(super) fn name(&self) -> String {
        format!("webhook at {}", self.url.host_str().unwrap_or("?"))
    }

    pub(super) async fn send(&self, notice: &Notice, now: Wall) -> Result<(), Refusal> {
        let body = notice.json();
        let id = format!("msg_{}", short(notice.key()));
        let stamp = now.secs().to_string();
        let mut request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("coffre-event", word(notice.event()))
            .header("webhook-id", &id)
            .header("webhook-timestamp", &stamp);
        if let Some(key) = &self.key {
            // EXPOSE: the tag is made with the key.
            let tag =
                mac::tag_under(mac::Hash::Sha256, key.expose(), format!("{id}.{stamp}.{body}").as_bytes());
            request = request.header("webhook-signature", format!("v1,{}", STANDARD.encode(tag)));
        }
        // The cause names the address, which may be a secret.
        let answer =
            request.body(body).send().await.map_err(|cause| Refusal::Later(network(&cause).to_owned()))?;
        // The body is nobody's business and may be endless: it is not read.
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            status @ (408 | 425 | 429 | 500..=599) => Err(Refusal::Later(format!("it answered {status}"))),
            status @ 300..=399 => Err(Refusal::Never(format!(
                "it answered {status}, a redirect, which is not followed: name the address that it leads to"
            ))),
            status => Err(Refusal::Never(format!("it answered {status}"))),
        }
    }
}

/// 16 bytes of a key's digest, in hexadecimal.
pub(super) fn short(key: &str) -> String {
    digest::hex(digest::sha256(key.as_bytes()).get(..16).unwrap_or_default())
}

fn network(cause: &reqwest::Error) -> &'static str {
    if cause.is_timeout() {
        "it did not answer in time"
    } else if cause.is_connect() {
        "it cannot be reached"
    } else {
        "the connection failed"
    }
}

fn key(key: &SecretText) -> Result<SecretVec, Failure> {
    // EXPOSE: decoded; the result is wrapped again.
    let text = key.expose().trim_end();
    let bytes = match text.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).map_err(|_| {
            Failure::config("a webhook's key begins with whsec_, but what follows is not base64")
        })?,
        None => text.as_bytes().to_vec(),
    };
    if bytes.len() < 16 {
        return Err(Failure::config("a webhook's key has fewer than 16 bytes; draw a random one"));
    }
    Ok(SecretVec::new(bytes))
}

/// Whom to trust: the certificates in `ca` (PEM) alone, else the system's.
pub(crate) fn trust(ca: Option<&str>) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let unusable = || Failure::config("the CA certificate of a webhook or probe is not usable");
    let config = config.with_safe_default_protocol_versions().map_err(|_| unusable())?;
    let config = if let Some(pem) = ca {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            store.add(certificate.map_err(|_| unusable())?).map_err(|_| unusable())?;
        }
        if store.is_empty() {
            return Err(unusable());
        }
        config.with_root_certificates(store)
    } else {
        let system = rustls_platform_verifier::Verifier::new(provider)
            .map_err(|_| Failure::config("the system has no trust anchors; give a CA certificate"))?;
        config.dangerous().with_custom_certificate_verifier(Arc::new(system))
    };
    Ok(config.with_no_client_auth())
}
