//! PGP public keys on the command line: files, or the keys themselves.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::call::Call;
use crate::json::Node;
use crate::outcome::Failure;

/// Bytes of a key file, at most; the server takes no larger ones either.
const LARGEST: u64 = 256 * 1024;
/// No public key has fewer letters in base64; a shorter word is the name of a file that is not there.
const SHORTEST: usize = 64;

/// The keys of a flag, which may be given several times and separates by commas, as the server takes them.
pub(crate) fn of_flag(call: &Call, flag: &str) -> Result<Vec<Node>, Failure> {
    let words = call.parsed.many(flag).into_iter().flat_map(|words| words.split(',')).map(str::trim);
    words.filter(|word| !word.is_empty()).map(|word| key(flag, word).map(Node::from)).collect()
}

/// The only key of a flag, if it was given.
pub(crate) fn one(call: &Call, flag: &str) -> Result<Option<Node>, Failure> {
    let mut keys = of_flag(call, flag)?;
    match keys.len() {
        0 | 1 => Ok(keys.pop()),
        many => Err(Failure::local(format!("-{flag} takes one key, not {many}"))),
    }
}

fn key(flag: &str, word: &str) -> Result<String, Failure> {
    if word.starts_with("keybase:") {
        return Err(Failure::local(format!(
            "-{flag}: Keybase is not asked for keys; export {word:?} to a file and give its name"
        )));
    }
    let (path, surely) = match word.strip_prefix('@') {
        Some(path) => (path, true),
        None => (word, false),
    };
    if surely || Path::new(path).is_file() {
        return from_file(path).map_err(|problem| Failure::local(format!("-{flag}: {path}: {problem}")));
    }
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if word.len() >= SHORTEST && word.bytes().all(base64) {
        return Ok(word.to_owned());
    }
    Err(Failure::local(format!("-{flag}: there is no file {word:?}, and it is not a key in base64")))
}

/// Armoured and base64 text as it stands, anything else in base64.
fn from_file(path: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err("too large for a public key".to_owned());
    }
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.is_ascii() => Ok(text.trim().to_owned()),
        _ => Ok(STANDARD.encode(&bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_base64_are_keys_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("armoured"), "-----BEGIN PGP PUBLIC KEY BLOCK-----\n").unwrap();
        fs::write(path("binary"), [0x99, 0x01, 0x0d]).unwrap();
        fs::write(path("empty"), "").unwrap();
        assert_eq!(key("f", &path("armoured")).unwrap(), "-----BEGIN PGP PUBLIC KEY BLOCK-----");
        assert_eq!(key("f", &format!("@{}", path("binary"))).unwrap(), "mQEN");
        assert!(key("f", &path("empty")).unwrap_err().text.contains("empty"));
        assert!(key("f", "missing.asc").unwrap_err().text.contains("no file"));
        assert!(key("f", "keybase:me").is_err());
        let inline = "mQEN".repeat(20);
        assert_eq!(key("f", &inline).unwrap(), inline);
        fs::write(path("large"), vec![b'a'; LARGEST as usize + 1]).unwrap();
        assert!(key("f", &path("large")).is_err());
    }
}
