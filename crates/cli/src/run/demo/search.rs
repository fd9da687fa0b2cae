//! Looks for values where none may be: in every form in which programs write them down.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use coffre_secret::{SecretText, SecretVec};

use super::trouble::Trouble;

/// Shorter forms (a port, a flag) occur everywhere by chance.
const SHORTEST: usize = 8;
/// Shorter lines of a longer value occur by chance as well.
const SHORTEST_LINE: usize = 16;

/// All forms of some values.
#[derive(Default)]
pub(crate) struct Needles {
    names: Vec<String>,
    /// Forms by their first eight bytes; the number is that of the name.
    by_head: HashMap<[u8; SHORTEST], Vec<(usize, SecretVec)>>,
}

impl Needles {
    /// Adds a value under the name by which it is reported.
    pub(crate) fn add(&mut self, name: &str, value: &SecretText) {
        let number = self.names.len();
        self.names.push(name.to_owned());
        // EXPOSE: turned into what is searched for.
        for form in forms(value.expose()) {
            if let Some(head) = form.first_chunk::<SHORTEST>() {
                self.by_head.entry(*head).or_default().push((number, SecretVec::new(form)));
            }
        }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The names of the values that are somewhere in `text`.
    pub(crate) fn found_in(&self, text: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for (at, head) in text.windows(SHORTEST).enumerate() {
            let Some(candidates) =
                <[u8; SHORTEST]>::try_from(head).ok().and_then(|head| self.by_head.get(&head))
            else {
                continue;
            };
            let rest = text.get(at..).unwrap_or_default();
            // EXPOSE: compared with what is searched.
            let here = candidates.iter().filter(|(_, form)| rest.starts_with(form.expose()));
            found.extend(here.filter_map(|(number, _)| self.names.get(*number)).map(String::as_str));
        }
        found
    }
}

/// The value plain, in JSON, percent-encoded, in base64 wherever it begins, in hexadecimal; of a text of several lines
/// each line as well.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut all = written(value);
    for line in value.lines().filter(|line| line.len() >= SHORTEST_LINE && !line.contains("-----")) {
        all.extend(written(line));
    }
    all.retain(|form| form.len() >= SHORTEST);
    all.sort();
    all.dedup();
    all
}

fn written(text: &str) -> Vec<Vec<u8>> {
    let json = serde_json::Value::from(text).to_string();
    let json = json.get(1..json.len() - 1).unwrap_or_default().to_owned();
    let mut all = vec![
        text.to_owned(),
        json.chars().map(ascii_only).collect(),
        json,
        percent(text, "-_.~"),
        percent(text, "-_.~/:"),
        text.bytes().fold(String::new(), |hex, byte| appended(hex, format_args!("{byte:02x}"))),
        text.bytes().fold(String::new(), |hex, byte| appended(hex, format_args!("{byte:02X}"))),
    ];
    for engine in [&STANDARD, &URL_SAFE] {
        all.extend((0..3).map(|offset| in_base64(engine, text, offset)));
    }
    all.into_iter().map(String::into_bytes).collect()
}

/// The part of the base64 text that is the same whatever stands before (as many bytes as `offset`, modulo 3) and after.
fn in_base64(engine: &impl base64::Engine, text: &str, offset: usize) -> String {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(text.as_bytes());
    let whole = engine.encode(&bytes);
    let from = [0, 2, 3].get(offset).copied().unwrap_or_default();
    whole.get(from..bytes.len() / 3 * 4).unwrap_or_default().to_owned()
}

fn percent(text: &str, kept: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
            out.push(char::from(byte));
            return out;
        }
        appended(out, format_args!("%{byte:02X}"))
    })
}

fn ascii_only(letter: char) -> String {
    if letter.is_ascii() {
        return letter.to_string();
    }
    let mut units = [0; 2];
    let units = letter.encode_utf16(&mut units);
    units.iter().fold(String::new(), |out, unit| appended(out, format_args!("\\u{unit:04x}")))
}

