use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use coffre_ambient::{Entropy, SystemEntropy};
use coffre_secret::SecretText;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::http_send::{Client, Settings};
use crate::tls::TlsSettings;
use crate::{Error, ErrorKind};

/// The settings of a [`Client`]. Every method replaces the earlier value; files are read by [`Builder::build`].
pub struct Builder {
    address: String,
    token: Option<SecretText>,
    namespace: Option<String>,
    headers: Vec<(String, String)>,
    tls: TlsSettings,
    proxy: Option<String>,
    timeout: Duration,
    retries: u32,
    backoff: (Duration, Duration),
    follow_redirect: bool,
    entropy: Arc<dyn Entropy>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            address: "https://127.0.0.1:8200".to_owned(),
            token: None,
            namespace: None,
            headers: vec![],
            tls: TlsSettings::default(),
            proxy: None,
            timeout: Duration::from_secs(60),
            retries: 2,
            backoff: (Duration::from_millis(1000), Duration::from_millis(1500)),
            follow_redirect: true,
            entropy: Arc::new(SystemEntropy),
        }
    }
}

impl Builder {
    /// `https://host:port`, optionally with a path in front of `/v1`; or `unix:///absolute/path`, a socket on this host
    /// such as the agent's. Default `https://127.0.0.1:8200`.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    /// Sent as `X-Vault-Token`. White space around it is dropped, an empty one is none.
    #[must_use]
    pub fn token(mut self, token: SecretText) -> Self {
        // EXPOSE: trimmed; the result is wrapped again.
        let trimmed = SecretText::from(token.expose().trim());
        self.token = (!trimmed.is_empty()).then_some(trimmed);
        self
    }

    /// Sent as `X-Vault-Namespace`; empty is none.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        let namespace = namespace.into();
        self.namespace = (!namespace.is_empty()).then_some(namespace);
        self
    }

    /// A further header for every request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// PEM file with the only trust anchors; without any the system's are used.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.ca_file = Some(path.into());
        self
    }

    /// Directory of PEM files with the only trust anchors.
    #[must_use]
    pub fn ca_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.ca_dir = Some(path.into());
        self
    }

    /// PEM text with the only trust anchors.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.ca_pem = Some(pem.into());
        self
    }

    /// PEM file with our own certificate (and chain); needs [`Builder::client_key`].
    #[must_use]
    pub fn client_cert(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.client_cert = Some(path.into());
        self
    }

    /// PEM file with the key of our own certificate.
    #[must_use]
    pub fn client_key(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.client_key = Some(path.into());
        self
    }

    /// The name that the server's certificate must carry, instead of the address's host.
    #[must_use]
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.tls.server_name = Some(name.into());
        self
    }

    /// Accepts any certificate: whoever is in between reads everything. [`Client::verifies_tls`] says so, and the
    /// program that sets this must warn.
    #[must_use]
    pub fn danger_skip_verify(mut self, skip: bool) -> Self {
        self.tls.skip_verify = skip;
        self
    }

    /// An HTTP proxy. The process environment is not asked for one.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// For one attempt, answer included. Default 60 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a call may be repeated (see the crate's promises). Default 2.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The wait before a repetition is drawn from this range. Default 1 to 1.5 s.
    #[must_use]
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff = (min, max);
        self
    }

    /// Whether one 307 to the same host is followed. Default yes.
    #[must_use]
    pub fn follow_redirect(mut self, follow: bool) -> Self {
        self.follow_redirect = follow;
        self
    }

    /// Where the jitter comes from.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Checks the settings and reads the files.
    pub fn build(self) -> Result<Client, Error> {
        let place = place(&self.address)?;
        let base = match &place {
            Place::Network(url) => url.clone(),
            Place::Socket(_) => base_url(SOCKET_BASE)?,
        };
        let tls = self.tls.build(base.scheme() == "https")?;
        let mut headers = HeaderMap::new();
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            headers.insert("x-vault-namespace", header_value(namespace, "the namespace")?);
        }
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name.as_str())
                .map_err(|_| config(format!("`{name}` is not a header name")))?;
            let mut value = header_value(value, name.as_str())?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("coffre/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .timeout(self.timeout);
        if let Some(proxy) = &self.proxy {
            let proxy = reqwest::Proxy::all(proxy).map_err(|_| config("the proxy's address is not a URL"))?;
            http = http.proxy(proxy);
        }
        let address = match &place {
            Place::Network(url) => url.as_str().trim_end_matches('/').to_owned(),
            Place::Socket(path) => {
                http = http.unix_socket(path.as_path());
                format!("unix://{}", path.display())
            }
        };
        let http =
            http.build().map_err(|cause| config("cannot make a client").caused_by(cause.without_url()))?;
        let settings = Settings {
            http,
            base,
            address,
            headers,
            retries: self.retries,
            backoff: self.backoff,
            // A socket's server has nowhere to send anybody.
            follow_redirect: self.follow_redirect && matches!(place, Place::Network(_)),
            verifies_tls: !self.tls.skip_verify,
            entropy: self.entropy,
            date: AtomicU64::new(0),
        };
        Ok(Client::assemble(settings, self.token))
    }
}

/// What requests over a socket carry as their host.
const SOCKET_BASE: &str = "http://localhost";

/// Where the server is.
enum Place {
    Network(Url),
    Socket(PathBuf),
}

fn place(address: &str) -> Result<Place, Error> {
    let Some(path) = address.trim().strip_prefix("unix:") else {
        return base_url(address).map(Place::Network);
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') || path.contains('\0') {
        return Err(config("the address of a socket is written as unix:///run/coffre/agent.sock"));
    }
    Ok(Place::Socket(PathBuf::from(path)))
}

fn base_url(address: &str) -> Result<Url, Error> {
    let trimmed = address.trim().trim_end_matches('/');
    let url = Url::parse(trimmed).map_err(|cause| {
        config(format!("the address `{trimmed}` is not a URL such as https://host:8200")).caused_by(cause)
    })?;
    // Credentials in the address would end up in messages; there is no use for them.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(config("the address holds a user name or password; remove it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(config("the address holds a `?` or `#`; write it as https://host:8200"));
    }
    match url.scheme() {
        "http" | "https" if url.host().is_some() => Ok(url),
        other => Err(config(format!("the address starts with `{other}:`; use http:// or https://"))),
    }
}

fn header_value(text: &str, what: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| config(format!("{what} holds characters that cannot be sent")))
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "prepare the client").message(message)
}
