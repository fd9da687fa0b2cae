use std::path::PathBuf;

use rustls::pki_types::pem;

/// Why a listener has no TLS. Key material is never quoted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there or not readable.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no usable PEM section of the kind that is needed.
    #[error("{} holds no {what} in PEM form", path.display())]
    NoPem {
        /// Which.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
        /// Why.
        #[source]
        source: Option<Box<pem::Error>>,
    },
    /// Certificate and key do not belong together, or the key is of a kind that is not supported.
    #[error("the certificate {} and the key {} cannot be used together", cert.display(), key.display())]
    Pair {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The anchors for clients cannot be used.
    #[error("the certificates in {} cannot be used as anchors for clients", path.display())]
    Anchors {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The library refused its own defaults.
    #[error("TLS could not be set up")]
    Setup(#[source] rustls::Error),
    /// No certificate could be made.
    #[error(
        "no certificate could be made for the development server; give it names of hosts or IP addresses"
    )]
    Made(#[source] rcgen::Error),
}