fn appended(mut out: String, more: std::fmt::Arguments<'_>) -> String {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(more);
    out
}

/// What a search of a directory gave.
#[derive(Debug, Default)]
pub(crate) struct Searched {
    pub(crate) files: usize,
    /// `<value> in <file>`.
    pub(crate) hits: Vec<String>,
}

/// Searches every file below a directory, except those of these names.
pub(crate) fn search(needles: &Needles, directory: &Path, except: &[&str]) -> Result<Searched, Trouble> {
    let mut searched = Searched::default();
    let mut ahead = vec![directory.to_owned()];
    while let Some(folder) = ahead.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| Trouble::file(&folder, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| Trouble::file(&folder, &error))?;
            let path = entry.path();
            if except.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            let kind = entry.file_type().map_err(|error| Trouble::file(&path, &error))?;
            if kind.is_dir() {
                ahead.push(path);
            } else if kind.is_file() {
                let text = std::fs::read(&path).map_err(|error| Trouble::file(&path, &error))?;
                searched.files += 1;
                let shown = path.strip_prefix(directory).unwrap_or(&path).display().to_string();
                searched.hits.extend(needles.found_in(&text).iter().map(|name| format!("{name} in {shown}")));
            }
        }
    }
    searched.hits.sort();
    Ok(searched)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use proptest::prelude::*;

    use super::*;

    fn needles(value: &str) -> Needles {
        let mut needles = Needles::default();
        needles.add("V", &SecretText::from(value));
        needles
    }

    #[test]
    fn every_form_is_found() {
        let value = "línea \"one\"/two+#\ttail";
        let needles = needles(value);
        let json = serde_json::json!({ "k": value }).to_string();
        for text in [
            format!("x{value}y"),
            json,
            r#"l\u00ednea \"one\"/two+#\ttail"#.to_owned(),
            "l%C3%ADnea%20%22one%22%2Ftwo%2B%23%09tail".to_owned(),
            value.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ] {
            assert_eq!(needles.found_in(text.as_bytes()).len(), 1, "{text}");
        }
        assert!(needles.found_in(b"nothing of it: one two tail").is_empty());
    }

    #[test]
    fn lines_of_a_key_are_found_alone() {
        let needles = needles("-----BEGIN X-----\nMIGHAgEAMBMGByqGSM49\nshort\n-----END X-----");
        assert_eq!(needles.found_in(b"..MIGHAgEAMBMGByqGSM49..").len(), 1);
        assert!(needles.found_in(b"-----BEGIN X----- short -----END X-----").is_empty());
    }

    #[test]
    fn a_directory_is_searched_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/log"), "… hunter2hunter2 …").unwrap();
        std::fs::write(dir.path().join(".env"), "K=hunter2hunter2").unwrap();
        let searched = search(&needles("hunter2hunter2"), dir.path(), &[".env"]).unwrap();
        assert_eq!((searched.files, searched.hits), (1, vec!["V in a/log".to_owned()]));
    }

    proptest! {
        #[test]
        fn base64_is_found_wherever_it_begins(
            value in "[ -~]{11,40}", before in prop::collection::vec(any::<u8>(), 0..7), after in "[ -~]{0,5}",
        ) {
            let bytes = [before.as_slice(), value.as_bytes(), after.as_bytes()].concat();
            for text in [STANDARD.encode(&bytes), URL_SAFE.encode(&bytes)] {
                prop_assert_eq!(needles(&value).found_in(text.as_bytes()).len(), 1);
            }
        }

        #[test]
        fn what_is_not_there_is_not_found(value in "[a-z]{12,20}", text in "[A-Z0-9 ]{0,200}") {
            // Hexadecimal digits and base64 of lower-case letters need letters or digits that this text may hold only
            // by a chance of less than 2^-40.
            prop_assert!(needles(&value).found_in(text.as_bytes()).is_empty());
        }
    }
}
