//! "Why 403?" for people.

use std::fmt;

use coffre_api::sys::explain::{ExplainOutput, ExplainedRule};
use coffre_api::{Op, RawInput};
use coffre_secret::SecretText;

use crate::Existence;
use crate::acl::{Acl, CompiledRule};
use crate::decide::{Decision, Question};

/// Which rule decided a question, what it said, and which other rules matched but stood behind it.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// The decision itself, the same that enforcement makes.
    pub decision: Decision<'a>,
    /// Rules that match the path too and did not decide, best first.
    pub overruled: Vec<&'a CompiledRule>,
}

impl Acl {
    /// Decides and says why. Slow (it looks at each rule): for `sys` helpers, tests and people.
    #[must_use]
    pub fn explain<'a>(&'a self, question: &Question<'_>) -> Explanation<'a> {
        let decision = self.decide(question);
        let decider = match decision {
            Decision::Allowed(rule) => rule,
            Decision::Refused(no) => no.rule,
        };
        let listed = format!("{}/", question.path);
        let list = question.op == coffre_api::Op::List;
        let matches = |rule: &&CompiledRule| {
            rule.pattern().matches(question.path.as_str()) || list && rule.pattern().matches(&listed)
        };
        let mut overruled: Vec<&CompiledRule> = self
            .rules()
            .filter(matches)
            .filter(|rule| decider.is_none_or(|decider| !std::ptr::eq(decider, *rule)))
            .collect();
        overruled.sort_by(|a, b| b.pattern().cmp_priority(a.pattern()));
        Explanation { decision, overruled }
    }
}

/// An operation by the word that policies and audit have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it does.
    pub op: Op,
    /// Tells create from update.
    pub existence: Existence,
}

impl Asked {
    /// Reads the word; `None` if there is no such operation.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let (op, existence) = match word {
            "create" => (Op::Write, Existence::Missing),
            "update" => (Op::Write, Existence::Exists),
            "read" => (Op::Read, Existence::Unknown),
            "patch" => (Op::Patch, Existence::Unknown),
            "delete" => (Op::Delete, Existence::Unknown),
            "list" => (Op::List, Existence::Unknown),
            _ => return None,
        };
        Some(Self { op, existence })
    }
}

/// Arguments, given as a JSON object, where the operation takes them from: the body, or the query, in which everything
/// is text. `None` if it is no object.
#[must_use]
pub fn parameters(op: Op, object: &str) -> Option<RawInput> {
    if !object.trim_start().starts_with('{') {
        return None;
    }
    let raw = RawInput::from_json(SecretText::from(object)).ok()?;
    if op.has_body() {
        return Some(raw);
    }
    let text = |value: &str| serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
    let query = raw.pairs().map(|(name, value)| (name.to_owned(), text(value.get()))).collect();
    Some(RawInput::empty().with_query(query))
}

impl Explanation<'_> {
    /// For answers: everything but the policies' names and the rules that do not count, which an [`Acl`] no longer knows.
    #[must_use]
    pub fn output(&self, question: &Question<'_>, operation: &str) -> ExplainOutput {
        let (rule, reason) = match &self.decision {
            Decision::Allowed(None) => (None, "the root policy allows everything".to_owned()),
            Decision::Allowed(Some(rule)) => (Some(*rule), "the rule grants it".to_owned()),
            Decision::Refused(no) => (no.rule, no.why.to_string()),
        };
        ExplainOutput {
            allowed: self.decision.is_allowed(),
            path: question.path.as_str().to_owned(),
            operation: operation.to_owned(),
            reason,
            needs_sudo: question.needs_sudo,
            rule: rule.map(shown),
            overruled: self.overruled.iter().map(|rule| shown(rule)).collect(),
            ..ExplainOutput::default()
        }
    }
}

fn shown(rule: &CompiledRule) -> ExplainedRule {
    ExplainedRule {
        path: rule.pattern().text(),
        template: rule.template().map(str::to_owned),
        capabilities: rule.capabilities().words().into_iter().map(str::to_owned).collect(),
        policies: rule.policies().iter().map(|name| name.as_str().to_owned()).collect(),
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Decision::Allowed(None) => f.write_str("allowed: the root policy allows everything")?,
            Decision::Allowed(Some(rule)) => {
                write!(f, "allowed by rule {:?}", rule.pattern().text())?;
                write!(f, " of {}", names(rule))?;
            }
            Decision::Refused(no) => write!(f, "refused: {no}")?,
        }
        for rule in &self.overruled {
            write!(f, "\n  also matches, but less closely: {:?}", rule.pattern().text())?;
            write!(f, " of {} ({})", names(rule), rule.capabilities().words().join(", "))?;
        }
        Ok(())
    }
}

fn names(rule: &CompiledRule) -> String {
    rule.policies().iter().map(crate::PolicyName::as_str).collect::<Vec<_>>().join(", ")
}
