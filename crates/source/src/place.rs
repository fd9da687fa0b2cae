//! What stands in files around a program: the manifest, `.env`, the hosts that are pinned as production.

use std::path::{Path, PathBuf};

use coffre_dotenv::{Dialect, Document};
use coffre_manifest::Manifest;

/// Hosts that are production wherever they are reached from, one a line; `*` says that this machine is.
pub const PINS: &str = "/etc/coffre/production-hosts";
/// Larger files are refused.
const LARGEST: u64 = 16 << 20;

/// The manifest at `given`, else `coffre.toml` in `here` or a directory above, and the directory it stands in. The
/// error is a sentence.
pub fn manifest(given: Option<PathBuf>, here: &Path) -> Result<(PathBuf, Manifest), String> {
    let path = match given {
        Some(path) => path,
        None => {
            let above = here.ancestors().map(|directory| directory.join("coffre.toml"));
            above.into_iter().find(|path| path.is_file()).ok_or_else(|| {
                format!(
                    "there is no coffre.toml in {} or above; write one with `coffre migrate init`",
                    here.display()
                )
            })?
        }
    };
    let text = read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let text = String::from_utf8(text).map_err(|_| format!("{} is not UTF-8 text", path.display()))?;
    let manifest = Manifest::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((directory.to_owned(), manifest))
}

/// The `.env` file at `given`, which must be there, else the one in `directory`, if there is one. The error is a
/// sentence.
pub fn dotenv(given: Option<&Path>, directory: &Path) -> Result<Option<Document>, String> {
    let path = given.map_or_else(|| directory.join(".env"), Path::to_owned);
    match read(&path) {
        Ok(bytes) => Document::from_bytes(bytes, Dialect::default())
            .map(Some)
            .map_err(|error| format!("{}: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && given.is_none() => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// The hosts pinned as production: those that `stated` lists, and those of [`PINS`].
#[must_use]
pub fn pins(stated: &str) -> Vec<String> {
    pinned(stated, read(Path::new(PINS)))
}

/// Host names from a variable and a file. A file that is there and cannot be read may say anything, so it is taken to
/// pin this machine.
fn pinned(stated: &str, file: std::io::Result<Vec<u8>>) -> Vec<String> {
    let file = match file.map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Ok(Err(_)) | Err(_) => "*".to_owned(),
    };
    let words = |text: &str| -> Vec<String> {
        let split = text.split([',', '\n']).map(|word| word.trim().trim_end_matches('.'));
        split.filter(|word| !word.is_empty() && !word.starts_with('#')).map(str::to_owned).collect()
    };
    words(stated).into_iter().chain(words(&file)).collect()
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == LARGEST {
        return Err(std::io::Error::other("it is larger than 16 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn pins_that_cannot_be_read_pin_the_machine() {
        let file = |text: &str| Ok(text.as_bytes().to_vec());
        assert_eq!(pinned("a,b.", file("# ours\nvault.corp.\n\n")), ["a", "b", "vault.corp"]);
        assert_eq!(pinned("", Err(ErrorKind::NotFound.into())), Vec::<String>::new());
        assert_eq!(pinned("a", Err(ErrorKind::PermissionDenied.into())), ["a", "*"]);
        assert_eq!(pinned("", Err(Error::other("too large"))), ["*"]);
        assert_eq!(pinned("", Ok(vec![0xff])), ["*"]);
    }
}
