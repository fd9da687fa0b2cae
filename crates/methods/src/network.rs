//! Lists of networks, and the three questions about them: who is admitted, what lies within, what is common.

use std::fmt;
use std::net::IpAddr;

use coffre_api::Refusal;
use ipnet::{IpNet, Ipv4Net};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A network in CIDR form (RFC 4632), canonical: no bits beside the prefix, and an IPv4 network written inside IPv6
/// (`::ffff:10.0.0.0/104`) is that IPv4 network. An address alone is the network of that one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network(IpNet);

/// The text is no network. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected networks in CIDR form, such as 10.0.0.0/8 or 2001:db8::/32, without bits beside the prefix"
)]
pub(crate) struct NotNetwork;

/// How many bits an IPv4 address stands behind in IPv6.
const MAPPED: u8 = 96;

impl Network {
    /// Reads one network; refuses leading zeros, prefixes that are too long, and bits beside the prefix.
    pub(crate) fn parse(text: &str) -> Result<Self, NotNetwork> {
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| NotNetwork)?,
        };
        if net.trunc() != net {
            return Err(NotNetwork);
        }
        Ok(Self(as_v4(net).unwrap_or(net)))
    }

    /// Whether an address lies in it; `::ffff:10.0.0.1` is 10.0.0.1.
    fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether all of `other` lies in it.
    fn covers(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }
}

fn as_v4(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = net else { return None };
    let prefix = v6.prefix_len().checked_sub(MAPPED)?;
    let v4 = v6.addr().to_ipv4_mapped()?;
    Ipv4Net::new(v4, prefix).ok().map(IpNet::V4)
}

/// Reads a list that somebody submitted.
pub(crate) fn parse_all(texts: &[String]) -> Result<Vec<Network>, Refusal> {
    let mut all = Vec::new();
    for text in texts {
        let network = Network::parse(text).map_err(|e| Refusal::invalid(e.to_string()))?;
        if !all.contains(&network) {
            all.push(network);
        }
    }
    Ok(all)
}

/// The list as it is shown.
pub(crate) fn texts(networks: &[Network]) -> Vec<String> {
    networks.iter().map(ToString::to_string).collect()
}

/// Whether a list admits an address. An empty list admits everybody; an unknown address is admitted by nothing else.
pub(crate) fn admits(networks: &[Network], peer: Option<IpAddr>) -> bool {
    networks.is_empty() || peer.is_some_and(|peer| networks.iter().any(|network| network.contains(peer)))
}

/// Whether each network of `inner` lies in one of `outer`; an empty `outer` is everywhere.
pub(crate) fn within(inner: &[Network], outer: &[Network]) -> bool {
    outer.is_empty() || inner.iter().all(|small| outer.iter().any(|large| large.covers(*small)))
}

/// What lies in both lists, where an empty list is everywhere. `None` if they have nothing in common: that is not
/// everywhere, but nowhere.
pub(crate) fn intersection(a: &[Network], b: &[Network]) -> Option<Vec<Network>> {
    if a.is_empty() || b.is_empty() {
        return Some(if a.is_empty() { b.to_vec() } else { a.to_vec() });
    }
    let mut both = Vec::new();
    for (x, y) in a.iter().flat_map(|x| b.iter().map(move |y| (*x, *y))) {
        let smaller = if x.covers(y) { Some(y) } else { y.covers(x).then_some(x) };
        if let Some(network) = smaller.filter(|network| !both.contains(network)) {
            both.push(network);
        }
    }
    (!both.is_empty()).then_some(both)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| Network::parse(text).unwrap()).collect()
    }

    #[test]
    fn c8_only_canonical_networks_are_read() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::/0", "::/0"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(Network::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for text in [
            "010.0.0.1",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0/8",
            "",
            "10.0.0.0/",
            "x",
            "10.0.0.0/8 ",
            "10.0.0.0/08x",
            "::ffff:10.0.0.1/104",
        ] {
            assert_eq!(Network::parse(text), Err(NotNetwork), "{text:?}");
        }
    }

    #[test]
    fn c8_a_mapped_address_is_its_ipv4_address() {
        let list = nets(&["10.0.0.0/8"]);
        for (peer, admitted) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false), ("::1", false)]
        {
            assert_eq!(admits(&list, Some(peer.parse().unwrap())), admitted, "{peer}");
        }
        assert!(!admits(&list, None), "an unknown address is not in a network");
        assert!(admits(&[], None));
        assert!(!admits(&nets(&["::/0"]), Some("10.0.0.1".parse().unwrap())), "::/0 is IPv6 alone");
    }

    #[test]
    fn lists_are_compared_network_by_network() {
        let outer = nets(&["10.0.0.0/8", "2001:db8::/32"]);
        assert!(within(&nets(&["10.1.0.0/16", "2001:db8:1::/48"]), &outer));
        assert!(!within(&nets(&["10.1.0.0/16", "11.0.0.0/16"]), &outer));
        assert!(!within(&nets(&["0.0.0.0/0"]), &outer));
        assert!(within(&nets(&["0.0.0.0/0"]), &[]));
        assert!(within(&[], &outer));
    }

    #[test]
    fn nothing_in_common_is_nowhere_not_everywhere() {
        let (a, b) = (nets(&["10.0.0.0/8"]), nets(&["11.0.0.0/8"]));
        assert_eq!(intersection(&a, &b), None);
        assert_eq!(intersection(&a, &[]), Some(a.clone()));
        assert_eq!(intersection(&[], &[]), Some(vec![]));
        let narrow = nets(&["10.2.0.0/16"]);
        assert_eq!(intersection(&a, &narrow), Some(narrow.clone()));
        assert_eq!(intersection(&narrow, &a), Some(narrow));
    }
}
