use std::fmt;
use std::io;
use std::sync::Arc;

use coffre_core::ReviewError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Trust in these certificates and no others.
pub(super) fn config(ca_pem: &str) -> Result<Arc<ClientConfig>, ReviewError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Anchored::new(ca_pem, &provider).ok_or(ReviewError::Anchors)?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|_| ReviewError::Anchors)?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(Arc::new(config.with_no_client_auth()))
}

/// What a failed handshake means.
pub(super) fn class(error: &io::Error) -> ReviewError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    if matches!(cause, Some(Error::InvalidCertificate(_))) {
        ReviewError::Untrusted
    } else {
        ReviewError::Unreachable
    }
}

/// webpki's own rules; besides, a server's certificate that is itself an anchor is good.
struct Anchored {
    anchors: Vec<CertificateDer<'static>>,
    inner: Arc<WebPkiServerVerifier>,
}

impl Anchored {
    fn new(pem: &str, provider: &Arc<CryptoProvider>) -> Option<Self> {
        let anchors: Vec<_> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
        let mut store = RootCertStore::empty();
        for anchor in &anchors {
            store.add(anchor.clone()).ok()?;
        }
        // Without any anchor it refuses to be built.
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        Some(Self { anchors, inner: inner.build().ok()? })
    }
}

impl fmt::Debug for Anchored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchored").field("anchors", &self.anchors.len()).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Anchored {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.inner.verify_server_cert(leaf, intermediates, name, ocsp, now) {
            // Small clusters have a self-signed certificate marked as a CA, which is its own anchor; path building
            // (RFC 5280) refuses that form alone. It looks at dates first.
            Err(Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::UnknownIssuer))
                if self.anchors.iter().any(|anchor| anchor.as_ref() == leaf.as_ref()) =>
            {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
