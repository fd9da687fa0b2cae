use std::collections::HashMap;
use std::sync::Arc;

use coffre_api::Capability;

use crate::name::PolicyName;
use crate::parameters::ParameterRules;
use crate::pattern::Pattern;
use crate::policy::Policy;
use crate::rule::RulePath;
use crate::template::TemplateValues;

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySet(u8);

/// Vault's order in `sys/capabilities`.
const OUTPUT_ORDER: [Capability; 7] = [
    Capability::Sudo,
    Capability::Read,
    Capability::List,
    Capability::Update,
    Capability::Delete,
    Capability::Create,
    Capability::Patch,
];

impl CapabilitySet {
    /// Nothing.
    pub const EMPTY: Self = Self(0);
    /// `deny` alone.
    pub const DENY: Self = Self(1 << Capability::Deny as u8);

    /// These.
    #[must_use]
    pub fn of(capabilities: &[Capability]) -> Self {
        let mut set = Self::EMPTY;
        capabilities.iter().for_each(|capability| set.insert(*capability));
        set
    }

    /// Adds one.
    pub const fn insert(&mut self, capability: Capability) {
        self.0 |= 1 << capability as u8;
    }

    /// Whether it is in.
    #[must_use]
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// Both together; `deny` absorbs everything.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        let both = Self(self.0 | other.0);
        if both.contains(Capability::Deny) { Self::DENY } else { both }
    }

    /// Whether it allows nothing.
    #[must_use]
    pub const fn grants_nothing(self) -> bool {
        self.0 == 0 || self.contains(Capability::Deny)
    }

    /// The words, in Vault's order; `deny` alone if there is nothing.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        if self.grants_nothing() {
            return vec![Capability::Deny.word()];
        }
        OUTPUT_ORDER.into_iter().filter(|c| self.contains(*c)).map(Capability::word).collect()
    }
}

/// All that the policies of one caller say about one pattern.
#[derive(Clone, Debug)]
pub struct CompiledRule {
    pattern: Pattern,
    /// As it was written, if it has a template.
    template: Option<Box<str>>,
    capabilities: CapabilitySet,
    parameters: Option<Box<ParameterRules>>,
    policies: Vec<PolicyName>,
}

impl CompiledRule {
    /// The pattern, templates filled in.
    #[must_use]
    pub const fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The pattern as it was written, if it has a template.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// What it grants.
    #[must_use]
    pub const fn capabilities(&self) -> CapabilitySet {
        self.capabilities
    }

    /// The policies that speak about this pattern, sorted.
    #[must_use]
    pub fn policies(&self) -> &[PolicyName] {
        &self.policies
    }

    pub(crate) fn parameters(&self) -> Option<&ParameterRules> {
        self.parameters.as_deref()
    }

    fn merge(&mut self, name: &PolicyName, capabilities: CapabilitySet, parameters: &ParameterRules) {
        self.capabilities = self.capabilities.union(capabilities);
        if self.capabilities.contains(Capability::Deny) {
            self.parameters = None;
        } else if !parameters.is_empty() {
            self.parameters.get_or_insert_default().merge(parameters);
        }
        if let Err(at) = self.policies.binary_search(name) {
            self.policies.insert(at, name.clone());
        }
    }
}

/// What one caller may do: the rules of all its policies, indexed. Immutable; made anew when a policy changes.
#[derive(Clone, Debug, Default)]
pub struct Acl {
    is_root: bool,
    rules: Vec<CompiledRule>,
    exact: HashMap<Box<str>, usize>,
    /// Sorted by prefix.
    prefixes: Vec<Prefix>,
    /// Rules with `+`, best first.
    pluses: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Prefix {
    rule: usize,
    /// The longest other prefix that is a prefix of this one.
    parent: Option<usize>,
}

impl Acl {
    /// Allows everything.
    #[must_use]
    pub fn root() -> Self {
        Self { is_root: true, ..Self::default() }
    }

    /// Joins policies. A policy called `root` allows everything. Rules whose template does not resolve are left out.
    #[must_use]
    pub fn compile(policies: &[Arc<Policy>], values: &TemplateValues) -> Self {
        if policies.iter().any(|policy| policy.name().is_root()) {
            return Self::root();
        }
        let mut rules: Vec<CompiledRule> = Vec::new();
        let mut by_pattern: HashMap<Pattern, usize> = HashMap::new();
        for policy in policies {
            for rule in &policy.rules {
                let (pattern, template) = match &rule.path {
                    RulePath::Fixed(pattern) => (Some(pattern.clone()), None),
                    RulePath::Templated(t) => {
                        (t.render(values).and_then(|text| Pattern::parse(&text).ok()), Some(t))
                    }
                };
                let Some(pattern) = pattern else { continue };
                let at = *by_pattern.entry(pattern).or_insert_with_key(|pattern| {
                    rules.push(CompiledRule {
                        pattern: pattern.clone(),
                        template: None,
                        capabilities: CapabilitySet::EMPTY,
                        parameters: None,
                        policies: Vec::new(),
                    });
                    rules.len() - 1
                });
                if let Some(compiled) = rules.get_mut(at) {
                    compiled.merge(policy.name(), rule.capabilities, &rule.parameters);
                    if let Some(template) = template {
                        compiled.template = Some(template.text().into());
                    }
                }
            }
        }
        Self::index(rules)
    }

