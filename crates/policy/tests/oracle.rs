//! The policy engine agrees with a second, slow implementation written from the documented rules, on random policies,
//! callers and questions that are biased towards ties; and metamorphic rules hold: a `deny` never widens, order never matters.
//!
//! `COFFRE_POLICY_QUESTIONS` sets the number of questions (100,000 by default), `COFFRE_SEED` the seed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::SeededEntropy;
use coffre_api::{Op, RawInput, VaultPath};
use coffre_policy::{Acl, Existence, Policy, PolicyName, Question, TemplateValues};
use coffre_secret::SecretText;
use serde_json::{Value, json};

/// A rule as the documentation describes it: words and JSON values, nothing compiled.
#[derive(Clone, Debug, Default)]
struct PlainRule {
    path: String,
    capabilities: Vec<&'static str>,
    allowed: BTreeMap<String, Vec<Value>>,
    denied: BTreeMap<String, Vec<Value>>,
    required: Vec<String>,
    min: u64,
    max: u64,
}

/// Who asks, for templates.
#[derive(Clone, Debug, Default)]
struct Who {
    name: String,
    scope: Option<String>,
}

impl Who {
    fn values(&self) -> TemplateValues {
        let mut values = TemplateValues::none();
        values.entity("e1", &self.name, self.scope.as_deref().map(|scope| ("scope", scope)));
        values
    }
}

struct Asked {
    path: String,
    op: Op,
    existence: Existence,
    sudo: bool,
    body: Vec<(String, Value)>,
    query: Vec<(String, String)>,
    wrap: Option<u64>,
}

mod slow {
    //! The documented rules, naively.
    use super::*;

    type Word = &'static str;

    /// The rules as they are for this caller: values put in, and rules left out that have none or one that is more than
    /// part of a segment.
    pub(super) fn for_caller(rules: &[PlainRule], who: &Who) -> Vec<PlainRule> {
        let mut kept = Vec::new();
        for rule in rules {
            let mut rule = rule.clone();
            let mut fit = true;
            let values = [("name", Some(who.name.as_str())), ("metadata.scope", who.scope.as_deref())];
            for (key, value) in values {
                let place = format!("{{{{identity.entity.{key}}}}}");
                if !rule.path.contains(&place) {
                    continue;
                }
                let odd = ["*", "+", "/", "{", "}"];
                match value {
                    Some(value)
                        if !value.is_empty()
                            && ![".", ".."].contains(&value)
                            && !odd.iter().any(|odd| value.contains(odd)) =>
                    {
                        rule.path = rule.path.replace(&place, value);
                    }
                    _ => fit = false,
                }
            }
            if fit && !rule.path.contains("{{") {
                kept.push(rule);
            }
        }
        kept
    }

    /// All that is said about one pattern, joined.
    #[derive(Clone, Debug, Default)]
    pub(super) struct Joined {
        pub(super) capabilities: BTreeSet<Word>,
        allowed: BTreeMap<String, Vec<Value>>,
        denied: BTreeMap<String, Vec<Value>>,
        required: BTreeSet<String>,
        min: Vec<u64>,
        max: Vec<u64>,
    }

    pub(super) fn join(rules: &[&PlainRule]) -> Joined {
        let mut all = Joined::default();
        for rule in rules {
            all.capabilities.extend(&rule.capabilities);
        }
        if all.capabilities.contains("deny") {
            return Joined { capabilities: BTreeSet::from(["deny"]), ..Joined::default() };
        }
        for rule in rules {
            for (from, into) in [(&rule.allowed, &mut all.allowed), (&rule.denied, &mut all.denied)] {
                for (name, values) in from {
                    let any = values.is_empty() || into.get(name).is_some_and(Vec::is_empty);
                    let have = into.entry(name.clone()).or_default();
                    have.extend(values.clone());
                    if any {
                        have.clear();
                    }
                }
            }
            all.required.extend(rule.required.iter().cloned());
            all.min.extend((rule.min > 0).then_some(rule.min));
            all.max.extend((rule.max > 0).then_some(rule.max));
        }
        all
    }

