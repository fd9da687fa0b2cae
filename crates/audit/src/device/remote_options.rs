//! The options of `socket` and `syslog` devices.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_api::coerce::Ttl;

use crate::device::peer::Peer;
use crate::device::remote::{RemoteOptions, SHORTEST};
use crate::device::spec::{OptionsError, unknown};
use crate::device::syslog::Packing;

/// `socket`: JSON lines to `address`; `socket_type` is `tcp` (as in Vault, the default), `udp` or `unix`.
pub(crate) fn socket(options: &BTreeMap<&str, &str>) -> Result<RemoteOptions, OptionsError> {
    let mut read = Read::of(
        options,
        "address, socket_type, write_timeout, max_datagram, hmac_accessor, elide_list_responses and format",
    )?;
    let address =
        read.address.take().ok_or(OptionsError::Missing("address", "host:port, or the path of a socket"))?;
    let peers = match read.socket_type {
        None if address.starts_with('/') => vec![path(address, Peer::Stream)?],
        None | Some("tcp") => vec![Peer::Tcp(host_and_port(address)?)],
        Some("udp") => vec![Peer::Udp(host_and_port(address)?)],
        Some("unix") => vec![path(address, Peer::Stream)?],
        Some("unixgram") => vec![path(address, Peer::Datagram)?],
        Some(_) => return Err(SOCKET_TYPE),
    };
    Ok(read.finish(peers, Packing::Lines))
}

/// `syslog`: RFC 5424 to the system's log (`/dev/log`), or to `address`.
pub(crate) fn syslog(options: &BTreeMap<&str, &str>) -> Result<RemoteOptions, OptionsError> {
    let read = Read::of(
        options,
        "facility, tag, address, socket_type, write_timeout, max_datagram, hmac_accessor, elide_list_responses and format",
    )?;
    let both = |address: &str| -> Result<Vec<Peer>, OptionsError> {
        Ok(vec![path(address, Peer::Datagram)?, path(address, Peer::Stream)?])
    };
    let peers = match (read.address, read.socket_type) {
        (None, None) => SYSTEM_LOGS.iter().map(|at| both(at)).collect::<Result<Vec<_>, _>>()?.concat(),
        (None, Some(_)) => return Err(OptionsError::Missing("address", "socket_type says how to reach it")),
        (Some(address), None) if address.starts_with('/') => both(address)?,
        (Some(address), None | Some("tcp")) => vec![Peer::Tcp(host_and_port(address)?)],
        (Some(address), Some("udp")) => vec![Peer::Udp(host_and_port(address)?)],
        (Some(address), Some("unix")) => vec![path(address, Peer::Stream)?],
        (Some(address), Some("unixgram")) => vec![path(address, Peer::Datagram)?],
        _ => return Err(SOCKET_TYPE),
    };
    let facility = facility(read.facility.unwrap_or("AUTH"))?;
    let tag = tag(read.tag.unwrap_or("coffre"))?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host: String = host.chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-".to_owned() } else { host };
    // Severity 6: informational.
    Ok(read.finish(peers, Packing::Syslog { priority: facility * 8 + 6, host, tag }))
}

const SOCKET_TYPE: OptionsError = OptionsError::Value("socket_type", "tcp, udp, unix or unixgram");

/// Where systems listen.
const SYSTEM_LOGS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// The options, taken apart.
struct Read<'o> {
    address: Option<&'o str>,
    socket_type: Option<&'o str>,
    facility: Option<&'o str>,
    tag: Option<&'o str>,
    write_timeout: Duration,
    max_datagram: usize,
}

impl<'o> Read<'o> {
    fn of(options: &BTreeMap<&str, &'o str>, known: &'static str) -> Result<Self, OptionsError> {
        let mut read = Read {
            address: None,
            socket_type: None,
            facility: None,
            tag: None,
            write_timeout: Duration::from_secs(2),
            max_datagram: 8_192,
        };
        for (name, value) in options {
            match *name {
                "address" if !value.is_empty() => read.address = Some(value),
                "socket_type" => read.socket_type = Some(value),
                "facility" if known.starts_with("facility") => read.facility = Some(value),
                "tag" if known.starts_with("facility") => read.tag = Some(value),
                "write_timeout" => read.write_timeout = timeout(value)?,
                "max_datagram" => read.max_datagram = datagram(value)?,
                other => return Err(unknown(other, known)),
            }
        }
        Ok(read)
    }

    fn finish(self, peers: Vec<Peer>, packing: Packing) -> RemoteOptions {
        let Self { write_timeout, max_datagram, .. } = self;
        RemoteOptions { peers, packing, write_timeout, max_datagram }
    }
}