    fn index(rules: Vec<CompiledRule>) -> Self {
        let mut acl = Self { rules, ..Self::default() };
        let (mut prefixes, mut pluses) = (Vec::new(), Vec::new());
        for (at, rule) in acl.rules.iter().enumerate() {
            if rule.pattern.has_plus() {
                pluses.push((at, &rule.pattern));
            } else if rule.pattern.is_prefix() {
                prefixes.push((at, rule.pattern.body()));
            } else {
                acl.exact.insert(rule.pattern.body().into(), at);
            }
        }
        pluses.sort_by(|(_, a), (_, b)| b.cmp_priority(a));
        prefixes.sort_by_key(|(_, body)| *body);
        let mut open: Vec<(usize, &str)> = Vec::new();
        for (at, (rule, body)) in prefixes.iter().enumerate() {
            while open.last().is_some_and(|(_, outer)| !body.starts_with(outer)) {
                open.pop();
            }
            acl.prefixes.push(Prefix { rule: *rule, parent: open.last().map(|(at, _)| *at) });
            open.push((at, body));
        }
        acl.pluses = pluses.into_iter().map(|(at, _)| at).collect();
        acl
    }

    /// Whether this is the ACL of the `root` policy.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.is_root
    }

    /// All rules, in no particular order; none for root.
    pub fn rules(&self) -> impl Iterator<Item = &CompiledRule> {
        self.rules.iter()
    }

    /// The rule that decides about this path. `path` is canonical; a LIST asks with `list`.
    #[must_use]
    pub fn deciding_rule(&self, path: &str, list: bool) -> Option<&CompiledRule> {
        if !list {
            return self.exact_rule(path).or_else(|| self.best_inexact(path));
        }
        let listed = format!("{path}/");
        self.exact_rule(&listed)
            .or_else(|| self.exact_rule(path))
            .or_else(|| self.best_inexact(&listed))
            .or_else(|| self.best_inexact(path))
    }

    /// What `sys/capabilities` answers, in Vault's order: what a request for this path would be allowed, parameters
    /// aside. A slash at the end asks about listing below it.
    #[must_use]
    pub fn capabilities(&self, path: &str) -> Vec<&'static str> {
        if self.is_root {
            return vec!["root"];
        }
        let path = path.trim_start_matches('/');
        let of = |rule: Option<&CompiledRule>| rule.map_or(CapabilitySet::EMPTY, CompiledRule::capabilities);
        if let Some(bare) = path.strip_suffix('/') {
            return of(self.deciding_rule(bare, true)).words();
        }
        let mut set = of(self.deciding_rule(path, false));
        // LIST looks for another rule (`path/`), so its answer comes from there.
        let listing = of(self.deciding_rule(path, true)).contains(Capability::List);
        set.0 &= !(1 << Capability::List as u8);
        if listing {
            set = Self::without_deny(set);
            set.insert(Capability::List);
        }
        set.words()
    }

    const fn without_deny(set: CapabilitySet) -> CapabilitySet {
        if set.contains(Capability::Deny) { CapabilitySet::EMPTY } else { set }
    }

    /// Whether any rule could grant something below this mount path (`secret/`): such a caller may see the mount.
    #[must_use]
    pub fn reaches(&self, mount: &str) -> bool {
        let grants =
            |rule: &CompiledRule| !rule.capabilities.grants_nothing() && rule.pattern.may_match_below(mount);
        self.is_root || self.rules.iter().any(grants)
    }

    fn exact_rule(&self, path: &str) -> Option<&CompiledRule> {
        self.exact.get(path).and_then(|at| self.rules.get(*at))
    }

    fn best_inexact(&self, path: &str) -> Option<&CompiledRule> {
        let prefix = self.longest_prefix(path);
        for at in &self.pluses {
            let Some(rule) = self.rules.get(*at) else { continue };
            if let Some(prefix) = prefix
                && prefix.pattern.cmp_priority(&rule.pattern).is_gt()
            {
                break;
            }
            if rule.pattern.matches(path) {
                return Some(rule);
            }
        }
        prefix
    }

    fn longest_prefix(&self, path: &str) -> Option<&CompiledRule> {
        let rule = |prefix: &Prefix| self.rules.get(prefix.rule);
        let after =
            self.prefixes.partition_point(|p| rule(p).is_some_and(|rule| rule.pattern.body() <= path));
        // Whatever is a prefix of the path is this one or one of its parents.
        let mut at = after.checked_sub(1);
        while let Some(prefix) = at.and_then(|at| self.prefixes.get(at)) {
            let found = rule(prefix)?;
            if path.starts_with(found.pattern.body()) {
                return Some(found);
            }
            at = prefix.parent;
        }
        None
    }
}