    fn plain(pattern: &str) -> &str {
        pattern.trim_start_matches('/')
    }

    fn has_plus(pattern: &str) -> bool {
        plain(pattern).trim_end_matches('*').split('/').any(|s| s == "+")
    }

    /// Matching by trying, recursively, segment lists against each other.
    fn fits(pattern: &[&str], glob: bool, path: &[&str]) -> bool {
        match (pattern, path) {
            ([last], [first, ..]) if glob => first.starts_with(last),
            ([], []) => true,
            ([p, pattern @ ..], [s, path @ ..]) => {
                (p == s || (*p == "+" && !s.is_empty())) && fits(pattern, glob, path)
            }
            _ => false,
        }
    }

    fn matches(pattern: &str, path: &str) -> bool {
        let pattern = plain(pattern);
        let (body, glob) = pattern.strip_suffix('*').map_or((pattern, false), |body| (body, true));
        fits(&body.split('/').collect::<Vec<_>>(), glob, &path.split('/').collect::<Vec<_>>())
    }

    /// Larger is better.
    fn rank(pattern: &str) -> (usize, bool, i64, usize, String) {
        let pattern = plain(pattern);
        let body = pattern.strip_suffix('*').unwrap_or(pattern);
        let segments: Vec<&str> = body.split('/').collect();
        let first_plus = segments.iter().position(|s| *s == "+");
        let first = first_plus.map_or(body.len(), |at| segments[..at].iter().map(|s| s.len() + 1).sum());
        let pluses = segments.iter().filter(|s| **s == "+").count();
        (first, !pattern.ends_with('*'), -(i64::try_from(pluses).unwrap()), body.len(), body.to_owned())
    }

    fn same(a: &str, b: &str) -> bool {
        plain(a) == plain(b)
    }