/// The broker waits five seconds for all devices.
fn timeout(text: &str) -> Result<Duration, OptionsError> {
    let limit = Ttl::parse(text).ok().map(|ttl| ttl.duration());
    let limit = limit.filter(|limit| (Duration::from_millis(10)..=Duration::from_secs(4)).contains(limit));
    limit.ok_or(OptionsError::Value("write_timeout", "a duration from 10ms to 4s"))
}

fn datagram(text: &str) -> Result<usize, OptionsError> {
    let longest = text.parse().ok().filter(|longest| (SHORTEST..=60_000).contains(longest));
    longest.ok_or(OptionsError::Value("max_datagram", "a number of bytes from 1024 to 60000"))
}

fn host_and_port(address: &str) -> Result<String, OptionsError> {
    let wrong = OptionsError::Value("address", "host:port, or the path of a socket for unix and unixgram");
    let fine = address.rsplit_once(':').is_some_and(|(host, port)| {
        let host_fine =
            !host.is_empty() && host.len() <= 255 && host.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        host_fine && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if fine { Ok(address.to_owned()) } else { Err(wrong) }
}

fn path(address: &str, peer: impl Fn(std::path::PathBuf) -> Peer) -> Result<Peer, OptionsError> {
    // The system's own bound on such names.
    if address.starts_with('/') && address.len() < 108 && !address.contains('\0') {
        return Ok(peer(address.into()));
    }
    Err(OptionsError::Value("address", "the absolute path of a socket, shorter than 108 bytes"))
}

/// RFC 5424, table 1.
fn facility(name: &str) -> Result<u8, OptionsError> {
    const NAMES: [&str; 24] = [
        "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP",
        "NTP", "AUDIT", "ALERT", "CLOCK", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5",
        "LOCAL6", "LOCAL7",
    ];
    let at = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
    at.and_then(|at| u8::try_from(at).ok())
        .ok_or(OptionsError::Value("facility", "a facility such as AUTH or LOCAL0"))
}

/// APP-NAME of RFC 5424.
fn tag(text: &str) -> Result<String, OptionsError> {
    let fine = (1..=48).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fine {
        Ok(text.to_owned())
    } else {
        Err(OptionsError::Value("tag", "1 to 48 visible ASCII characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options<'o>(pairs: &[(&'o str, &'o str)]) -> BTreeMap<&'o str, &'o str> {
        pairs.iter().copied().collect()
    }

    #[test]
    fn addresses_and_kinds_fit_together() {
        let read = |pairs: &[(&str, &str)]| socket(&options(pairs)).map(|read| read.peers);
        assert_eq!(read(&[("address", "h:1")]).unwrap(), [Peer::Tcp("h:1".into())]);
        assert_eq!(
            read(&[("address", "[::1]:9"), ("socket_type", "udp")]).unwrap(),
            [Peer::Udp("[::1]:9".into())]
        );
        assert_eq!(read(&[("address", "/run/x")]).unwrap(), [Peer::Stream("/run/x".into())]);
        assert_eq!(
            read(&[("address", "/run/x"), ("socket_type", "unixgram")]).unwrap(),
            [Peer::Datagram("/run/x".into())]
        );
        for bad in [
            &[][..],
            &[("address", "")],
            &[("address", "host")],
            &[("address", "h:0")],
            &[("address", "h:70000")],
            &[("address", "a b:1")],
            &[("address", "h:1"), ("socket_type", "unix")],
            &[("address", "/run/x"), ("socket_type", "tcp")],
            &[("address", "h:1"), ("socket_type", "quic")],
            &[("address", "h:1"), ("write_timeout", "5s")],
            &[("address", "h:1"), ("max_datagram", "100")],
            &[("address", "h:1"), ("facility", "AUTH")],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn facility_and_tag_are_those_of_the_standard() {
        let read = |pairs: &[(&str, &str)]| syslog(&options(pairs)).map(|read| read.packing);
        let priority = |pairs: &[(&str, &str)]| match read(pairs).unwrap() {
            Packing::Syslog { priority, .. } => priority,
            Packing::Lines => 0,
        };
        assert_eq!(priority(&[]), 38);
        assert_eq!(priority(&[("facility", "local7")]), 190);
        assert_eq!(priority(&[("facility", "AUTHPRIV")]), 86);
        for bad in [("facility", "X"), ("tag", ""), ("tag", "a b"), ("tag", "a\nb"), ("socket_type", "tcp")] {
            assert!(read(&[bad]).is_err(), "{bad:?}");
        }
        assert_eq!(syslog(&options(&[])).unwrap().peers.len(), 6);
    }
}
