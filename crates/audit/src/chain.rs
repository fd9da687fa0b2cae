//! The hash chain over a file of entries, and its verifier.
//!
//! Each line ends with three members that the device adds:
//!
//! ```text
//! …,"seq":42,"chain":"<64 hex>","mac":"<32 hex>"}
//! ```
//!
//! `chain` is SHA-256 over a label, the link of the line before (32 bytes), `seq` (8 bytes, big endian) and the line's own
//! bytes before `,"seq":`. So any line that is changed, cut out, put in or moved breaks the chain at a line that can be
//! named, and anybody can check that. `mac` is half of HMAC-SHA-256 over `chain` under the device's own key: whoever
//! rewrites the whole rest of a file, chain included, is caught by whoever holds the key.
//!
//! The first line that a device writes into an empty file, or after a gap, has a member `prev` as well: the link that it
//! continues. So each file of a rotated log can be checked alone, and all of them in a row. Cutting the last lines of the
//! last file leaves a chain that is whole; only the [`Head`] kept elsewhere tells.

use std::io::{self, BufRead};

use coffre_crypto::{Key, derive::subkey, digest, mac::Mac};

pub use crate::device::Head;
use crate::json::{Line, field};

/// The key under which a device signs its links.
#[derive(Clone, Debug)]
pub struct ChainKey(Mac);

impl ChainKey {
    /// For the device whose root key this is.
    #[must_use]
    pub fn new(device_key: &Key) -> Self {
        Self(Mac::new(&subkey(device_key, "coffre audit chain v1")))
    }

    fn sign(&self, link: &[u8; 32]) -> String {
        digest::hex(self.0.tag(&[link]).get(..16).unwrap_or_default())
    }
}

/// Adds the closing members to entries, one after the other.
pub(crate) struct Chain {
    key: ChainKey,
    head: Head,
    /// Whether the next line must say what it continues.
    tells_prev: bool,
}

impl Chain {
    pub(crate) const fn continuing(key: ChainKey, head: Head) -> Self {
        Self { key, head, tells_prev: true }
    }

    pub(crate) const fn head(&self) -> Head {
        self.head
    }

    /// The next line will stand at the beginning of a file, or after a gap.
    pub(crate) const fn tell_prev(&mut self) {
        self.tells_prev = true;
    }

    /// Closes an entry and ends its line. What it returns takes effect with [`Chain::commit`].
    pub(crate) fn close(&self, at: &Head, mut entry: Line, first: bool) -> (Line, Head) {
        if first && self.tells_prev {
            field(&mut entry, "prev", &digest::hex(&at.link));
        }
        let seq = at.seq.saturating_add(1);
        let link = link(&at.link, seq, &entry);
        let mac = self.key.sign(&link);
        entry.extend_from_slice(SEQ);
        entry.extend_from_slice(seq.to_string().as_bytes());
        entry.extend_from_slice(CHAIN);
        entry.extend_from_slice(digest::hex(&link).as_bytes());
        entry.extend_from_slice(MAC);
        entry.extend_from_slice(mac.as_bytes());
        entry.extend_from_slice(b"\"}\n");
        (entry, Head { seq, link })
    }

    /// The lines up to this head were written.
    pub(crate) const fn commit(&mut self, head: Head) {
        self.head = head;
        self.tells_prev = false;
    }
}

const SEQ: &[u8] = b",\"seq\":";
const CHAIN: &[u8] = b",\"chain\":\"";
const MAC: &[u8] = b"\",\"mac\":\"";

fn link(prev: &[u8; 32], seq: u64, body: &[u8]) -> [u8; 32] {
    let mut hash = digest::Sha256::new();
    hash.update(b"coffre audit line v1\0");
    hash.update(prev);
    hash.update(&seq.to_be_bytes());
    hash.update(body);
    hash.finish()
}

/// A line taken apart.
struct Parts<'l> {
    body: &'l [u8],
    prev: Option<[u8; 32]>,
    head: Head,
    mac: &'l str,
}

/// `None` for a line that no device wrote like this.
fn take_apart(line: &[u8]) -> Option<Parts<'_>> {
    let at = line.windows(SEQ.len()).rposition(|window| window == SEQ)?;
    let (body, tail) = line.split_at_checked(at)?;
    let tail = std::str::from_utf8(tail.get(SEQ.len()..)?).ok()?;
    let (seq, tail) = tail.split_once(std::str::from_utf8(CHAIN).ok()?)?;
    let (chain, tail) = tail.split_once(std::str::from_utf8(MAC).ok()?)?;
    let mac = tail.strip_suffix("\"}")?;
    let canonical = mac.len() == 32 && (seq == "0" || !seq.starts_with(['0', '+']));
    let head = Head { seq: seq.parse().ok()?, link: unhex(chain)? };
    canonical.then_some(Parts { body, prev: prev_of(body), head, mac })
}

