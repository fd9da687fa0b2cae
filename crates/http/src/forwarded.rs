//! Who asks, where proxies stand between: `X-Forwarded-For`, from proxies that the configuration names and nobody else.
//!
//! The header is a list to which each proxy appends the address that it was called from. Only its right end was written
//! by proxies that are known here; everything further left is what the client claims. So the caller is the right-most
//! address that is no known proxy. Other headers (`Forwarded`, `X-Real-IP`) and the PROXY protocol are not read.

use std::net::{IpAddr, SocketAddr};

use coffre_api::Refusal;
use http::HeaderMap;
use ipnet::IpNet;

/// The proxies of a listener, and what becomes of requests that did not come through them (Vault documentation, "TCP
/// listener configuration": `x_forwarded_for_…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedFor {
    /// The proxies' networks. Empty: the header is not looked at.
    pub authorized: Vec<IpNet>,
    /// How many addresses at the right end are skipped whatever they are.
    pub hop_skips: usize,
    /// Whether a request with the header, from an address that is no known proxy, is refused; otherwise the header is
    /// ignored.
    pub reject_not_authorized: bool,
    /// Whether a request without the header is refused.
    pub reject_not_present: bool,
}

impl Default for ForwardedFor {
    /// As Vault's: nobody is a proxy; who names proxies means that requests come through them.
    fn default() -> Self {
        Self { authorized: Vec::new(), hop_skips: 0, reject_not_authorized: true, reject_not_present: true }
    }
}

/// The most addresses in the header.
const MOST_HOPS: usize = 64;

impl ForwardedFor {
    /// The caller's address. The port stays the connection's own.
    pub(crate) fn caller(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<SocketAddr, Refusal> {
        if self.authorized.is_empty() {
            return Ok(peer);
        }
        let mut values = headers.get_all("x-forwarded-for").iter().peekable();
        if values.peek().is_none() {
            let told = "missing x-forwarded-for header and configured to reject when not present";
            return if self.reject_not_present { Err(Refusal::invalid(told)) } else { Ok(peer) };
        }
        if !self.is_proxy(peer.ip()) {
            let told =
                "client address not authorized for x-forwarded-for and configured to reject connection";
            return if self.reject_not_authorized { Err(Refusal::invalid(told)) } else { Ok(peer) };
        }
        let malformed = || Refusal::invalid("malformed x-forwarded-for header");
        let mut hops = Vec::new();
        for value in values {
            let text = value.to_str().map_err(|_| malformed())?;
            for hop in text.split(',') {
                hops.push(hop.trim());
                if hops.len() > MOST_HOPS {
                    return Err(malformed());
                }
            }
        }
        hops.truncate(hops.len().saturating_sub(self.hop_skips));
        if hops.is_empty() {
            return Err(Refusal::invalid("x-forwarded-for has fewer addresses than are to be skipped"));
        }
        // Read from the right and no further than needed: what stands further left is anybody's.
        let mut caller = peer.ip();
        for hop in hops.into_iter().rev() {
            caller = parse(hop).ok_or_else(malformed)?;
            if !self.is_proxy(caller) {
                break;
            }
        }
        Ok(SocketAddr::new(caller, peer.port()))
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.authorized.iter().any(|network| network.contains(&address))
    }
}

/// An address, also with a port: `10.0.0.1`, `10.0.0.1:80`, `::1`, `[::1]:80`. An address of version 4 in the form of
/// version 6 is of version 4.
fn parse(text: &str) -> Option<IpAddr> {
    let plain = text.parse().ok();
    plain.or_else(|| text.parse::<SocketAddr>().ok().map(|at| at.ip())).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn caller(rules: &ForwardedFor, peer: &str, values: &[&str]) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", HeaderValue::from_str(value).unwrap());
        }
        rules.caller(format!("{peer}:9").parse().unwrap(), &headers).map(|at| at.to_string())
    }

    fn rules() -> ForwardedFor {
        let authorized = ["10.0.0.0/8", "127.0.0.1/32"].map(|net| net.parse().unwrap()).to_vec();
        ForwardedFor { authorized, ..ForwardedFor::default() }
    }

    #[test]
    fn the_rightmost_stranger_is_the_caller() {
        let is = |values: &[&str]| caller(&rules(), "10.0.0.1", values).unwrap();
        assert_eq!(is(&["203.0.113.7"]), "203.0.113.7:9");
        assert_eq!(is(&["1.1.1.1, 203.0.113.7"]), "203.0.113.7:9");
        assert_eq!(is(&["1.1.1.1", "203.0.113.7, 10.9.9.9"]), "203.0.113.7:9", "proxies behind proxies");
        assert_eq!(is(&["10.0.0.3,10.0.0.2"]), "10.0.0.3:9", "all known: the first of them");
        assert_eq!(is(&["::ffff:203.0.113.7"]), "203.0.113.7:9");
        assert_eq!(is(&["203.0.113.7:1234"]), "203.0.113.7:9");
        assert_eq!(is(&["nonsense, 203.0.113.7"]), "203.0.113.7:9", "claims are not read");
    }

    #[test]
    fn what_cannot_be_trusted_is_refused_or_ignored() {
        for values in [&["x"] as &[&str], &[""], &["1.1.1.1,"], &["1.1.1.1, x"], &["010.1.1.1"]] {
            assert!(caller(&rules(), "10.0.0.1", values).is_err(), "{values:?}");
        }
        assert!(caller(&rules(), "192.0.2.1", &["1.1.1.1"]).is_err());
        assert!(caller(&rules(), "10.0.0.1", &[]).is_err());
        let lenient = ForwardedFor { reject_not_authorized: false, reject_not_present: false, ..rules() };
        assert_eq!(caller(&lenient, "192.0.2.1", &["10.1.1.1"]).unwrap(), "192.0.2.1:9");
        assert_eq!(caller(&lenient, "10.0.0.1", &[]).unwrap(), "10.0.0.1:9");
        let nobody = ForwardedFor::default();
        assert_eq!(caller(&nobody, "127.0.0.1", &["10.1.1.1"]).unwrap(), "127.0.0.1:9");
        let many = "10.1.1.1,".repeat(MOST_HOPS);
        assert!(caller(&rules(), "10.0.0.1", &[many.as_str(), "1.1.1.1"]).is_err());
    }

    #[test]
    fn hops_can_be_skipped() {
        let skipping = ForwardedFor { hop_skips: 1, ..rules() };
        assert_eq!(caller(&skipping, "10.0.0.1", &["1.1.1.1, 2.2.2.2"]).unwrap(), "1.1.1.1:9");
        assert!(caller(&skipping, "10.0.0.1", &["1.1.1.1"]).is_err());
    }
}
