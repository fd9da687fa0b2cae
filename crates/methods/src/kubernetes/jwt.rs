//! A service account's token, checked against public keys (RFC 7515, RFC 7519; Kubernetes documentation, "Managing
//! service accounts").

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffre_ambient::Wall;
use coffre_crypto::signature::{self, Scheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::Deserialize;

/// The largest token.
const MOST: usize = 64 * 1024;
/// How far the cluster's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(60);

/// What must be true of a token besides its signature.
pub(super) struct Wanted<'a> {
    /// Empty is anything.
    pub(super) audience: &'a str,
    /// `None` is anybody.
    pub(super) issuer: Option<&'a str>,
    pub(super) now: Wall,
}

/// Whose token it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// Tokens of old clusters name the secret that holds them; else empty.
    pub(super) secret: String,
}

/// A public key in PEM, or the one in a certificate, as DER; `None` if it is none that can be used. A certificate is
/// only the paper on which the key is written: its dates and names do not count.
pub(super) fn public_key(pem: &str) -> Option<Vec<u8>> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok().map(|der| der.to_vec());
    let der = key.or_else(|| {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
        Some(certificate.subject_public_key_info().to_vec())
    })?;
    signature::is_usable(&der).then_some(der)
}

/// Whose token it is, if one of the keys signed it and it is good now. Nobody learns why not.
pub(super) fn check(token: &str, pem_keys: &[String], wanted: &Wanted<'_>) -> Option<Account> {
    let token = token.trim();
    if token.len() > MOST {
        return None;
    }
    let (signed, sent_signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let scheme = Scheme::parse(&header.alg)?;
    if header.crit.is_some() || !header.kid.as_deref().is_none_or(is_plain) {
        return None;
    }
    let sent_signature = URL_SAFE_NO_PAD.decode(sent_signature).ok()?;
    let mut keys = pem_keys.iter().filter_map(|pem| public_key(pem));
    if !keys.any(|key| signature::verify(scheme, &key, signed.as_bytes(), &sent_signature)) {
        return None;
    }
    // Only what was signed is read.
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    (claims.exp.is_some() && claims.is_good(wanted)).then_some(())?;
    claims.account()
}

/// Whose token it says it is, if it can still be good: nobody has vouched for it. Tokens of old clusters have no end.
pub(super) fn claimed(token: &str, wanted: &Wanted<'_>) -> Option<Account> {
    if token.len() > MOST {
        return None;
    }
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims.is_good(wanted).then_some(())?;
    claims.account()
}

/// A key's name is not looked up anywhere; one that looks like a path or a query is not from a cluster.
fn is_plain(kid: &str) -> bool {
    kid.len() <= 256 && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=+:".contains(&byte))
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that a reader must understand: we understand none.
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audiences,
    /// Seconds since 1970.
    #[serde(default)]
    exp: Option<u64>,
    #[serde(default)]
    nbf: u64,
    #[serde(default, rename = "kubernetes.io")]
    bound: Option<Bound>,
    #[serde(default, rename = "kubernetes.io/serviceaccount/namespace")]
    namespace: String,
    #[serde(default, rename = "kubernetes.io/serviceaccount/service-account.name")]
    name: String,
    #[serde(default, rename = "kubernetes.io/serviceaccount/service-account.uid")]
    uid: String,
    #[serde(default, rename = "kubernetes.io/serviceaccount/secret.name")]
    secret: String,
}

/// Tokens of present clusters.
#[derive(Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    uid: String,
}

/// One, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Claims {
    fn is_good(&self, wanted: &Wanted<'_>) -> bool {
        let audiences = match &self.aud {
            Audiences::One(one) => std::slice::from_ref(one),
            Audiences::Several(several) => several,
        };
        let is_for_us = wanted.audience.is_empty() || audiences.iter().any(|aud| aud == wanted.audience);
        let has_begun = Wall::from_secs(self.nbf) <= wanted.now.plus(LEEWAY);
        let has_ended = self.exp.is_some_and(|exp| Wall::from_secs(exp).plus(LEEWAY) <= wanted.now);
        let is_from_them = wanted.issuer.is_none_or(|issuer| issuer == self.iss);
        is_for_us && has_begun && !has_ended && is_from_them
    }

    /// The account, if all that the token says of it agrees.
    fn account(self) -> Option<Account> {
        let account = match self.bound {
            Some(Bound { namespace, serviceaccount: Named { name, uid } }) => {
                Account { namespace, name, uid, secret: String::new() }
            }
            None => {
                Account { namespace: self.namespace, name: self.name, uid: self.uid, secret: self.secret }
            }
        };
        let is_whole = ![&account.namespace, &account.name, &account.uid].iter().any(|part| part.is_empty());
        (is_whole && self.sub == account.user()).then_some(account)
    }
}

impl Account {
    /// The name that the cluster gives it as a user.
    pub(super) fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}