    /// The pattern that decides.
    fn decider<'r>(rules: &'r [PlainRule], path: &str, list: bool) -> Option<&'r str> {
        let is_exact = |r: &&PlainRule| !plain(&r.path).ends_with('*') && !has_plus(&r.path);
        let exact = |path: &str| rules.iter().filter(is_exact).find(|r| plain(&r.path) == path);
        let inexact = |path: &str| {
            let matching = rules.iter().filter(|r| !is_exact(r) && matches(&r.path, path));
            let longest =
                matching.clone().filter(|r| !has_plus(&r.path)).max_by_key(|r| plain(&r.path).len());
            matching
                .filter(|r| has_plus(&r.path) || longest.is_some_and(|l| same(&l.path, &r.path)))
                .max_by_key(|r| rank(&r.path))
        };
        let slashed = format!("{path}/");
        let found = if list {
            exact(&slashed).or_else(|| exact(path)).or_else(|| inexact(&slashed)).or_else(|| inexact(path))
        } else {
            exact(path).or_else(|| inexact(path))
        };
        found.map(|r| r.path.as_str())
    }

    pub(super) fn rule_for(rules: &[PlainRule], path: &str, list: bool) -> Option<Joined> {
        let pattern = decider(rules, path, list)?;
        Some(join(&rules.iter().filter(|r| same(&r.path, pattern)).collect::<Vec<_>>()))
    }

    pub(super) fn allows(rules: &[PlainRule], asked: &Asked) -> bool {
        let Some(rule) = rule_for(rules, &asked.path, asked.op == Op::List) else { return false };
        let needed = match (asked.op, asked.existence) {
            (Op::Read, _) => "read",
            (Op::List, _) => "list",
            (Op::Delete, _) => "delete",
            (Op::Patch, _) => "patch",
            (Op::Write, Existence::Missing) => "create",
            (Op::Write, _) => "update",
        };
        rule.capabilities.contains(needed)
            && (!asked.sudo || rule.capabilities.contains("sudo"))
            && rule.min.iter().min().is_none_or(|min| asked.wrap.is_some_and(|wrap| wrap >= *min))
            && rule.max.iter().min().is_none_or(|max| asked.wrap.is_some_and(|wrap| wrap <= *max))
            && (matches!(asked.op, Op::List | Op::Delete) || parameters(&rule, asked))
    }

    fn parameters(rule: &Joined, asked: &Asked) -> bool {
        let used: Vec<String> = if asked.op.has_body() {
            asked.body.iter().map(|(n, _)| n.to_lowercase()).collect()
        } else {
            asked.query.iter().map(|(n, _)| n.to_lowercase()).collect()
        };
        if !rule.required.iter().all(|name| used.contains(name)) {
            return false;
        }
        let sent = asked.body.iter().cloned();
        let sent = sent.chain(asked.query.iter().map(|(n, v)| (n.clone(), json!(v))));
        for (name, value) in sent {
            let name = name.to_lowercase();
            if rule.denied.contains_key("*") {
                return false;
            }
            if let Some(values) = rule.denied.get(&name)
                && (values.is_empty() || values.iter().any(|denied| alike(denied, &value)))
            {
                return false;
            }
            let allowed = match rule.allowed.get(&name) {
                Some(values) => values.is_empty() || values.iter().any(|v| equal(v, &value)),
                None => rule.allowed.is_empty() || rule.allowed.contains_key("*"),
            };
            // `"*"` alone lifts all restrictions; so it does here, for then no other name is in the map.
            if !allowed {
                return false;
            }
        }
        true
    }

    fn equal(allowed: &Value, sent: &Value) -> bool {
        match (allowed, sent) {
            (Value::String(a), Value::String(s)) => globbed(a, s),
            (a, s) => a == s,
        }
    }

    /// Denied: whatever could be taken for it.
    fn alike(denied: &Value, sent: &Value) -> bool {
        match sent {
            Value::Array(items) => items.iter().any(|item| alike(denied, item)),
            Value::String(text) => {
                text.split(',').chain([text.as_str()]).any(|part| alike_text(denied, part))
            }
            other => alike_text(denied, &other.to_string()),
        }
    }

    fn alike_text(denied: &Value, text: &str) -> bool {
        let text = text.trim().to_lowercase();
        match denied {
            Value::String(d) => d == "*" || globbed(&d.to_lowercase(), &text),
            Value::Number(n) => text.parse::<f64>().is_ok_and(|t| t == n.as_f64().unwrap()),
            Value::Bool(true) => ["1", "t", "true"].contains(&text.as_str()),
            Value::Bool(false) => ["0", "f", "false"].contains(&text.as_str()),
            _ => false,
        }
    }

    fn globbed(pattern: &str, text: &str) -> bool {
        match pattern {
            "" | "*" => pattern == text,
            _ => match (pattern.starts_with('*'), pattern.ends_with('*')) {
                (true, true) => text.contains(pattern.trim_matches('*')),
                (true, false) => text.ends_with(&pattern[1..]),
                (false, true) => text.starts_with(&pattern[..pattern.len() - 1]),
                (false, false) => pattern == text,
            },
        }
    }
}

/// Random worlds from few names, so that patterns overlap and tie.
struct World<'e>(&'e SeededEntropy);

const WORDS: [&str; 8] = ["create", "read", "update", "delete", "list", "sudo", "deny", "patch"];

