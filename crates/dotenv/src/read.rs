use coffre_secret::SecretVec;

use crate::dialects::Dialect;
use crate::document::Document;

/// The bytes are not UTF-8. Python refuses the whole file, so we do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "line {line} is not UTF-8 (byte {offset} of the file); python-dotenv refuses the whole file: save it as UTF-8, or remove that byte"
)]
pub struct NotUtf8 {
    /// The line (from 1) that holds the first wrong byte.
    pub line: usize,
    /// Its offset from the start of the file (from 0).
    pub offset: usize,
}

impl Document {
    /// Reads a file's bytes: UTF-8, strictly.
    pub fn from_bytes(bytes: Vec<u8>, dialect: Dialect) -> Result<Self, NotUtf8> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::parse(text, dialect)),
            Err(error) => {
                let offset = error.utf8_error().valid_up_to();
                let bytes = SecretVec::new(error.into_bytes());
                // EXPOSE: counts line ends only.
                let before = bytes.expose().get(..offset).and_then(|valid| std::str::from_utf8(valid).ok());
                Err(NotUtf8 { line: 1 + crate::lexer::line_ends(before.unwrap_or_default()), offset })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_bytes_are_named_by_line_and_offset_only() {
        let error = Document::from_bytes(b"A=1\r\nB=hunter2\xff\n".to_vec(), Dialect::default()).unwrap_err();
        assert_eq!(error, NotUtf8 { line: 2, offset: 14 });
        assert!(!error.to_string().contains("hunter2"));
    }
}
