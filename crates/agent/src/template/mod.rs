//! Templates: text in which secrets are named (MiniJinja's syntax, which is Jinja's).
//!
//! * `secret("atmr/data/prod/jwt/secret_key", "value")` is one field; the path is the API's, below `/v1/`.
//! * `document("database/creds/atmr-api")` is a whole answer: `{% set db = document(…) %}{{ db.username }}`.
//! * `env("FLASK_ENV")` is a variable of the agent's environment, if the configuration names it.
//! * Filters: `b64` (RFC 4648, with padding), `json`, `percent` (RFC 3986, all but unreserved characters), `shell` (one
//!   word for a POSIX shell), `text` (an ordinary text, for comparisons).
//!
//! Whatever is not there is an error, also in a condition: no empty place is ever rendered for it. Within one render each
//! path is read once, so a user name and its password come from one version. Values stay in memory that is wiped as far
//! as the engine allows: secrets are objects that write themselves into the output, and only `text` and filters of the
//! engine make copies. Errors name lines, paths and fields, never a value.

mod secrets;

pub(crate) use secrets::is_path;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use coffre_secret::SecretVec;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use crate::acknowledge::RING;
use crate::document::Document;

/// Documents by path.
pub type Documents = BTreeMap<String, Arc<Document>>;

/// Larger files are not made: a template that reaches this loops.
const LARGEST: usize = 16 << 20;
/// More documents in one file are a mistake.
const MOST_DOCUMENTS: usize = 256;

/// A template that was parsed once.
#[derive(Clone)]
pub struct Template {
    name: Arc<str>,
    text: Arc<str>,
    environment: Arc<BTreeMap<String, Option<String>>>,
}

/// What a render came to.
#[derive(Debug)]
pub enum Rendered {
    /// The whole file, and of which documents it was given every key of a ring: by the field `keys`, or as a whole.
    Whole(SecretVec, BTreeSet<String>),
    /// This document is needed as well; render again with it.
    Needs(String),
}

/// A template is wrong, or something that it names is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TemplateError {
    name: Arc<str>,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.name, self.what),
            None => write!(f, "{}: {}", self.name, self.what),
        }
    }
}

/// What one render found out beside its text.
#[derive(Default)]
struct Finding {
    needs: Option<String>,
    problem: Option<String>,
    rings: BTreeSet<String>,
}

/// Where functions leave what they found out.
struct Findings {
    template: Arc<str>,
    finding: Mutex<Finding>,
}

impl Findings {
    /// A field was read; `None`: all of them.
    fn read(&self, path: &str, field: Option<&str>) {
        if field.is_none_or(|field| field == RING) {
            self.change(|finding| {
                finding.rings.insert(path.to_owned());
            });
        }
    }