/// The member `prev`, which is the last one of the body if it is there.
fn prev_of(body: &[u8]) -> Option<[u8; 32]> {
    let tail = std::str::from_utf8(body.get(body.len().checked_sub(74)?..)?).ok()?;
    unhex(tail.strip_prefix(",\"prev\":\"")?.strip_suffix('"')?)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    digits.then_some(bytes)
}

/// The head that a line leaves, if a device wrote it (unchecked otherwise).
pub(crate) fn head_of(line: &[u8]) -> Option<Head> {
    take_apart(line).map(|parts| parts.head)
}

/// What a whole chain tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Lines read.
    pub lines: u64,
    /// Where the first line begins: [`Head::START`] is the beginning of all.
    pub from: Head,
    /// Where the last line ends. Compare it with the head kept elsewhere.
    pub to: Head,
}

/// Why a file is not a whole chain, and where. Lines are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The file could not be read.
    #[error("the file could not be read")]
    Io(#[from] io::Error),
    /// Not an entry of ours, or cut off in the middle.
    #[error("line {line} is not a complete audit entry")]
    NotAnEntry {
        /// Where.
        line: u64,
    },
    /// The line was changed, or what stood before it was changed, cut out or moved.
    #[error("line {line} does not continue the line before it: it was changed, or lines before it were")]
    Link {
        /// Where.
        line: u64,
    },
    /// The numbers do not follow each other: lines are missing, doubled or moved.
    #[error("line {line} has number {found} where {expected} was due: lines are missing, added or moved")]
    Order {
        /// Where.
        line: u64,
        /// Due.
        expected: u64,
        /// There.
        found: u64,
    },
    /// The chain is whole, but whoever wrote this line did not hold the device's key.
    #[error("line {line} was not written by this device: its seal is wrong")]
    Forged {
        /// Where.
        line: u64,
    },
    /// The first line does not continue what it should.
    #[error("the first line does not continue the chain where the file before it ended: a file is missing")]
    Gap,
}

/// Checks one file. `after` is where the file before it ended, if it is known; without `key`, seals are not looked at.
pub fn verify(
    mut file: impl BufRead,
    after: Option<Head>,
    key: Option<&ChainKey>,
) -> Result<Verified, Broken> {
    let mut seen: Option<Verified> = None;
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        if io::Read::take(&mut file, LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        let parts = line.strip_suffix(b"\n").and_then(take_apart);
        let parts = parts.ok_or(Broken::NotAnEntry { line: number })?;
        let before = match (&seen, after) {
            (Some(seen), _) => seen.to,
            (None, known) => first_before(&parts, known)?,
        };
        check(&parts, before, number, key)?;
        let from = seen.map_or(before, |seen| seen.from);
        seen = Some(Verified { lines: number, from, to: parts.head });
    }
    let empty = after.unwrap_or(Head::START);
    Ok(seen.unwrap_or(Verified { lines: 0, from: empty, to: empty }))
}

/// Longer lines are no entries; the readers stop there rather than fill the memory.
pub(crate) const LONGEST_LINE: u64 = 4 << 20;

fn first_before(parts: &Parts<'_>, known: Option<Head>) -> Result<Head, Broken> {
    let claimed = parts.prev.map(|link| Head { seq: parts.head.seq.saturating_sub(1), link });
    match (known, claimed) {
        (Some(known), Some(claimed)) if known != claimed => Err(Broken::Gap),
        (Some(known), _) => Ok(known),
        (None, Some(claimed)) if claimed.seq > 0 || claimed == Head::START => Ok(claimed),
        (None, _) => Err(Broken::Gap),
    }
}