impl World<'_> {
    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.0.below(bound as u64)).unwrap()
    }

    fn one<'s>(&self, from: &[&'s str]) -> &'s str {
        from[self.below(from.len())]
    }

    fn chance(&self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn path(&self) -> String {
        let segments = 1 + self.below(4);
        (0..segments).map(|_| self.one(&["a", "b", "ab", "abc"])).collect::<Vec<_>>().join("/")
    }

    fn pattern(&self) -> String {
        let segments = 1 + self.below(4);
        let segment = |_| self.one(&["a", "b", "ab", "abc", "+", "+", "a+", "a*b"]);
        let mut text = (0..segments).map(segment).collect::<Vec<_>>().join("/");
        text.push_str(self.one(&["", "", "*", "/*", "/", "/+", "/+/*"]));
        if text.contains("+*") {
            text = text.replace("+*", "+/*");
        }
        if self.chance(12) {
            text = self.one(&["*", "", "+", "+/*", "a*"]).to_owned();
        }
        if self.chance(6) {
            let place = self.one(&[
                "{{identity.entity.name}}",
                "{{identity.entity.metadata.scope}}",
                "a{{identity.entity.name}}",
                "{{identity.entity.metadata.none}}",
            ]);
            text = if self.chance(2) { format!("{place}/{text}") } else { text.replacen('a', place, 1) };
        }
        if self.chance(8) { format!("/{text}") } else { text }
    }

    fn who(&self) -> Who {
        let values = ["a", "b", "ab", "abc", "a+", "*", "+", "a/b", "..", "", "{{identity.entity.id}}"];
        let one = || self.one(&values[..if self.chance(3) { values.len() } else { 4 }]).to_owned();
        let name = one();
        Who { name, scope: (!self.chance(4)).then(one) }
    }

    fn value(&self) -> Value {
        match self.below(8) {
            0 => json!(1),
            1 => json!(2),
            2 => json!(true),
            3 => json!("*"),
            _ => json!(self.one(&["x", "X", "y", "xy", "x*", "*y", "*x*", "", "1"])),
        }
    }

    fn sent(&self) -> Value {
        match self.below(8) {
            0 => json!([self.value(), self.value()]),
            1 => json!(1.0),
            2 => json!(self.one(&["a,x", " X ", "y, xy", "1", "TRUE", "2.0"])),
            3 => Value::Null,
            _ => self.value(),
        }
    }

    fn values(&self) -> BTreeMap<String, Vec<Value>> {
        let names = (0..1 + self.below(2)).map(|_| self.one(&["p", "q", "*"]).to_owned());
        names.map(|name| (name, (0..self.below(3)).map(|_| self.value()).collect())).collect()
    }

    fn rule(&self) -> PlainRule {
        let mut rule = PlainRule { path: self.pattern(), ..PlainRule::default() };
        let count = 1 + self.below(5);
        let allowed_words = if self.chance(6) { 8 } else { 6 };
        rule.capabilities = (0..count)
            .map(|_| WORDS[self.below(allowed_words)])
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        if self.chance(6) {
            rule.allowed = self.values();
        }
        if self.chance(6) {
            rule.denied = self.values();
        }
        if self.chance(8) {
            rule.required = vec![self.one(&["p", "q"]).to_owned()];
        }
        if self.chance(8) {
            rule.min = 10 * (1 + self.0.below(3));
        }
        if self.chance(8) {
            rule.max = 10 * (1 + self.0.below(3));
        }
        if rule.max != 0 && rule.max < rule.min {
            rule.max = rule.min;
        }
        rule
    }

    fn question(&self, rules: &[PlainRule]) -> Asked {
        let mut path = self.path();
        if self.chance(2) && !rules.is_empty() {
            // Near a rule, where mistakes are.
            let near = rules[self.below(rules.len())].path.replace('+', "a").replace('*', "");
            path = near.trim_matches('/').to_owned();
        }
        if VaultPath::parse(&path).is_err() {
            path = "a".to_owned();
        }
        let names = || ["p", "q", "P", "r"];
        let mut body = BTreeMap::new();
        for _ in 0..self.below(3) {
            body.insert(self.one(&names()).to_owned(), self.sent());
        }
        let query = (0..self.below(3) / 2)
            .map(|_| (self.one(&names()).to_owned(), self.one(&["x", "1", "y"]).to_owned()));
        Asked {
            path,
            op: Op::ALL[self.below(5)],
            existence: [Existence::Exists, Existence::Missing, Existence::Unknown][self.below(3)],
            sudo: self.chance(6),
            query: query.collect(),
            body: body.into_iter().collect(),
            wrap: self.chance(3).then(|| 5 * (1 + self.0.below(8))),
        }
    }
}

