//! Handshakes in memory: which clients and certificates get through, and what a reload leaves in place.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use coffre_ambient::{Clock, SystemClock};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::config::{ClientCerts, Tls, TlsVersion};

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// What a handshake came to: the version, and the client's chain as the server saw it.
type Shaken = Result<(ProtocolVersion, Vec<CertificateDer<'static>>, Vec<CertificateDer<'static>>), String>;

/// Shakes hands, sends a byte each way, and tells the server's view of the client and the client's of the server.
async fn shake(server: Arc<ServerConfig>, client: ClientConfig) -> Shaken {
    let (near, far) = tokio::io::duplex(64 << 10);
    let accepting = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await.map_err(|e| format!("server: {e}"))?;
        let byte = stream.read_u8().await.map_err(|e| e.to_string())?;
        stream.write_u8(byte).await.map_err(|e| e.to_string())?;
        stream.flush().await.map_err(|e| e.to_string())?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        Ok::<_, String>((stream.get_ref().1.protocol_version().unwrap(), chain))
    };
    let connecting = async {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(name, near).await.map_err(|e| format!("client: {e}"))?;
        stream.write_u8(7).await.map_err(|e| e.to_string())?;
        stream.flush().await.map_err(|e| e.to_string())?;
        stream.read_u8().await.map_err(|e| e.to_string())?;
        Ok::<_, String>(stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec())
    };
    let (server, client) = tokio::join!(accepting, connecting);
    let (version, seen) = server?;
    Ok((version, seen, client?))
}

fn dev() -> DevCertificate {
    DevCertificate::make(&["localhost".into(), "127.0.0.1".into()], SystemClock.wall()).unwrap()
}

fn client(ca_pem: &str, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    client_presenting(ca_pem, versions, None)
}

fn client_presenting(
    ca_pem: &str,
    versions: &[&'static SupportedProtocolVersion],
    pair: Option<Arc<CertifiedKey>>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    match pair {
        Some(pair) => builder.with_client_cert_resolver(Arc::new(Presents(pair))),
        None => builder.with_no_client_auth(),
    }
}

/// A client that presents whatever it has.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesClientCert for Presents {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn presenting(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<CertifiedKey> {
    let provider = aws_lc_rs::default_provider();
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = provider.key_provider.load_private_key(der).unwrap();
    Arc::new(CertifiedKey::new(vec![certificate], key))
}

/// Writes a development server's files and returns the settings that name them.
fn files(folder: &Path, made: &DevCertificate, client_certs: ClientCerts) -> Tls {
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&cert_file, &made.cert_pem).unwrap();
    fs::write(&key_file, made.key_pem.expose()).unwrap();
    Tls { cert_file, key_file, min_version: TlsVersion::V12, client_certs }
}

#[tokio::test]
async fn the_development_certificate_is_trusted_through_its_authority_alone() {
    let made = dev();
    for version in BOTH {
        let (_, seen, _) = shake(made.config().unwrap(), client(&made.ca_pem, &[version])).await.unwrap();
        assert!(seen.is_empty(), "the client has no certificate");
    }
    assert!(shake(made.config().unwrap(), client(&dev().ca_pem, &BOTH)).await.is_err());
    assert!(DevCertificate::make(&["exämple".into()], SystemClock.wall()).is_err());
}

#[tokio::test]
async fn l1_the_oldest_version_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let made = dev();
    let mut settings = files(folder.path(), &made, ClientCerts::Ignore);
    settings.min_version = TlsVersion::V13;
    let server = ServerTls::open(&settings).unwrap();
    assert!(shake(server.config(), client(&made.ca_pem, &[&rustls::version::TLS12])).await.is_err());
    let (version, ..) = shake(server.config(), client(&made.ca_pem, &BOTH)).await.unwrap();
    assert_eq!(version, ProtocolVersion::TLSv1_3);
}

/// A certificate of X.509 version 1: the same fields without version and extensions. Its signature is worthless, as that
/// of a self-signed certificate is to whoever does not know it.
fn version_1(key: &KeyPair) -> CertificateDer<'static> {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let der = parameters.self_signed(key).unwrap().der().to_vec();
    let (outer, tbs) = (content(&der), content(content(&der)));
    let after_tbs = &outer[element_length(outer)..];
    let mut fields = Vec::new();
    let mut rest = tbs;
    while !rest.is_empty() {
        let (field, after) = rest.split_at(element_length(rest));
        if !matches!(field[0], 0xa0 | 0xa3) {
            fields.extend_from_slice(field);
        }
        rest = after;
    }
    let mut body = sequence(&fields);
    body.extend_from_slice(after_tbs);
    CertificateDer::from(sequence(&body))
}

fn header_length(der: &[u8]) -> usize {
    if der[1] < 0x80 { 2 } else { 2 + usize::from(der[1] & 0x7f) }
}

