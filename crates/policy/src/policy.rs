use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_api::sys::explain::DroppedRule;
use coffre_hcl::{Bounds, Fault, Notation, ParseError};

use crate::name::PolicyName;
use crate::pattern::{Pattern, PatternError};
use crate::rule::{Rule, RulePath, read_rules};
use crate::template::{Template, TemplateValues};

/// A policy that was read and found well-formed. Its text is kept by whoever stores it, verbatim.
#[derive(Clone)]
pub struct Policy {
    name: PolicyName,
    pub(crate) rules: Vec<Rule>,
}

impl Policy {
    /// The longest text in bytes.
    pub const MAX_TEXT: usize = 512 * 1024;

    /// Reads HCL or, if the text begins with `{`, JSON.
    ///
    /// An attribute given twice, an unknown key, an unknown capability and a value of the wrong type are errors that
    /// name the path. The same path in two blocks is one rule: the union of both, or `deny` if one says so. At most
    /// 4,096 rules, 16 levels, [`Policy::MAX_TEXT`] bytes.
    pub fn parse(name: PolicyName, text: &str) -> Result<Self, PolicyError> {
        let notation = if text.trim_start().starts_with('{') { Notation::Json } else { Notation::Hcl };
        let bounds = Bounds { bytes: Self::MAX_TEXT, ..Bounds::STANDARD };
        let entries = coffre_hcl::parse(text, notation, bounds).map_err(|error| unread(&error))?;
        Ok(Self { name, rules: read_rules(entries)? })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &PolicyName {
        &self.name
    }

    /// Whether any rule has a template in its path: then who asks makes a difference.
    #[must_use]
    pub fn has_templates(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.path, RulePath::Templated(_)))
    }

    /// The rules that do not count for somebody with these values: one is missing, or could widen the rule.
    #[must_use]
    pub fn dropped(&self, values: &TemplateValues) -> Vec<DroppedRule> {
        let of = |template: &Template| DroppedRule {
            policy: self.name.as_str().to_owned(),
            template: template.text(),
        };
        let fails = |template: &Template| {
            template.render(values).and_then(|text| Pattern::parse(&text).ok()).is_none()
        };
        let templates = self.rules.iter().filter_map(|rule| match &rule.path {
            RulePath::Templated(template) => Some(template),
            RulePath::Fixed(_) => None,
        });
        templates.filter(|template| fails(template)).map(of).collect()
    }

    /// The number of rules.
    #[must_use]
    pub const fn rule_count(&self) -> usize {
        self.rules.len()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({}, {} rules)", self.name, self.rules.len())
    }
}

/// The text of a policy as it was sent: base64 is decoded if it decodes (Vault accepts both). No HCL or JSON policy with
/// a rule in it is base64, for it has quotes.
#[must_use]
pub fn decode_body(sent: &str) -> Cow<'_, str> {
    let decoded = STANDARD.decode(sent.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.map_or(Cow::Borrowed(sent), Cow::Owned)
}

const fn unread(error: &ParseError) -> PolicyError {
    match error.fault {
        Fault::TooLong => PolicyError::TooLong,
        Fault::TooDeep => PolicyError::TooDeep,
        Fault::Syntax(_) | Fault::TooMany => {
            PolicyError::Syntax { line: error.line, what: error.fault.what() }
        }
    }
}

