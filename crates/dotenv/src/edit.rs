use std::ops::Range;

use coffre_secret::SecretText;

use crate::document::Document;
use crate::lexer::is_space;
use crate::value::{Atom, atoms};

/// A change was refused; the document is as before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    /// No statement has this number, or it is not a binding.
    #[error("statement {0} is not a binding; parse the file again, it has changed")]
    NotABinding(usize),
    /// No quoting yields this value in this dialect: python-dotenv replaces `${…}` everywhere, and before 1.2.3 it could
    /// not read every backslash.
    #[error(
        "the value cannot be written in a .env file so that python-dotenv reads it back unchanged; keep it in the vault"
    )]
    Unwritable,
}

impl Document {
    /// The document with another value at statement `number`; name, `export`, comments and order stay. The value is
    /// written as it stands if that reads back, else quoted.
    pub fn with_value(&self, number: usize, value: &SecretText) -> Result<Self, EditError> {
        let statement = self.statements().get(number).ok_or(EditError::NotABinding(number))?;
        let binding = statement.binding().ok_or(EditError::NotABinding(number))?;
        // EXPOSE: written into the new text, which is secret.
        let value = value.expose();
        for written in spellings(value) {
            let written = written.expose();
            let (span, text) = match (&binding.value_span, &binding.comment_span) {
                (Some(span), _) => (span.clone(), written.clone()),
                (None, comment) => {
                    // No `=` yet: it goes to where the name ends.
                    let end = comment.as_ref().map_or(statement.span.end, |comment| comment.start);
                    let at = self.end_of_text(statement.span.start..end);
                    (at..at, format!("={written}"))
                }
            };
            let made = self.spliced(span, &text);
            if made.reads_back(number, value, self.statements().len()) {
                return Ok(made);
            }
        }
        Err(EditError::Unwritable)
    }

    /// The document with other text in place of the whole statement `number`, line end included.
    pub fn with_statement(&self, number: usize, text: &SecretText) -> Result<Self, EditError> {
        let statement = self.statements().get(number).ok_or(EditError::NotABinding(number))?;
        // EXPOSE: written into the new text, which is secret.
        Ok(self.spliced(statement.span.clone(), text.expose()))
    }

    fn spliced(&self, span: Range<usize>, text: &str) -> Self {
        // EXPOSE: from one secret text into another.
        let old = self.to_text().expose();
        let mut made = SecretText::new(String::with_capacity(old.len() + text.len()));
        for piece in [old.get(..span.start), Some(text), old.get(span.end..)] {
            made.expose_mut().push_str(piece.unwrap_or_default());
        }
        Self::parse(made, self.dialect())
    }

    /// Whether the value reads back unchanged and no other statement appeared or went.
    fn reads_back(&self, number: usize, value: &str, statements: usize) -> bool {
        let written = self.statements().get(number).and_then(|s| s.binding()).and_then(|b| b.value.as_ref());
        let unchanged = written.is_some_and(|written| written.ct_eq(value.as_bytes()));
        let plain = atoms(value).iter().all(|atom| matches!(atom, Atom::Literal(_)));
        unchanged && plain && self.statements().len() == statements
    }

    /// Where the last character that is not white space ends.
    fn end_of_text(&self, span: Range<usize>) -> usize {
        // EXPOSE: looks for white space only.
        let text = self.to_text().expose().get(span.clone()).unwrap_or_default();
        span.start + text.trim_end_matches(is_space).len()
    }
}

/// Ways to write a value, the plainest first. Which of them reads back is tried out, not argued.
fn spellings(value: &str) -> Vec<SecretText> {
    let double = value.replace('\\', "\\\\").replace('"', "\\\"");
    let single = value.replace('\\', "\\\\").replace('\'', "\\'");
    let lines = double.replace('\r', "\\r").replace('\n', "\\n");
    [
        value.to_owned(),
        format!("\"{lines}\""),
        format!("\"{double}\""),
        format!("'{single}'"),
        format!("\"{value}\""),
    ]
    .map(SecretText::new)
    .into()
}
