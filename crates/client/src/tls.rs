//! Which servers are trusted.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use crate::{Error, ErrorKind};

/// What the caller configured about TLS; nothing is read or checked before [`TlsSettings::build`].
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsSettings {
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) ca_dir: Option<PathBuf>,
    pub(crate) ca_pem: Option<Vec<u8>>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
    pub(crate) skip_verify: bool,
}

impl TlsSettings {
    /// The configuration for reqwest. `https` says whether trust anchors will be needed at all.
    pub(crate) fn build(&self, https: bool) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = self.verifier(https, &provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| settings("TLS versions").caused_by(cause))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        match (&self.client_cert, &self.client_key) {
            (None, None) => Ok(config.with_no_client_auth()),
            (Some(cert), Some(key)) => {
                let chain = certificates(&read(cert)?, &cert.display().to_string())?;
                let key = PrivateKeyDer::from_pem_slice(&read(key)?)
                    .map_err(|_| settings(format!("no private key in {}", key.display())))?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|cause| settings("client certificate and key do not fit").caused_by(cause))
            }
            _ => Err(settings("a client certificate needs both the certificate and its key")),
        }
    }

    fn verifier(&self, https: bool, provider: &Arc<CryptoProvider>) -> Result<Verifier, Error> {
        let name = match &self.server_name {
            None => None,
            Some(name) => Some(
                ServerName::try_from(name.clone())
                    .map_err(|_| settings(format!("`{name}` is not a TLS server name")))?,
            ),
        };
        let anchors = self.anchors()?;
        let trust = if self.skip_verify {
            Trust::Anybody
        } else if !anchors.is_empty() {
            Trust::Configured(from_anchors(&anchors, provider)?)
        } else if https {
            let system = rustls_platform_verifier::Verifier::new(Arc::clone(provider)).map_err(|cause| {
                settings("the system has no trust anchors; give a CA file").caused_by(cause)
            })?;
            Trust::Configured(Arc::new(system))
        } else {
            Trust::Nobody
        };
        Ok(Verifier { trust, anchors, name, provider: Arc::clone(provider) })
    }

    fn anchors(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let mut anchors = Vec::new();
        if let Some(pem) = &self.ca_pem {
            anchors.extend(certificates(pem, "the CA bytes")?);
        }
        if let Some(file) = &self.ca_file {
            anchors.extend(certificates(&read(file)?, &file.display().to_string())?);
        }
        if let Some(dir) = &self.ca_dir {
            let entries = std::fs::read_dir(dir)
                .map_err(|cause| settings(format!("cannot read {}", dir.display())).caused_by(cause))?;
            for path in
                entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_file())
            {
                // A directory of anchors may hold other files too.
                anchors.extend(certificates(&read(&path)?, "").unwrap_or_default());
            }
            if anchors.is_empty() {
                return Err(settings(format!("no certificate in {}", dir.display())));
            }
        }
        Ok(anchors)
    }
}

fn from_anchors(
    anchors: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let mut store = RootCertStore::empty();
    for anchor in anchors {
        store
            .add(anchor.clone())
            .map_err(|cause| settings("a CA certificate is not usable").caused_by(cause))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|cause| settings("the CA certificates are not usable").caused_by(cause))?;
    Ok(verifier)
}

fn certificates(pem: &[u8], from: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(settings(format!("no certificate in {from}"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|cause| settings(format!("cannot read {}", path.display())).caused_by(cause))
}

fn settings(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "prepare TLS").message(message)
}

enum Trust {
    Configured(Arc<dyn ServerCertVerifier>),
    /// The caller asked for no verification; the command line warns about it.
    Anybody,
    /// The address is plain http, so no certificate can be right.
    Nobody,
}

struct Verifier {
    trust: Trust,
    anchors: Vec<CertificateDer<'static>>,
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("anchors", &self.anchors.len()).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let name = self.name.as_ref().unwrap_or(name);
        let inner = match &self.trust {
            Trust::Anybody => return Ok(ServerCertVerified::assertion()),
            Trust::Nobody => return Err(CertificateError::UnknownIssuer.into()),
            Trust::Configured(inner) => inner,
        };
        let refused = match inner.verify_server_cert(leaf, intermediates, name, ocsp, now) {
            Ok(verified) => return Ok(verified),
            Err(refused) => refused,
        };
        // Many servers run with a self-signed certificate marked as a CA, which is its own anchor. RFC 5280 path
        // building refuses that form; the anchor's bytes are the proof here. webpki checks dates before it looks at
        // the form, so an expired one has already been refused for that.
        if self.anchors.iter().any(|anchor| anchor.as_ref() == leaf.as_ref()) && !about_dates(&refused) {
            rustls::client::verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        Err(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn about_dates(error: &TlsError) -> bool {
    matches!(
        error,
        TlsError::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    )
}
