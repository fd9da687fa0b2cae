//! TLS to databases: aws-lc, TLS 1.2 and 1.3, and a choice of what is verified.

use std::fmt;
use std::sync::Arc;

use coffre_secret::SecretText;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use crate::{Error, ErrorKind, Tls};

/// What of a server's certificate is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Its chain and its name (PostgreSQL's `verify-full`).
    Full,
    /// Its chain only (PostgreSQL's `verify-ca`).
    Chain,
    /// Nothing: whoever is in between reads along (`insecure_tls`, PostgreSQL's `require` without anchors).
    Nothing,
}

/// The client's side of TLS by these settings. [`ErrorKind::Invalid`] if a certificate or key cannot be read.
pub(crate) fn client_config(tls: &Tls, verify: Verify) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new(tls.ca.as_deref(), verify, Arc::clone(&provider))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| invalid("TLS is not available"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &tls.client {
        None => config.with_no_client_auth(),
        Some(pem) => {
            let (chain, key) = identity(pem)?;
            let config = config.with_client_auth_cert(chain, key);
            config.map_err(|_| invalid("the client certificate and its key do not fit"))?
        }
    };
    Ok(Arc::new(config))
}

/// A host name or address, as TLS names it.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned())
        .map_err(|_| invalid("the host is no name that a certificate could have"))
}

fn identity(pem: &SecretText) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    // EXPOSE: the TLS library reads certificate and key from the PEM.
    let pem = pem.expose().as_bytes();
    let chain = certificates(pem, "the client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        invalid("there is no private key beside the client certificate; put both into one PEM")
    })?;
    Ok((chain, key))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(invalid(&format!("{what} holds no certificate in PEM form"))),
    }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// webpki's own rules, less what [`Verify`] leaves out; besides, a server's certificate that is itself an anchor is good.
struct Verifier {
    anchors: Vec<CertificateDer<'static>>,
    inner: Option<Arc<dyn ServerCertVerifier>>,
    verify: Verify,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(ca: Option<&str>, verify: Verify, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let anchors = ca.map_or(Ok(Vec::new()), |pem| certificates(pem.as_bytes(), "the CA certificate"))?;
        let inner: Option<Arc<dyn ServerCertVerifier>> = if verify == Verify::Nothing {
            None
        } else if anchors.is_empty() {
            let system = rustls_platform_verifier::Verifier::new(Arc::clone(&provider));
            Some(Arc::new(
                system.map_err(|_| invalid("the system has no trust anchors; give a CA certificate"))?,
            ))
        } else {
            let mut store = RootCertStore::empty();
            for anchor in &anchors {
                store.add(anchor.clone()).map_err(|_| invalid("a CA certificate is not usable"))?;
            }
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
            Some(inner.build().map_err(|_| invalid("the CA certificates are not usable"))?)
        };
        Ok(Self { anchors, inner, verify, provider })
    }

    /// What webpki's refusal comes to, with what was asked for.
    fn forgives(
        &self,
        refused: &TlsError,
        leaf: &CertificateDer<'_>,
        name: &ServerName<'_>,
    ) -> Result<bool, TlsError> {
        let TlsError::InvalidCertificate(why) = refused else { return Ok(false) };
        match why {
            // Chain and dates were looked at before the name.
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Ok(self.verify == Verify::Chain)
            }
            // Many databases have a self-signed certificate marked as a CA, which is its own anchor; path building
            // (RFC 5280) refuses that form alone. It looks at dates first.
            CertificateError::Other(_) | CertificateError::UnknownIssuer
                if self.anchors.iter().any(|anchor| anchor.as_ref() == leaf.as_ref()) =>
            {
                if self.verify == Verify::Full {
                    rustls::client::verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("verify", &self.verify).finish_non_exhaustive()
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
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(leaf, intermediates, name, ocsp, now) {
            Err(refused) if self.forgives(&refused, leaf, name)? => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
