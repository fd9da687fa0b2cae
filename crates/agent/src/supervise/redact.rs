//! Values that a program prints are hidden in what it prints: hygiene for logs, never a boundary. A program that wants
//! to tell a value can always write it in a form that nobody looks for.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Shorter values occur by chance everywhere.
pub const SHORTEST: usize = 8;
/// Output is held back no longer than this.
const HOLD: Duration = Duration::from_millis(200);
const CHUNK: usize = 16 << 10;
/// What RFC 3986 leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Finds values in all the forms that programs usually print.
#[derive(Debug)]
pub struct Redactor {
    forms: AhoCorasick,
    /// What stands in the place of each form.
    instead: Vec<Vec<u8>>,
    longest: usize,
    /// Variables whose values are too short to look for.
    pub skipped: Vec<String>,
}

/// There are too many values, or too large ones.
#[derive(Debug, thiserror::Error)]
#[error("the values are too many or too large to be looked for in the output; run without -redact")]
pub struct TooLarge;

impl Redactor {
    /// Looks for these values; the names stand in their place.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, TooLarge> {
        let (mut all, mut instead, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for (name, value) in values {
            if value.len() < SHORTEST {
                skipped.push(name.to_owned());
                continue;
            }
            for form in forms(value).into_iter().filter(|form| form.len() >= SHORTEST) {
                if seen.insert(form.clone()) {
                    all.push(form);
                    instead.push(format!("<{name}>").into_bytes());
                }
            }
        }
        let longest = all.iter().map(Vec::len).max().unwrap_or(0);
        let forms = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&all);
        Ok(Self { forms: forms.map_err(|_| TooLarge)?, instead, longest, skipped })
    }

    /// Copies everything until the end of `from`. It ends early if nobody reads `to` any more; `from` is closed then, as
    /// it would be without us.
    pub fn copy(&self, mut from: impl Read + AsFd, mut to: impl Write) -> std::io::Result<()> {
        let mut held = Vec::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            // What is held back waits for more, but not for long.
            if !held.is_empty() && !is_readable(&from)? {
                self.pass(&mut held, true, &mut to)?;
                continue;
            }
            let read = match from.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read?,
            };
            held.extend(chunk.iter().take(read));
            self.pass(&mut held, read == 0, &mut to)?;
            if read == 0 {
                return Ok(());
            }
        }
    }

    /// Writes what is certain, or all of it, and keeps the rest.
    fn pass(&self, held: &mut Vec<u8>, all: bool, to: &mut impl Write) -> std::io::Result<()> {
        // A form that begins before this is here as a whole.
        let certain = if all { held.len() } else { (held.len() + 1).saturating_sub(self.longest.max(1)) };
        let mut done = 0;
        let mut out = Vec::with_capacity(held.len());
        while let Some(found) = self.forms.find(Input::new(&*held).range(done..)) {
            if found.start() >= certain {
                break;
            }
            out.extend(held.get(done..found.start()).unwrap_or_default());
            out.extend(self.instead.get(found.pattern().as_usize()).into_iter().flatten());
            done = found.end();
        }
        let until = done.max(certain);
        out.extend(held.get(done..until).unwrap_or_default());
        held.drain(..until);
        if !out.is_empty() {
            to.write_all(&out)?;
            to.flush()?;
        }
        Ok(())
    }
}

fn is_readable(from: &impl AsFd) -> std::io::Result<bool> {
    let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(HOLD.subsec_nanos()) };
    let mut polled = [PollFd::new(from, PollFlags::IN)];
    loop {
        match poll(&mut polled, Some(&wait)) {
            Err(rustix::io::Errno::INTR) => {}
            polled => return Ok(polled? > 0),
        }
    }
}

/// The value as it may be printed.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![value.to_vec(), shell_quoted(value, r"'\''"), shell_quoted(value, r#"'"'"'"#)];
    let percent = percent_encode(value, UNRESERVED).to_string();
    all.extend([
        percent.to_lowercase().into_bytes(),
        percent.replace("%20", "+").into_bytes(),
        percent.into_bytes(),
    ]);
    if let Ok(text) = std::str::from_utf8(value) {
        let json = serde_json::to_string(text).unwrap_or_default();
        let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
        all.push(inner.as_bytes().to_vec());
        all.push(inner.replace('/', r"\/").into_bytes());
        all.push(ascii_only(inner).into_bytes());
        // What is read or logged by lines.
        let lines = text.lines().map(str::trim_end).filter(|line| line.len() >= 2 * SHORTEST);
        all.extend(lines.filter(|line| !line.starts_with("-----")).map(|line| line.as_bytes().to_vec()));
    }
    for skipped in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(0, skipped).chain(value.iter().copied()).collect();
        for encoded in [BASE64_STANDARD.encode(&padded), BASE64_URL_SAFE.encode(&padded)] {
            all.push(certain_part(&encoded, skipped, padded.len()).as_bytes().to_vec());
        }
    }
    all
}

/// The characters that depend on the value alone, whatever stands before and behind it.
fn certain_part(encoded: &str, skipped: usize, length: usize) -> &str {
    let first = skipped.saturating_mul(8).div_ceil(6);
    let last = length.saturating_mul(8) / 6;
    encoded.get(first..last).unwrap_or_default()
}

