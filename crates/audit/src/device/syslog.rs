//! How an entry is packed for the wire.
//!
//! *socket*: the JSON line itself. *syslog*: RFC 5424 with facility and tag, severity informational; streams count octets
//! (RFC 6587, 3.4.1). What is too long for a datagram goes out in parts, each of which says which part of which entry it
//! is and the SHA-256 of the whole, so that nothing is lost and nothing passes for what it is not.

use coffre_ambient::Wall;
use coffre_crypto::digest;

use crate::json::{Line, field, number, text};

/// How entries are packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// JSON and a line feed.
    Lines,
    /// RFC 5424.
    Syslog { priority: u8, host: String, tag: String },
}

/// A closed entry with its number.
#[derive(Clone, Copy)]
pub(crate) struct Closed<'l> {
    pub(crate) seq: u64,
    /// With its line feed.
    pub(crate) line: &'l [u8],
}

impl Packing {
    /// For a stream, at the end of `out`.
    pub(crate) fn stream(&self, out: &mut Line, entry: Closed<'_>, now: Wall) {
        match self {
            Self::Lines => out.extend_from_slice(entry.line),
            Self::Syslog { .. } => {
                let mut message = self.header(now, "-");
                message.extend_from_slice(entry.line.trim_ascii_end());
                out.extend_from_slice(message.len().to_string().as_bytes());
                out.push(b' ');
                out.extend_from_slice(&message);
            }
        }
    }

    /// As datagrams of at most about `longest` bytes.
    pub(crate) fn datagrams(&self, entry: Closed<'_>, now: Wall, longest: usize) -> Vec<Line> {
        let json = entry.line.trim_ascii_end();
        let whole = match self {
            Self::Lines => entry.line.to_vec(),
            Self::Syslog { .. } => [self.header(now, "-"), json.to_vec()].concat(),
        };
        if whole.len() <= longest {
            return vec![whole];
        }
        let room = longest.saturating_sub(OVERHEAD).max(SMALLEST);
        // As a JSON text, quotes and backslashes become longer.
        let chunks = cut(json, if matches!(self, Self::Lines) { room / 2 } else { room });
        let hash = digest::hex(&digest::sha256(json));
        let parts = chunks.len();
        let part = |(at, chunk): (usize, &&[u8])| {
            self.part(now, &Part { seq: entry.seq, at: at + 1, parts, hash: &hash, chunk })
        };
        chunks.iter().enumerate().map(part).collect()
    }

    fn part(&self, now: Wall, part: &Part<'_>) -> Line {
        let Part { seq, at, parts, hash, chunk } = part;
        if matches!(self, Self::Syslog { .. }) {
            let data =
                format!("[coffrePart@32473 seq=\"{seq}\" part=\"{at}\" parts=\"{parts}\" sha256=\"{hash}\"]");
            let mut message = self.header(now, &data);
            message.extend_from_slice(chunk);
            return message;
        }
        let mut line = vec![b'{'];
        field(&mut line, "type", "part");
        for (name, value) in [("seq", *seq), ("part", *at as u64), ("parts", *parts as u64)] {
            number(&mut line, name, value);
        }
        field(&mut line, "sha256", hash);
        line.extend_from_slice(b",\"text\":");
        text(&mut line, &String::from_utf8_lossy(chunk));
        line.extend_from_slice(b"}\n");
        line
    }

    /// Everything before the message (RFC 5424, 6.2): at most six digits of a second, no byte order mark.
    fn header(&self, now: Wall, data: &str) -> Line {
        let Self::Syslog { priority, host, tag } = self else { return Line::new() };
        let time = now.rfc3339();
        let (seconds, fraction) = time.trim_end_matches('Z').split_once('.').unwrap_or((&time, "0"));
        let fraction: String = fraction.chars().take(6).collect();
        let seconds = seconds.trim_end_matches('Z');
        let process = std::process::id();
        format!("<{priority}>1 {seconds}.{fraction}Z {host} {tag} {process} audit {data} ").into_bytes()
    }
}

/// A piece of an entry that is too long for one datagram.
struct Part<'p> {
    seq: u64,
    at: usize,
    parts: usize,
    hash: &'p str,
    chunk: &'p [u8],
}

/// What a part needs besides its piece.
const OVERHEAD: usize = 400;
/// No piece is smaller, whatever is asked for.
const SMALLEST: usize = 256;

/// Pieces of at most `longest` bytes that do not end within a character.
fn cut(text: &[u8], longest: usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > longest {
        let continues = |at: usize| rest.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let at = (longest.saturating_sub(3)..=longest).rev().find(|at| !continues(*at)).unwrap_or(longest);
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall::from_nanos(1_800_000_000_123_456_789);

    fn syslog() -> Packing {
        Packing::Syslog { priority: 38, host: "h".into(), tag: "coffre".into() }
    }

    fn entry(line: &str) -> Closed<'_> {
        Closed { seq: 7, line: line.as_bytes() }
    }

    #[test]
    fn a_stream_counts_octets() {
        let mut out = Line::new();
        syslog().stream(&mut out, entry("{\"a\":\"é\"}\n"), NOW);
        let text = String::from_utf8(out).unwrap();
        let (count, message) = text.split_once(' ').unwrap();
        assert_eq!(count.parse::<usize>().unwrap(), message.len());
        assert!(message.starts_with("<38>1 2027-01-15T08:00:00.123456Z h coffre "), "{message}");
        assert!(message.ends_with(" audit - {\"a\":\"é\"}"), "{message}");
    }

    #[test]
    fn what_is_too_long_comes_in_parts_that_make_the_whole() {
        let line = format!("{{\"k\":\"{}\"}}\n", "é\\\"x".repeat(2_000));
        for packing in [Packing::Lines, syslog()] {
            let parts = packing.datagrams(entry(&line), NOW, 1_400);
            assert!(parts.len() > 5 && parts.iter().all(|part| part.len() <= 1_400), "{packing:?}");
            let mut whole = String::new();
            for (at, part) in parts.iter().enumerate() {
                let part = std::str::from_utf8(part).unwrap();
                if packing == Packing::Lines {
                    let json: serde_json::Value = serde_json::from_str(part).unwrap();
                    assert_eq!((json["part"].as_u64(), json["seq"].as_u64()), (Some(at as u64 + 1), Some(7)));
                    assert_eq!(json["sha256"], digest::hex(&digest::sha256(line.trim_end().as_bytes())));
                    whole.push_str(json["text"].as_str().unwrap());
                } else {
                    assert!(
                        part.contains(&format!("part=\"{}\" parts=\"{}\"", at + 1, parts.len())),
                        "{part}"
                    );
                    whole.push_str(part.split_once("\"] ").unwrap().1);
                }
            }
            assert_eq!(whole, line.trim_end());
            assert_eq!(packing.datagrams(entry("{}\n"), NOW, 1_400).len(), 1);
        }
    }
}
