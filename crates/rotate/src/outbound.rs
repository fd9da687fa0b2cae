//! Which addresses requests over HTTP may go to. An address may come from a document that others write, and a name may be
//! made to mean another machine after it was looked at: so what is checked is where a connection really goes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Asks the system for the addresses of names, and keeps back those that are not [`outside`].
pub(crate) struct Outside;

/// All addresses of a name lie where requests do not go.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to this machine, to its neighbours without a router, or to a cloud's metadata")]
struct Inside;

impl Resolve for Outside {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let here = is_local_name(name.as_str());
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let fit = |at: &SocketAddr| outside(at.ip()) || here && at.ip().to_canonical().is_loopback();
            let found: Vec<SocketAddr> = found.filter(fit).collect();
            if found.is_empty() {
                return Err(Inside.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether a URL names this machine outright: `localhost`, `127.0.0.1`, `[::1]`.
pub(crate) fn is_here(url: &Url) -> bool {
    url.host_str().is_some_and(|host| is_local_name(host) || matches!(host, "127.0.0.1" | "[::1]"))
}

/// Whether a URL's address, if it is one of numbers in whatever spelling, is outside; names are seen to when they are
/// resolved.
pub(crate) fn may_be_outside(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    !is_local_name(host) && host.parse().map_or(true, outside)
}

fn is_local_name(name: &str) -> bool {
    name.trim_end_matches('.').eq_ignore_ascii_case("localhost")
}

/// Not this machine, not its link, no group, no metadata service of a cloud. Private networks are outside: that is where
/// receivers usually are.
fn outside(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => outside_v4(ip),
        IpAddr::V6(ip) => outside_v6(ip),
    }
}

const fn outside_v4(ip: Ipv4Addr) -> bool {
    let metadata = matches!(ip.octets(), [100, 100, 100, 200] | [192, 0, 0, 192]);
    let [first, ..] = ip.octets();
    !(metadata
        || first == 0
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast())
}

fn outside_v6(ip: Ipv6Addr) -> bool {
    let metadata = matches!(ip.segments(), [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]);
    // Addresses of version 4 in those of version 6 (RFC 6052, RFC 3056, RFC 4291 2.5.5.1).
    let within = match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] | [0, 0, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    };
    let odd = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local();
    !(metadata || odd) && within.is_none_or(outside_v4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i8_numbers_in_any_spelling_are_where_they_lead() {
        for inside in [
            "https://127.0.0.1/",
            "https://127.9.9.9/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://169.254.169.254/",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://0/",
            "https://255.255.255.255/",
            "https://224.0.0.1/",
            "https://[::1]/",
            "https://[::]/",
            "https://[fe80::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[2002:7f00:1::]/",
            "https://[fd00:ec2::254]/",
            "https://100.100.100.200/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://[ff02::1]/",
            "https://１２７.0.0.1/",
        ] {
            assert!(!may_be_outside(&Url::parse(inside).unwrap()), "{inside}");
        }
        for outside in [
            "https://10.1.2.3/",
            "https://192.168.1.1/",
            "https://[fd12::1]/",
            "https://[2001:db8::1]/",
            "https://a.example/",
        ] {
            assert!(may_be_outside(&Url::parse(outside).unwrap()), "{outside}");
        }
    }

    #[tokio::test]
    async fn i8_a_name_that_leads_inside_is_not_followed() {
        let resolve = |name: &str| Outside.resolve(name.parse().unwrap());
        assert!(resolve("localhost").await.is_ok(), "who says this machine means it");
        // Resolvers take numbers as names; so does an attacker's zone.
        for name in ["127.0.0.1", "169.254.169.254", "0.0.0.0"] {
            assert!(resolve(name).await.is_err(), "{name}");
        }
        assert!(resolve("10.1.2.3").await.is_ok());
    }
}