fn shell_quoted(value: &[u8], quote: &str) -> Vec<u8> {
    let quoted = |byte: &u8| if *byte == b'\'' { quote.as_bytes().to_vec() } else { vec![*byte] };
    value.iter().flat_map(quoted).collect()
}

/// As JSON writers do that keep to ASCII (RFC 8259 7).
fn ascii_only(text: &str) -> String {
    let mut units = [0; 2];
    let mut made = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() {
            made.push(letter);
        } else {
            made.extend(letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "s3cr3t'pass/w\"ö rd%42";

    fn redactor(values: &[(&str, &str)]) -> Redactor {
        Redactor::new(values.iter().map(|(name, value)| (*name, value.as_bytes()))).unwrap()
    }

    fn whole(redactor: &Redactor, text: &[u8]) -> String {
        pieces(redactor, &[text])
    }

    fn pieces(redactor: &Redactor, pieces: &[&[u8]]) -> String {
        let (mut held, mut out) = (Vec::new(), Vec::new());
        for piece in pieces {
            held.extend(*piece);
            redactor.pass(&mut held, false, &mut out).unwrap();
            assert!(held.len() < redactor.longest.max(1), "no more than the longest form is held back");
        }
        redactor.pass(&mut held, true, &mut out).unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn every_form_is_hidden() {
        let redactor = redactor(&[("KEY", VALUE), ("PORT", "5432")]);
        assert_eq!(redactor.skipped, ["PORT"]);
        let printed = [
            VALUE.to_owned(),
            serde_json::to_string(VALUE).unwrap(),
            r#""s3cr3t'pass/w\"\u00f6 rd%42""#.to_owned(),
            "s3cr3t%27pass%2Fw%22%C3%B6%20rd%2542".to_owned(),
            "s3cr3t%27pass%2fw%22%c3%b6%20rd%2542".to_owned(),
            "s3cr3t%27pass%2Fw%22%C3%B6+rd%2542".to_owned(),
            format!("'{}'", VALUE.replace('\'', r"'\''")),
            format!("'{}'", VALUE.replace('\'', r#"'"'"'"#)),
        ];
        for text in printed {
            let shown = whole(&redactor, format!("before {text} after 5432").as_bytes());
            assert!(shown.contains("<KEY>") && !shown.contains("pass"), "{text} -> {shown}");
            assert!(shown.starts_with("before ") && shown.ends_with(" after 5432"), "{shown}");
        }
    }

    #[test]
    fn the_longest_wins_and_lines_are_looked_for() {
        let both = redactor(&[("SHORT", "abcdefgh"), ("LONG", "abcdefghij-and-more")]);
        assert_eq!(whole(&both, b"abcdefghij-and-more abcdefgh"), "<LONG> <SHORT>");
        let pem = redactor(&[("PEM", "-----BEGIN X-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END X-----\n")]);
        let shown = whole(&pem, b"log: MIIEvQIBADANBgkqhkiG9w0B\nlog: -----BEGIN X-----\n");
        assert_eq!(shown, "log: <PEM>\nlog: -----BEGIN X-----\n");
    }

    #[test]
    fn output_that_pauses_is_not_held_back() {
        let (mut program, ours) = UnixStream::pair().unwrap();
        let (theirs, mut log) = UnixStream::pair().unwrap();
        let copying = std::thread::spawn(move || redactor(&[("KEY", VALUE)]).copy(ours, theirs));
        // The beginning of a value, as a prompt may end with it.
        program.write_all(b"Password: s3c").unwrap();
        log.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut shown = [0; 13];
        log.read_exact(&mut shown).unwrap();
        assert_eq!(&shown, b"Password: s3c");
        drop(program);
        copying.join().unwrap().unwrap();
    }

    proptest! {
        #[test]
        fn however_it_is_cut(before in "[a-c%+ ]{0,40}", after in "[a-c%+ ]{0,40}", cuts in prop::collection::vec(1_usize..9, 1..60)) {
            let redactor = redactor(&[("KEY", VALUE), ("OTHER", "aabbccaabb")]);
            let text = format!("{before}{VALUE}{after}aabbccaabb{before}");
            let bytes = text.as_bytes();
            let (mut at, mut cut) = (0, vec![]);
            for length in cuts {
                let end = (at + length).min(bytes.len());
                cut.push(&bytes[at..end]);
                at = end;
            }
            cut.push(&bytes[at..]);
            prop_assert_eq!(pieces(&redactor, &cut), whole(&redactor, bytes));
        }

        #[test]
        fn in_base64_wherever_it_stands(value in prop::collection::vec(any::<u8>(), 12..40), before in prop::collection::vec(any::<u8>(), 0..7), after in prop::collection::vec(any::<u8>(), 0..7)) {
            let redactor = Redactor::new([("KEY", &value[..])]).unwrap();
            let text = [before, value.clone(), after].concat();
            for encoded in [BASE64_STANDARD.encode(&text), BASE64_URL_SAFE.encode(&text)] {
                let shown = whole(&redactor, encoded.as_bytes());
                prop_assert!(shown.contains("<KEY>"), "{} -> {}", encoded, shown);
            }
        }

        #[test]
        fn other_bytes_pass_as_they_are(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let redactor = redactor(&[("KEY", VALUE)]);
            let mut out = Vec::new();
            redactor.pass(&mut bytes.clone(), true, &mut out).unwrap();
            prop_assert_eq!(out, bytes);
        }
    }
}