    fn change(&self, change: impl FnOnce(&mut Finding)) {
        change(&mut self.finding.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A word for a message. It may have been computed from a secret, so it is repeated only if the template says it.
    fn shown(&self, word: &str) -> String {
        let literal = !word.is_empty() && self.template.contains(word);
        if literal { format!("`{word}`") } else { "(computed)".to_owned() }
    }
}

impl Template {
    /// Parses a template. `environment` holds the variables that `env` may name, with their values where they are set.
    pub fn parse(
        name: &str,
        text: &str,
        environment: Arc<BTreeMap<String, Option<String>>>,
    ) -> Result<Self, TemplateError> {
        let template = Self { name: Arc::from(name), text: Arc::from(text), environment };
        let engine = Environment::new();
        // No secret is known yet, so the engine may say what it likes.
        engine.template_from_named_str(name, text).map_err(|error| TemplateError {
            name: Arc::clone(&template.name),
            line: error.line(),
            what: format!("{}: {}", error.kind(), error.detail().unwrap_or("look at the line")),
        })?;
        Ok(template)
    }

    /// Renders with the documents that are known so far.
    pub fn render(&self, documents: &Arc<Documents>) -> Result<Rendered, TemplateError> {
        let findings = Arc::new(Findings { template: Arc::clone(&self.text), finding: Mutex::default() });
        let mut engine = Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        engine.set_syntax(syntax().map_err(|error| self.error(&error, error.kind().to_string()))?);
        secrets::register(&mut engine, documents, &findings, &self.environment);
        let mut out = Bounded(SecretVec::new(Vec::with_capacity(self.text.len() + 4_096)));
        let template = engine.template_from_named_str(&self.name, &self.text);
        let rendered = template.and_then(|template| template.render_captured_to((), &mut out).map(drop));
        let mut found = Finding::default();
        findings.change(|finding| found = std::mem::take(finding));
        let Err(error) = rendered else { return Ok(Rendered::Whole(out.0, found.rings)) };
        match found {
            Finding { needs: Some(_), .. } if documents.len() >= MOST_DOCUMENTS => {
                Err(self.error(&error, format!("it reads more than {MOST_DOCUMENTS} documents")))
            }
            Finding { needs: Some(path), problem: None, .. } => Ok(Rendered::Needs(path)),
            Finding { problem: Some(problem), .. } => Err(self.error(&error, problem)),
            Finding { .. } => Err(self.error(&error, summary(&error))),
        }
    }

    fn error(&self, error: &Error, what: String) -> TemplateError {
        TemplateError { name: Arc::clone(&self.name), line: error.line(), what }
    }

    /// Its file, or where in the configuration it stands.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A file ends with the line end that its template ends with.
fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().keep_trailing_newline(true).build()
}

/// The engine's own words only by their kind: its details may quote values.
fn summary(error: &Error) -> String {
    match error.kind() {
        ErrorKind::UndefinedError => {
            "something here is not defined; look at the names, and write secret(\"mount/data/path\", \"field\")".to_owned()
        }
        ErrorKind::WriteFailure => format!("the file would be larger than {LARGEST} bytes"),
        kind => format!("{kind}; compare with the manual's table of functions and filters"),
    }
}

/// Grows up to a bound, and wipes what it outgrows.
struct Bounded(SecretVec);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wanted = self.0.len().saturating_add(bytes.len());
        if wanted > LARGEST {
            return Err(io::Error::other("too large"));
        }
        if wanted > self.0.expose_mut().capacity() {
            let mut larger = SecretVec::new(Vec::with_capacity(wanted.saturating_mul(2)));
            // EXPOSE: moved into the larger buffer; the smaller one is wiped.
            larger.expose_mut().extend_from_slice(self.0.expose());
            self.0 = larger;
        }
        self.0.expose_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::versioned;

    fn render(text: &str, documents: &[(&str, Arc<Document>)]) -> Result<String, String> {
        let documents = documents.iter().map(|(path, document)| ((*path).to_owned(), Arc::clone(document)));
        let environment =
            [("FLASK_ENV".to_owned(), Some("production".to_owned())), ("UNSET".to_owned(), None)];
        let template =
            Template::parse("t.j2", text, Arc::new(environment.into())).map_err(|e| e.to_string())?;
        match template.render(&Arc::new(documents.collect())).map_err(|error| error.to_string())? {
            Rendered::Whole(bytes, _) => Ok(String::from_utf8(bytes.expose().clone()).unwrap()),
            Rendered::Needs(path) => Err(format!("needs {path}")),
        }
    }

    fn known() -> Vec<(&'static str, Arc<Document>)> {
        vec![
            ("kv/data/x", versioned(1, r#"{"value":"it's a \"k&y\"\n"}"#)),
            ("database/creds/r", versioned(2, r#"{"username":"u","password":"p@ss/w","port":5432}"#)),
        ]
    }

    #[test]
    fn fields_documents_variables_and_filters() {
        let cases = [
            ("{{ secret('kv/data/x', 'value') }}", "it's a \"k&y\"\n"),
            ("{{ secret('kv/data/x', 'value')|b64 }}", "aXQncyBhICJrJnkiCg=="),
            ("{{ secret('kv/data/x', 'value')|json }}", r#""it's a \"k&y\"\n""#),
            ("{{ secret('kv/data/x', 'value')|shell }}", "'it'\\''s a \"k&y\"\n'"),
            (
                "{% set db = document('database/creds/r') %}pg://{{ db.username }}:{{ db.password|percent }}@h:{{ db.port }}\n",
                "pg://u:p%40ss%2Fw@h:5432\n",
            ),
            (
                "{% for name in document('database/creds/r') %}{{ name }} {% endfor %}",
                "password port username ",
            ),
            (
                "{{ document('database/creds/r')|json }}",
                r#"{"username":"u","password":"p@ss/w","port":5432}"#,
            ),
            ("{{ env('FLASK_ENV') }}{{ 'a b'|percent }}", "productiona%20b"),
            ("{% if secret('database/creds/r', 'username')|text == 'u' %}yes{% endif %}", "yes"),
        ];
        for (text, expected) in cases {
            assert_eq!(render(text, &known()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn n5_what_is_missing_is_always_an_error() {
        let cases = [
            ("a\n{{ secret('kv/data/x', 'valeu') }}", "t.j2:2: `kv/data/x` has no field `valeu`"),
            ("{{ document('kv/data/x').user }}", "t.j2:1: `kv/data/x` has no field `user`"),
            ("{% if document('kv/data/x').user %}a{% endif %}", "`kv/data/x` has no field `user`"),
            ("{{ nothing }}", "something here is not defined"),
            ("{% if nothing %}a{% endif %}", "something here is not defined"),
            ("{{ env('PATH') }}", "`PATH` is not named in [environment]"),
            ("{{ env('UNSET') }}", "`UNSET` is not set"),
            ("{{ secret('kv/data/y', 'value') }}", "needs kv/data/y"),
            ("{{ secret('/kv/../x', 'value') }}", "path `/kv/../x` is not one such as"),
            ("{{ secret('kv/data/x') }}", "t.j2:1:"),
            ("{{ secret('kv/data/x', 'value'", "t.j2:1: syntax error"),
        ];
        for (text, said) in cases {
            let error = render(text, &known()).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn n5_errors_hold_no_value() {
        let secret = [("kv/data/x", versioned(1, r#"{"value":"canary-value"}"#))];
        let misuse = [
            "{{ secret('kv/data/x','value') + 1 }}",
            "{{ secret('kv/data/x','value')|int }}",
            "{{ secret('kv/data/x','value').foo }}",
            "{{ secret('kv/data/x','value')() }}",
            "{{ secret('kv/data/x','value')|text|int }}",
            "{{ secret(secret('kv/data/x','value')|text, 'a') + 1 }}",
            "{{ env(secret('kv/data/x','value')|text) }}",
            "{{ document('kv/data/x')[secret('kv/data/x','value')|replace('-', '')] }}",
            "{% for x in secret('kv/data/x','value') %}{{ x }}{% endfor %}",
            "{{ document('kv/data/x')[secret('kv/data/x','value')|text] }}",
        ];
        for text in misuse {
            let error = render(text, &secret);
            let told = format!("{error:?}");
            assert!(
                error.is_err() && (!told.contains("canary") || told.contains("needs ")),
                "{text}: {told}"
            );
        }
    }

    #[test]
    fn n5_a_loop_without_end_is_stopped() {
        let error = render("{% for a in range(90000) %}{{ 'x' * 1000 }}{% endfor %}", &[]).unwrap_err();
        assert!(error.contains("larger than"), "{error}");
    }
}
