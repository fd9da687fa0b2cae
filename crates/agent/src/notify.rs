//! What systemd is told (sd_notify(3)): one datagram for each piece of news, to the socket that `NOTIFY_SOCKET` names.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager's ear, or nobody's.
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// From `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, which `lookup` reads.
    pub fn new(lookup: &dyn Fn(&str) -> Option<String>, pid: u32) -> Self {
        let address = lookup("NOTIFY_SOCKET").and_then(|name| match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name.as_bytes()).ok(),
            None if name.starts_with('/') => SocketAddr::from_pathname(name).ok(),
            None => None,
        });
        let to = address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address)));
        if let Some((socket, _)) = &to {
            // News that nobody takes must not stop the agent.
            let _ = socket.set_nonblocking(true);
        }
        let ours = lookup("WATCHDOG_PID").is_none_or(|text| text.parse() == Ok(pid));
        let every =
            lookup("WATCHDOG_USEC").and_then(|text| text.parse().ok()).filter(|_| ours && to.is_some());
        Self {
            to,
            watchdog: every
                .map(|every: u64| Duration::from_micros(every / 2))
                .filter(|every| !every.is_zero()),
        }
    }

    /// How often [`Notifier::alive`] is to be called, if anybody watches.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The agent does its work.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The agent ends.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// One line for `systemctl status`.
    pub fn status(&self, line: &str) {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
        self.send(&format!("STATUS={line}"));
    }

    /// The agent is not stuck.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, news: &str) {
        if let Some((socket, address)) = &self.to {
            // Nobody is left to tell if this fails.
            let _ = socket.send_to_addr(news.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_arrive_one_datagram_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let ear = UnixDatagram::bind(&path).unwrap();
        let lookup = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.to_str().unwrap().to_owned()),
            "WATCHDOG_USEC" => Some("3000000".to_owned()),
            "WATCHDOG_PID" => Some("7".to_owned()),
            _ => None,
        };
        let notifier = Notifier::new(&lookup, 7);
        assert_eq!(notifier.watchdog(), Some(Duration::from_millis(1500)));
        assert_eq!(Notifier::new(&lookup, 8).watchdog(), None, "somebody else is watched");
        notifier.status("a\nREADY=1");
        notifier.ready();
        let mut heard = [0; 64];
        let len = ear.recv(&mut heard).unwrap();
        assert_eq!(&heard[..len], b"STATUS=a READY=1");
        let len = ear.recv(&mut heard).unwrap();
        assert_eq!(&heard[..len], b"READY=1");
        Notifier::new(&|_| None, 7).ready();
    }
}
