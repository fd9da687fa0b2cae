use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_secret::SecretText;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsError;
use super::server::fixed;

/// A certificate for a development server, below an authority of its own that signs nothing else: the authority's key
/// is dropped when this is made.
pub struct DevCertificate {
    /// What clients are told to trust (`VAULT_CACERT`), PEM.
    pub ca_pem: String,
    /// The server's certificate, PEM.
    pub cert_pem: String,
    /// Its key, PEM.
    pub key_pem: SecretText,
}

const DAY: u64 = 86_400;
/// How long it is valid.
const DAYS: u64 = 30;

impl DevCertificate {
    /// Makes one for these names and addresses, valid from a day before `now` for thirty days. Keys are ECDSA P-256
    /// from the library's own randomness.
    pub fn make(names: &[String], now: Wall) -> Result<Self, TlsError> {
        let ca_key = KeyPair::generate().map_err(TlsError::Made)?;
        let mut ca = parameters(Vec::new(), now)?;
        ca.distinguished_name.push(DnType::CommonName, "Coffre development CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca_pem = ca.self_signed(&ca_key).map_err(TlsError::Made)?.pem();
        let key = KeyPair::generate().map_err(TlsError::Made)?;
        let mut leaf = parameters(names.to_vec(), now)?;
        leaf.distinguished_name.push(DnType::CommonName, "coffre");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).map_err(TlsError::Made)?;
        Ok(Self { ca_pem, cert_pem: certificate.pem(), key_pem: SecretText::new(key.serialize_pem()) })
    }

    /// For the listener.
    pub fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let made = |what| TlsError::NoPem { path: "the new certificate".into(), what, source: None };
        let chain =
            CertificateDer::from_pem_slice(self.cert_pem.as_bytes()).map_err(|_| made("certificate"))?;
        // EXPOSE: the listener signs its handshakes with it.
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.expose().as_bytes()).map_err(|_| made("key"))?;
        fixed(vec![chain], key)
    }
}

fn parameters(names: Vec<String>, now: Wall) -> Result<CertificateParams, TlsError> {
    let mut parameters = CertificateParams::new(names).map_err(TlsError::Made)?;
    let start = Wall::from_secs(now.secs().saturating_sub(DAY));
    let (year, month, day) = date(start);
    parameters.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date(start.plus(Duration::from_secs(DAYS * DAY)));
    parameters.not_after = rcgen::date_time_ymd(year, month, day);
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    Ok(parameters)
}

/// Year, month and day in UTC; RFC 3339 begins with them.
fn date(wall: Wall) -> (i32, u8, u8) {
    let text = wall.rfc3339();
    let mut parts = text.get(..10).unwrap_or_default().split('-');
    let mut next = || parts.next().unwrap_or_default();
    (next().parse().unwrap_or(1970), next().parse().unwrap_or(1), next().parse().unwrap_or(1))
}
