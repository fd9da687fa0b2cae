use std::net::IpAddr;

use coffre_core::ReviewError;
use http::Uri;
use rustls::pki_types::ServerName;

/// Below the address.
const REVIEWS: &str = "apis/authentication.k8s.io/v1/tokenreviews";

/// Where a question goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As it was written, for the `Host` header.
    pub(super) authority: String,
    /// Of the endpoint, below that of the address.
    pub(super) path: String,
    /// Without TLS: tokens stay on this machine.
    pub(super) is_plain: bool,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, ReviewError> {
        let uri: Uri = url.trim().parse().map_err(|_| ReviewError::Address)?;
        let authority = uri.authority().ok_or(ReviewError::Address)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") if is_loopback(&host) => true,
            _ => return Err(ReviewError::Address),
        };
        let has_password = authority.as_str().contains('@');
        if host.is_empty() || has_password || uri.query().is_some() {
            return Err(ReviewError::Address);
        }
        Ok(Self {
            port: authority.port_u16().unwrap_or(if is_plain { 80 } else { 443 }),
            path: format!("{}/{REVIEWS}", uri.path().trim_end_matches('/')),
            authority: authority.as_str().to_owned(),
            host,
            is_plain,
        })
    }

    pub(super) fn server_name(&self) -> Result<ServerName<'static>, ReviewError> {
        ServerName::try_from(self.host.clone()).map_err(|_| ReviewError::Address)
    }
}

/// Names are not looked up: what they mean may change.
fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_api_servers() {
        let plain = Target::parse("https://10.0.0.1:6443").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.is_plain), ("10.0.0.1", 6443, false));
        assert_eq!(plain.path, format!("/{REVIEWS}"));
        let below = Target::parse("https://rancher.example/k8s/clusters/c-1/").unwrap();
        assert_eq!((below.port, below.path), (443, format!("/k8s/clusters/c-1/{REVIEWS}")));
        let six = Target::parse("http://[::1]:80").unwrap();
        assert_eq!((six.host.as_str(), six.is_plain), ("::1", true));
        for odd in [
            "",
            "10.0.0.1",
            "http://10.0.0.1",
            "http://localhost",
            "ftp://127.0.0.1",
            "https://u:p@host",
            "https://host/?a=b",
            "https://",
        ] {
            assert_eq!(Target::parse(odd), Err(ReviewError::Address), "{odd}");
        }
    }
}