fn check(parts: &Parts<'_>, before: Head, line: u64, key: Option<&ChainKey>) -> Result<(), Broken> {
    let expected = before.seq.saturating_add(1);
    if parts.head.seq != expected {
        return Err(Broken::Order { line, expected, found: parts.head.seq });
    }
    let continues = parts.prev.is_none_or(|prev| prev == before.link);
    if !continues || link(&before.link, parts.head.seq, parts.body) != parts.head.link {
        return Err(Broken::Link { line });
    }
    match key {
        Some(key) if key.sign(&parts.head.link) != parts.mac => Err(Broken::Forged { line }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ChainKey {
        ChainKey::new(&Key::copy_of(&[byte; 32]).unwrap())
    }

    fn lines(chain: &mut Chain, count: usize) -> Vec<String> {
        let mut write = |n: usize| {
            let entry = format!("{{\"time\":\"t\",\"n\":{n},\"data\":{{\"seq\":\"x,\\\"seq\\\":1\"}}");
            let (line, head) = chain.close(&chain.head(), entry.into_bytes(), true);
            chain.commit(head);
            String::from_utf8(line).unwrap()
        };
        (0..count).map(&mut write).collect()
    }

    fn check(lines: &[String]) -> Result<Verified, Broken> {
        verify(lines.concat().as_bytes(), None, Some(&key(1)))
    }

    #[test]
    fn a_whole_chain_passes_and_each_line_is_json() {
        let mut chain = Chain::continuing(key(1), Head::START);
        let lines = lines(&mut chain, 20);
        let told = check(&lines).unwrap();
        assert_eq!((told.lines, told.from, told.to), (20, Head::START, chain.head()));
        for line in &lines {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert!(verify(lines.concat().as_bytes(), None, None).is_ok());
    }

    #[test]
    fn deleting_changing_or_moving_any_line_is_found_where_it_is() {
        let whole = lines(&mut Chain::continuing(key(1), Head::START), 12);
        for at in 0..11 {
            let mut cut = whole.clone();
            cut.remove(at);
            let error = check(&cut).unwrap_err();
            let found = matches!(error, Broken::Order { line, .. } if line == at as u64 + 1);
            assert!(found || (at == 0 && matches!(error, Broken::Gap)), "{at}: {error}");

            let mut moved = whole.clone();
            moved.swap(at, at + 1);
            let error = check(&moved).unwrap_err();
            let found = matches!(error, Broken::Order { line, .. } if line == at as u64 + 1);
            assert!(found || (at == 0 && matches!(error, Broken::Gap)), "{at}: {error}");
        }
        for at in 0..12 {
            let mut changed = whole.clone();
            changed[at] = changed[at].replace("\"t\"", "\"T\"");
            assert!(
                matches!(check(&changed).unwrap_err(), Broken::Link { line } if line == at as u64 + 1),
                "{at}"
            );
        }
    }

    #[test]
    fn each_flipped_byte_is_found() {
        let whole = lines(&mut Chain::continuing(key(1), Head::START), 3).concat().into_bytes();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(verify(flipped.as_slice(), None, Some(&key(1))).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_rewritten_tail_is_caught_by_the_seal() {
        let mut forger = Chain::continuing(key(2), Head::START);
        let forged = lines(&mut forger, 3);
        assert!(verify(forged.concat().as_bytes(), None, None).is_ok());
        assert!(matches!(check(&forged).unwrap_err(), Broken::Forged { line: 1 }));
    }

    #[test]
    fn rotated_files_check_alone_and_in_a_row() {
        let mut chain = Chain::continuing(key(1), Head::START);
        let first = lines(&mut chain, 3).concat();
        chain.tell_prev();
        let second = lines(&mut chain, 3).concat();
        let end = verify(first.as_bytes(), Some(Head::START), Some(&key(1))).unwrap().to;
        assert_eq!(verify(second.as_bytes(), Some(end), Some(&key(1))).unwrap().to, chain.head());
        assert_eq!(verify(second.as_bytes(), None, Some(&key(1))).unwrap().from, end);
        assert!(matches!(verify(second.as_bytes(), Some(Head::START), None), Err(Broken::Gap)));
        assert!(verify((first + &second).as_bytes(), None, Some(&key(1))).is_ok());
    }

    #[test]
    fn a_cut_tail_shows_only_against_the_head_kept_elsewhere() {
        let mut chain = Chain::continuing(key(1), Head::START);
        let whole = lines(&mut chain, 5);
        assert_ne!(check(&whole[..4]).unwrap().to, chain.head());
        assert!(matches!(verify(&b"{\"a\":1}\n"[..], None, None), Err(Broken::NotAnEntry { line: 1 })));
        let half = whole.concat();
        assert!(matches!(
            verify(&half.as_bytes()[..half.len() - 9], None, None),
            Err(Broken::NotAnEntry { line: 5 })
        ));
    }
}