fn element_length(der: &[u8]) -> usize {
    let header = header_length(der);
    let content = if header == 2 {
        usize::from(der[1])
    } else {
        der[2..header].iter().fold(0, |n, b| n << 8 | usize::from(*b))
    };
    header + content
}

fn content(der: &[u8]) -> &[u8] {
    &der[header_length(der)..element_length(der)]
}

fn sequence(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[0x30, 0x82, length[0], length[1]], content].concat()
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_and_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let made = dev();
    let server = ServerTls::open(&files(folder.path(), &made, ClientCerts::Request)).unwrap();
    let ec = KeyPair::generate().unwrap();
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    for key in [&ec, &p384, &rsa] {
        let certificate = version_1(key);
        assert!(rustls::server::ParsedCertificate::try_from(&certificate).is_err(), "webpki refuses it");
        for version in BOTH {
            let config =
                client_presenting(&made.ca_pem, &[version], Some(presenting(certificate.clone(), key)));
            let (_, seen, _) = shake(server.config(), config).await.unwrap();
            assert_eq!(seen, std::slice::from_ref(&certificate), "the login method sees it");
        }
    }
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let made = dev();
    let server = ServerTls::open(&files(folder.path(), &made, ClientCerts::Request)).unwrap();
    let (victim, thief) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    for (certificate, key) in [
        (version_1(&victim), &thief),
        (version_1(&rsa), &thief),
        (CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]), &thief),
        (CertificateDer::from(Vec::new()), &thief),
    ] {
        for version in BOTH {
            let config =
                client_presenting(&made.ca_pem, &[version], Some(presenting(certificate.clone(), key)));
            assert!(shake(server.config(), config).await.is_err());
        }
    }
}

#[tokio::test]
async fn l3_a_required_certificate_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let made = dev();
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_file = folder.path().join("clients.pem");
    fs::write(&ca_file, ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::from_params(&ca, &ca_key);
    let server = ServerTls::open(&files(folder.path(), &made, ClientCerts::Require { ca_file })).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut good = CertificateParams::new(vec!["client".into()]).unwrap();
    good.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let mut expired = good.clone();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut wrong_use = good.clone();
    wrong_use.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let signed = |parameters: &CertificateParams| parameters.signed_by(&key, &issuer).unwrap().der().clone();
    let own = good.self_signed(&key).unwrap().der().clone();
    for version in BOTH {
        let present =
            |certificate| client_presenting(&made.ca_pem, &[version], Some(presenting(certificate, &key)));
        shake(server.config(), present(signed(&good))).await.unwrap();
        for refused in [signed(&expired), signed(&wrong_use), own.clone(), version_1(&key)] {
            assert!(shake(server.config(), present(refused)).await.is_err());
        }
        assert!(shake(server.config(), client(&made.ca_pem, &[version])).await.is_err(), "none at all");
    }
}

#[tokio::test]
async fn l4_a_bad_pair_leaves_the_old_certificate_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (dev(), dev());
    let settings = files(folder.path(), &old, ClientCerts::Request);
    let server = ServerTls::open(&settings).unwrap();
    let listener = server.config();
    let shown =
        async || shake(Arc::clone(&listener), client(&old.ca_pem, &BOTH)).await.map(|(.., chain)| chain);
    let first = shown().await.unwrap();
    fs::write(&settings.cert_file, &new.cert_pem).unwrap();
    assert!(matches!(server.reload(), Err(TlsError::Pair { .. })), "certificate without its key");
    fs::write(&settings.cert_file, "no certificate").unwrap();
    assert!(matches!(server.reload(), Err(TlsError::NoPem { .. })));
    fs::remove_file(&settings.cert_file).unwrap();
    assert!(matches!(server.reload(), Err(TlsError::Unreadable { .. })));
    assert_eq!(shown().await.unwrap(), first);
    files(folder.path(), &new, ClientCerts::Request);
    server.reload().unwrap();
    assert!(shown().await.is_err(), "the new certificate has another authority");
    let (.., chain) = shake(listener, client(&new.ca_pem, &BOTH)).await.unwrap();
    assert_ne!(chain, first);
}

#[test]
fn messages_name_files_and_quote_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let made = dev();
    let mut settings = files(folder.path(), &made, ClientCerts::Request);
    fs::write(&settings.key_file, "-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----\n")
        .unwrap();
    let error = ServerTls::open(&settings).err().unwrap();
    assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
    settings.key_file = folder.path().join("missing.pem");
    let error = ServerTls::open(&settings).err().unwrap();
    assert!(error.to_string().contains("missing.pem"), "{error}");
    let error = ServerTls::open(&Tls {
        client_certs: ClientCerts::Require { ca_file: "none.pem".into() },
        ..settings
    });
    assert!(error.is_err());
}