/// Why a policy's text was refused. Each names the place; paths and keys are shortened and escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Neither HCL nor JSON.
    #[error("failed to parse policy: line {line}: {what}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What was wrong or expected.
        what: &'static str,
    },
    /// Longer than [`Policy::MAX_TEXT`].
    #[error("failed to parse policy: a policy is at most {} bytes long", Policy::MAX_TEXT)]
    TooLong,
    /// Too many levels.
    #[error("failed to parse policy: nested too deeply")]
    TooDeep,
    /// Too many rules.
    #[error("failed to parse policy: more than 4096 rules; split it into several policies")]
    TooManyRules,
    /// The text or a `path` is not an object.
    #[error("failed to parse policy: expected blocks of the form path \"…\" {{ capabilities = […] }}")]
    NotObject,
    /// Only `path` and `name` may stand at the top.
    #[error(
        "failed to parse policy: unknown key {key}; at the top level only path (and name, once) may stand"
    )]
    UnknownTopLevel {
        /// The key.
        key: String,
    },
    /// A key that no rule has.
    #[error("failed to parse policy: path {path}: unknown key {key}")]
    UnknownKey {
        /// The rule.
        path: String,
        /// The key.
        key: String,
    },
    /// A key that Vault or OpenBao knows and we do not enforce: refused, for ignoring it would grant too much.
    #[error("failed to parse policy: path {path}: {key} is refused, for {why}")]
    Unsupported {
        /// The rule.
        path: String,
        /// The key.
        key: String,
        /// What ignoring it would mean.
        why: &'static str,
    },
    /// An attribute given twice.
    #[error("failed to parse policy: path {path}: {key} stands twice; keep one of them")]
    Duplicate {
        /// The rule.
        path: String,
        /// The key.
        key: String,
    },
    /// Not a capability.
    #[error(
        "failed to parse policy: path {path}: invalid capability {word}; there are create, read, update, patch, \
         delete, list, sudo and deny"
    )]
    UnknownCapability {
        /// The rule.
        path: String,
        /// The word.
        word: String,
    },
    /// A value of another type, or too many of them.
    #[error("failed to parse policy: path {path}: {key} must be {expected}")]
    WrongType {
        /// The rule.
        path: String,
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Not a pattern.
    #[error("failed to parse policy: path {path}: invalid use of wildcards or length")]
    Path {
        /// The rule.
        path: String,
        /// What is wrong with it.
        source: PatternError,
    },
    /// `{{` and `}}` do not match.
    #[error("failed to parse policy: path {path}: `{{{{` and `}}}}` do not match")]
    Braces {
        /// The rule.
        path: String,
    },
    /// The smallest wrapping time is larger than the largest.
    #[error("failed to parse policy: path {path}: max_wrapping_ttl cannot be less than min_wrapping_ttl")]
    WrapOrder {
        /// The rule.
        path: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Policy, PolicyError> {
        Policy::parse(PolicyName::parse("p").unwrap(), text)
    }

    #[test]
    fn ambiguity_is_refused_and_the_path_named() {
        for text in [
            r#"path "a/x" {capabilities=["deny"] capabilities=["read"]}"#,
            r#"path "a/x" {capabilities=["raed"]}"#,
            r#"path "a/x" {capabilites=["read"]}"#,
            r#"path "a/x" {capabilities=[["read"]]}"#,
            r#"path "a/x" {policy="admin"}"#,
            r#"path "a/x" {allowed_parameters={"a"=[] "A"=[]}}"#,
            r#"path "a/x" {max_wrapping_ttl="soon"}"#,
            r#"path "a/x" {min_wrapping_ttl="2h" max_wrapping_ttl="1h"}"#,
            r#"path "a/x" {control_group={}}"#,
            r#"path "a/x" {mfa_methods=["x"]}"#,
            r#"path "a/x+*" {policy="read"}"#,
            r#"path "a/x{{" {policy="read"}"#,
            r#"{"path":{"a/x":{"capabilities":["read","scan"]}}}"#,
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("a/x"), "{text}: {error}");
        }
        for text in
            ["paths \"a\" {}", "name=\"a\" name=\"b\"", "path=\"a\"", "[]", "x", r#"{"path":[1]}"#, "{\"a\""]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(r#"{"path":{"a":{"policy":"deny"},"a":{"policy":"read"}}}"#).is_err());
    }

    #[test]
    fn every_documented_form_is_read() {
        for (text, rules) in [
            ("", 0),
            ("path \"a\" {}", 1),
            ("name = \"x\" path \"a\" { policy = \"write\" } path \"a\" { capabilities = [\"deny\"] }", 2),
            (r#"{"name":"x","path":{"a":{"capabilities":["read"]},"b":{"policy":"sudo"}}}"#, 2),
            (r#"{"path":[{"a":{"capabilities":["read"]}},{"b":[{"policy":"read"}]}]}"#, 2),
            (
                r#"path "a" { capabilities = "read" comment = "x" min_wrapping_ttl = 60 max_wrapping_ttl = "1h" }"#,
                1,
            ),
            (
                r#"path "a" { capabilities=["create"] allowed_parameters = { "*" = [] "a" = ["x", 1, true] }
                   denied_parameters { b = [] } required_parameters = ["c"] }"#,
                1,
            ),
        ] {
            assert_eq!(parse(text).unwrap().rule_count(), rules, "{text}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(parse(&" ".repeat(600_000)).unwrap_err(), PolicyError::TooLong);
        let many: String = (0..5_000).map(|n| format!("path \"{n}\" {{}}\n")).collect();
        assert_eq!(parse(&many).unwrap_err(), PolicyError::TooManyRules);
    }

    #[test]
    fn what_no_reader_takes_is_named_with_its_line() {
        for (text, line) in [
            ("path \"a\" {\n capabilities = [read] }", 2),
            ("a = null", 1),
            ("{\n\"path\":{},\n\"path\":{}}", 3),
        ] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, PolicyError::Syntax { line: at, .. } if at == line), "{text}: {error}");
        }
        for text in ["a = {".repeat(20), r#"{"path":"#.repeat(20)] {
            assert_eq!(parse(&text).unwrap_err(), PolicyError::TooDeep);
        }
    }

    #[test]
    fn base64_is_decoded_if_it_decodes() {
        assert_eq!(decode_body("cGF0aCAiYSIge30="), "path \"a\" {}");
        assert_eq!(decode_body("path \"a\" {}"), "path \"a\" {}");
        assert_eq!(decode_body(""), "");
        assert_eq!(decode_body("/w=="), "/w==");
    }

    #[test]
    fn messages_cannot_forge_lines() {
        let error = parse("path \"a\\n\\u001b[31m\" { nope = 1 }").unwrap_err().to_string();
        assert!(!error.contains(['\n', '\u{1b}']), "{error}");
    }

    #[test]
    fn no_text_makes_it_panic() {
        let entropy = coffre_ambient::SeededEntropy::new(3);
        let words = [
            "path",
            " ",
            "\"a/*\"",
            "\"+/{{identity.entity.id}}\"",
            "{",
            "}",
            "[",
            "]",
            "=",
            ",",
            "\n",
            "capabilities",
            "\"deny\"",
            "\"read\"",
            "policy",
            "allowed_parameters",
            "min_wrapping_ttl",
            "\"1h\"",
            "60",
            "-1e9",
            "true",
            "#",
            "//",
            "/*",
            "*/",
            "\"\\u12\"",
            "\"",
            "é",
            "\u{feff}",
            "\\",
            "null",
            ":",
            "\"path\":",
            "\0",
            "name",
        ];
        let mut read = 0;
        for _ in 0..50_000 {
            let json = entropy.below(4) == 0;
            let mut text = String::from(if json { "{" } else { "" });
            for _ in 0..entropy.below(20) {
                text.push_str(words[usize::try_from(entropy.below(words.len() as u64)).unwrap()]);
            }
            read += usize::from(parse(&text).is_ok());
        }
        assert!(read > 100, "only {read} texts were read");
    }
}