/// Writes rules as HCL or JSON.
fn text(rules: &[PlainRule], hcl: bool) -> String {
    let mut blocks = Vec::new();
    for rule in rules {
        let mut body = vec![("capabilities", json!(rule.capabilities))];
        for (name, values) in [("allowed_parameters", &rule.allowed), ("denied_parameters", &rule.denied)] {
            if !values.is_empty() {
                body.push((name, json!(values)));
            }
        }
        if !rule.required.is_empty() {
            body.push(("required_parameters", json!(rule.required)));
        }
        for (name, ttl) in [("min_wrapping_ttl", rule.min), ("max_wrapping_ttl", rule.max)] {
            if ttl > 0 {
                body.push((name, json!(format!("{ttl}s"))));
            }
        }
        if hcl {
            let lines: Vec<String> = body
                .iter()
                .map(|(k, v)| format!("  {k} = {}", v.to_string().replace("\":", "\" = ")))
                .collect();
            blocks.push(format!("path {} {{\n{}\n}}\n", json!(rule.path), lines.join("\n")));
        } else {
            let object: serde_json::Map<_, _> = body.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
            blocks.push(json!({ &rule.path: object }).to_string());
        }
    }
    if hcl { blocks.concat() } else { format!("{{\"path\":[{}]}}", blocks.join(",")) }
}

fn compile(policies: &[Vec<PlainRule>], hcl: bool, who: &Who) -> Acl {
    let parse = |(n, rules): (usize, &Vec<PlainRule>)| {
        let written = text(rules, hcl);
        let parsed = Policy::parse(PolicyName::parse(&format!("p{n}")).unwrap(), &written);
        Arc::new(parsed.unwrap_or_else(|e| panic!("{e}\n{written}")))
    };
    Acl::compile(&policies.iter().enumerate().map(parse).collect::<Vec<_>>(), &who.values())
}

