use std::fmt;
use std::time::Duration;

use coffre_api::{Capability, Op, RawInput, VaultPath};

use crate::acl::{Acl, CompiledRule};

/// Whether the thing that a write names is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Existence {
    /// It is: the write needs `update`.
    Exists,
    /// It is not: the write needs `create`.
    Missing,
    /// The endpoint does not tell: the write needs `update`, as in Vault.
    #[default]
    Unknown,
}

/// What is asked of an [`Acl`].
#[derive(Clone, Copy)]
pub struct Question<'q> {
    /// The whole path, mount included.
    pub path: &'q VaultPath,
    /// The operation.
    pub op: Op,
    /// Tells create from update; ignored for other operations.
    pub existence: Existence,
    /// Whether the endpoint is root-protected.
    pub needs_sudo: bool,
    /// The arguments, for rules that speak about them.
    pub raw: &'q RawInput,
    /// How long the answer is to stay wrapped, if so.
    pub wrap_ttl: Option<Duration>,
}

impl Question<'_> {
    /// The capability that the deciding rule must grant.
    #[must_use]
    pub fn capability(&self) -> Capability {
        self.op.capability(self.existence != Existence::Missing)
    }
}

/// The answer, with the rule that decided (none for root).
#[derive(Clone, Copy, Debug)]
pub enum Decision<'a> {
    /// Yes.
    Allowed(Option<&'a CompiledRule>),
    /// No.
    Refused(Refusing<'a>),
}

/// A no.
#[derive(Clone, Copy, Debug)]
pub struct Refusing<'a> {
    /// The rule that decided, if any matched.
    pub rule: Option<&'a CompiledRule>,
    /// What it said.
    pub why: Why<'a>,
}

/// Why a question was answered with no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'a> {
    /// No rule matches the path.
    NoRule,
    /// The rule denies.
    Denied,
    /// The rule does not grant this capability.
    Lacks(Capability),
    /// The answer must be wrapped, for longer or shorter than was asked.
    Wrapping,
    /// This parameter must be given.
    MissingParameter(&'a str),
    /// This parameter, or this value of it, is denied.
    DeniedParameter(&'a str),
    /// A parameter, or a value of it, is not among the allowed ones.
    NotAllowedParameter,
}

impl Decision<'_> {
    /// Whether it is a yes.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

impl Acl {
    /// Answers a question. Deny by default: only a rule that matches and grants says yes.
    #[must_use]
    pub fn decide<'a>(&'a self, question: &Question<'_>) -> Decision<'a> {
        if self.is_root() {
            return Decision::Allowed(None);
        }
        let refused = |rule, why| Decision::Refused(Refusing { rule, why });
        let Some(rule) = self.deciding_rule(question.path.as_str(), question.op == Op::List) else {
            return refused(None, Why::NoRule);
        };
        let granted = rule.capabilities();
        if granted.contains(Capability::Deny) {
            return refused(Some(rule), Why::Denied);
        }
        let needed = question.capability();
        if !granted.contains(needed) {
            return refused(Some(rule), Why::Lacks(needed));
        }
        if question.needs_sudo && !granted.contains(Capability::Sudo) {
            return refused(Some(rule), Why::Lacks(Capability::Sudo));
        }
        let objection =
            rule.parameters().and_then(|p| p.refuse(question.op, question.raw, question.wrap_ttl));
        objection.map_or(Decision::Allowed(Some(rule)), |why| refused(Some(rule), why))
    }
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("no rule of the caller's policies matches the path"),
            Self::Denied => f.write_str("the rule denies"),
            Self::Lacks(capability) => write!(f, "the rule does not grant {capability}"),
            Self::Wrapping => f.write_str("the rule bounds how long the answer must stay wrapped"),
            Self::MissingParameter(name) => write!(f, "the rule requires the parameter {name:?}"),
            Self::DeniedParameter(name) => write!(f, "the rule denies the parameter {name:?} or its value"),
            Self::NotAllowedParameter => {
                f.write_str("a parameter or its value is not among those the rule allows")
            }
        }
    }
}

impl fmt::Display for Refusing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            None => self.why.fmt(f),
            Some(rule) => {
                let names: Vec<&str> = rule.policies().iter().map(crate::PolicyName::as_str).collect();
                write!(f, "{} (rule {:?} of {})", self.why, rule.pattern().text(), names.join(", "))
            }
        }
    }
}
