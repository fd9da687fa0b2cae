//! "Why 403?" for people.

use std::fmt;

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