fn decide(acl: &Acl, asked: &Asked) -> bool {
    let body: serde_json::Map<_, _> = asked.body.iter().cloned().collect();
    let raw = RawInput::from_json(SecretText::new(Value::Object(body).to_string())).unwrap();
    let raw = raw.with_query(asked.query.clone());
    let path = VaultPath::parse(&asked.path).unwrap();
    acl.decide(&Question {
        path: &path,
        op: asked.op,
        existence: asked.existence,
        needs_sudo: asked.sudo,
        raw: &raw,
        wrap_ttl: asked.wrap.map(Duration::from_secs),
    })
    .is_allowed()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Policies of one or several rules each, and all their rules in one list.
fn random_policies(world: &World<'_>) -> (Vec<Vec<PlainRule>>, Vec<PlainRule>) {
    let mut policies: Vec<Vec<PlainRule>> =
        (0..1 + world.below(4)).map(|_| (0..1 + world.below(6)).map(|_| world.rule()).collect()).collect();
    // Often the same pattern twice, so that joining is tried.
    if world.chance(2) {
        let path = policies[0][0].path.clone();
        policies.iter_mut().filter_map(|rules| rules.last_mut()).for_each(|rule| rule.path.clone_from(&path));
    }
    let mut all = policies.concat();
    // Joining is per pattern, whatever policy it stands in; two `deny`-less halves of one policy join alike.
    all.sort_by(|a, b| a.path.cmp(&b.path));
    (policies, all)
}

#[test]
fn it_agrees_with_the_documented_rules() {
    let seed = number("COFFRE_SEED", 20_261_122);
    let questions = number("COFFRE_POLICY_QUESTIONS", 100_000);
    let entropy = SeededEntropy::new(seed);
    let world = World(&entropy);
    let (mut asked, mut yes, mut dropped) = (0, 0, 0);
    while asked < questions {
        let (policies, all) = random_policies(&world);
        let who = world.who();
        let acl = compile(&policies, world.chance(2), &who);
        let mine = slow::for_caller(&all, &who);
        dropped += all.len() - mine.len();
        for _ in 0..20 {
            let question = world.question(&mine);
            let expected = slow::allows(&mine, &question);
            let context = || {
                format!(
                    "seed {seed}, {who:?} {:?} {} {:?}\n{}",
                    question.op,
                    question.path,
                    question.body,
                    text(&all, true)
                )
            };
            assert_eq!(decide(&acl, &question), expected, "{}", context());
            asked += 1;
            yes += u64::from(expected);

            let mut words: BTreeSet<&str> = BTreeSet::new();
            for list in [false, true] {
                let rule = slow::rule_for(&mine, &question.path, list).unwrap_or_default();
                words.extend(rule.capabilities.iter().filter(|w| **w != "deny" && (**w == "list") == list));
            }
            let told: BTreeSet<&str> = acl.capabilities(&question.path).into_iter().collect();
            assert_eq!(
                told,
                if words.is_empty() { BTreeSet::from(["deny"]) } else { words },
                "{}",
                context()
            );
        }
    }
    println!(
        "policy oracle: {asked} questions, {yes} allowed, {dropped} rules dropped, 0 differences, seed {seed}"
    );
    // Both verdicts must be common, or the test proves little.
    assert!(dropped > 0);
    assert!(yes > questions / 20 && yes < questions, "{yes} of {questions} allowed");
}

#[test]
fn what_capabilities_say_is_what_happens() {
    let seed = number("COFFRE_SEED", 7);
    let entropy = SeededEntropy::new(seed);
    let world = World(&entropy);
    let pairs = number("COFFRE_POLICY_QUESTIONS", 100_000) / 10;
    for _ in 0..pairs {
        let (mut policies, _) = random_policies(&world);
        let who = world.who();
        for rule in policies.iter_mut().flatten() {
            *rule = PlainRule {
                path: rule.path.clone(),
                capabilities: rule.capabilities.clone(),
                ..PlainRule::default()
            };
        }
        let acl = compile(&policies, true, &who);
        let path = world.path();
        let told = acl.capabilities(&path);
        for (op, existence, word) in [
            (Op::Read, Existence::Unknown, "read"),
            (Op::List, Existence::Unknown, "list"),
            (Op::Write, Existence::Missing, "create"),
            (Op::Write, Existence::Exists, "update"),
            (Op::Patch, Existence::Unknown, "patch"),
            (Op::Delete, Existence::Unknown, "delete"),
        ] {
            let asked = Asked {
                path: path.clone(),
                op,
                existence,
                sudo: false,
                body: vec![],
                query: vec![],
                wrap: None,
            };
            assert_eq!(decide(&acl, &asked), told.contains(&word), "seed {seed}, {op:?} {path} {told:?}");
        }
    }
    println!("capabilities: {pairs} pairs of policies and paths, seed {seed}");
}

#[test]
fn a_deny_on_a_pattern_never_widens_and_order_never_matters() {
    let seed = number("COFFRE_SEED", 99);
    let entropy = SeededEntropy::new(seed);
    let world = World(&entropy);
    for _ in 0..3_000 {
        let (policies, all) = random_policies(&world);
        let who = world.who();
        let plain = compile(&policies, true, &who);
        let mut reversed = policies.clone();
        reversed.reverse();
        reversed.iter_mut().for_each(|rules| rules.reverse());
        let reversed = compile(&reversed, false, &who);

        let denied = all[world.below(all.len())].path.clone();
        let mut with_deny = policies.clone();
        with_deny.push(vec![PlainRule { path: denied, capabilities: vec!["deny"], ..PlainRule::default() }]);
        let with_deny = compile(&with_deny, true, &who);
        // A `deny` on a pattern that was not there may only take away too.
        let mut with_new = policies.clone();
        with_new.push(vec![PlainRule {
            path: world.pattern(),
            capabilities: vec!["deny"],
            ..PlainRule::default()
        }]);
        let with_new = compile(&with_new, true, &who);

        for _ in 0..10 {
            let question = world.question(&all);
            let before = decide(&plain, &question);
            let context =
                || format!("seed {seed}, {:?} {}\n{}", question.op, question.path, text(&all, true));
            assert_eq!(decide(&reversed, &question), before, "order: {}", context());
            assert!(before || !decide(&with_deny, &question), "deny widened: {}", context());
            assert!(before || !decide(&with_new, &question), "new deny widened: {}", context());
        }
    }
}
