use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::any_client::AnyClient;
use super::error::TlsError;
use crate::config::{ClientCerts, Tls, TlsVersion};

/// A listener's TLS, whose certificate can be exchanged while it runs. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    settings: Tls,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// The certificate of the next handshake.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ServerTls {
    /// Reads certificate, key and (if required of clients) anchors.
    pub fn open(settings: &Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = read_pair(settings, &provider)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(pair)));
        let verifier = client_verifier(&settings.client_certs, &provider)?;
        let config = configuration(&provider, settings.min_version, verifier, Arc::clone(&current) as _)?;
        Ok(Self { settings: settings.clone(), provider, current, config })
    }

    /// For the listener. Handshakes take the certificate that is current when they begin.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Reads certificate and key again (SIGHUP). If they cannot be used, the ones before stay. Anchors for clients and
    /// versions are read at start alone.
    pub fn reload(&self) -> Result<(), TlsError> {
        let pair = read_pair(&self.settings, &self.provider)?;
        self.current.0.store(Arc::new(pair));
        Ok(())
    }
}

/// The configuration of one fixed certificate without client certificates; for `-dev-tls`.
pub(super) fn fixed(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let pair = CertifiedKey::from_der(chain, key, &provider).map_err(TlsError::Setup)?;
    let current = Arc::new(Current(ArcSwap::from_pointee(pair)));
    configuration(&provider, TlsVersion::V12, Arc::new(AnyClient::new(&provider)), current)
}

fn configuration(
    provider: &Arc<CryptoProvider>,
    oldest: TlsVersion,
    verifier: Arc<dyn ClientCertVerifier>,
    current: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[&SupportedProtocolVersion] = match oldest {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider));
    let builder = builder.with_protocol_versions(versions).map_err(TlsError::Setup)?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(current);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn client_verifier(
    wanted: &ClientCerts,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let ca_file = match wanted {
        ClientCerts::Ignore => return Ok(Arc::new(NoClientAuth)),
        ClientCerts::Request => return Ok(Arc::new(AnyClient::new(provider))),
        ClientCerts::Require { ca_file } => ca_file,
    };
    let anchors = |source: Box<dyn std::error::Error + Send + Sync>| TlsError::Anchors {
        path: ca_file.clone(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(ca_file)? {
        roots.add(certificate).map_err(|e| anchors(Box::new(e)))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let verifier = builder.build().map_err(|e| anchors(Box::new(e)))?;
    Ok(verifier)
}

fn read_pair(settings: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(&settings.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key_file)
        .map_err(|e| unreadable(&settings.key_file, "private key", e))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Pair {
        cert: settings.cert_file.clone(),
        key: settings.key_file.clone(),
        source,
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |e| unreadable(path, "certificate", e);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect();
    let chain = chain.map_err(wrong)?;
    if chain.is_empty() {
        return Err(TlsError::NoPem { path: path.to_owned(), what: "certificate", source: None });
    }
    Ok(chain)
}

fn unreadable(path: &Path, what: &'static str, error: pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::Unreadable { path, source },
        other => TlsError::NoPem { path, what, source: Some(Box::new(other)) },
    }
}
