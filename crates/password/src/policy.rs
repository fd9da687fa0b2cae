use std::collections::BTreeMap;

use coffre_ambient::{Entropy, EntropyFailed};
use coffre_hcl::{Bounds, Entry, Node, Notation};
use coffre_secret::SecretText;

use crate::draw::{Group, Groups};

/// What passwords look like. Made by [`PasswordPolicy::parse`] alone, so each one can be satisfied.
#[derive(Clone, Debug, PartialEq)]
pub struct PasswordPolicy(Groups);

/// Why a text is no password policy. Never quotes the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// It is neither HCL 1 nor JSON.
    #[error("the policy cannot be read: line {line}: {what}")]
    Syntax {
        /// From 1.
        line: usize,
        /// A fragment.
        what: &'static str,
    },
    /// A key that means nothing here, or a value of another form than it must have.
    #[error("line {line}: {what}")]
    Form {
        /// From 1.
        line: usize,
        /// A sentence.
        what: &'static str,
    },
    /// The length is missing or out of bounds.
    #[error("length must be a whole number from {min} to {max}", min = PasswordPolicy::MIN_LENGTH, max = PasswordPolicy::MAX_LENGTH)]
    Length,
    /// No rule, or too many.
    #[error("a policy needs 1 to {max} rules: rule \"charset\" {{ charset = \"…\" min-chars = 1 }}", max = PasswordPolicy::MAX_RULES)]
    Rules,
    /// The rules ask for more characters than the password has.
    #[error("the rules ask for more characters (min-chars, added up) than the password is long")]
    TooMuchAsked,
    /// The rules' sets overlap in too many ways for the passwords to be counted.
    #[error("too many rules with min-chars overlap: give each of them characters of its own")]
    Tangled,
}

/// A rule as it is written.
struct Rule {
    charset: Vec<char>,
    min: usize,
}

impl PasswordPolicy {
    /// The shortest password.
    pub const MIN_LENGTH: usize = 4;
    /// The longest password, in characters.
    pub const MAX_LENGTH: usize = 100;
    /// Rules of one policy.
    pub const MAX_RULES: usize = 64;

    /// Reads HCL 1 or JSON: `length = 20`, and for each rule `rule "charset" { charset = "abc" min-chars = 1 }`. A
    /// character that stands twice in a set counts once. A key that is not known is refused: a typing error must not
    /// weaken a password.
    pub fn parse(text: &str) -> Result<Self, PolicyFault> {
        let entries = coffre_hcl::parse(text, Notation::Either, Bounds::STANDARD)
            .map_err(|error| PolicyFault::Syntax { line: error.line, what: error.fault.what() })?;
        let (mut length, mut rules) = (None, Vec::new());
        for entry in entries {
            match entry.key.as_str() {
                "length" if length.is_none() => {
                    length = Some(number(&entry.value).ok_or(PolicyFault::Length)?)
                }
                "rule" => read_rules(entry, &mut rules)?,
                _ => return Err(form(entry.line, "a policy has one length, and rules: nothing else")),
            }
        }
        let length = length.filter(|length| (Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(length));
        let length = length.ok_or(PolicyFault::Length)?;
        if rules.is_empty() || rules.len() > Self::MAX_RULES {
            return Err(PolicyFault::Rules);
        }
        if rules.iter().map(|rule| rule.min).sum::<usize>() > length {
            return Err(PolicyFault::TooMuchAsked);
        }
        groups(&rules, length).map(Self).ok_or(PolicyFault::Tangled)
    }

    /// Its passwords' length in characters.
    pub const fn length(&self) -> usize {
        self.0.length()
    }

    /// A password: each that satisfies the rules is as likely as any other.
    pub fn generate(&self, entropy: &dyn Entropy) -> Result<SecretText, EntropyFailed> {
        self.0.draw(entropy)
    }
}

/// `rule "charset" { … }` in each of the forms of HCL 1 and JSON.
fn read_rules(entry: Entry, rules: &mut Vec<Rule>) -> Result<(), PolicyFault> {
    const FORM: &str = "a rule is written: rule \"charset\" { charset = \"…\" min-chars = 1 }";
    for labelled in entry.value.into_entries().ok_or_else(|| form(entry.line, FORM))? {
        if labelled.key != "charset" {
            return Err(form(labelled.line, "the only kind of rule is \"charset\""));
        }
        for body in labelled.value.into_items() {
            let Node::Object(fields) = body else { return Err(form(labelled.line, FORM)) };
            rules.push(read_rule(labelled.line, fields)?);
            if rules.len() > PasswordPolicy::MAX_RULES {
                return Err(PolicyFault::Rules);
            }
        }
    }
    Ok(())
}

fn read_rule(line: usize, fields: Vec<Entry>) -> Result<Rule, PolicyFault> {
    let (mut charset, mut min) = (None, None);
    for Entry { key, value, line } in fields {
        match (key.as_str(), value) {
            ("charset", Node::Text(text)) if charset.is_none() => charset = Some(text),
            ("min-chars" | "min_chars", value) if min.is_none() => {
                let small = number(&value).filter(|min| *min <= PasswordPolicy::MAX_LENGTH);
                min =
                    Some(small.ok_or_else(|| form(line, "min-chars must be a whole number from 0 to 100"))?);
            }
            _ => {
                return Err(form(line, "a rule has a charset (a text) and may have min-chars: nothing else"));
            }
        }
    }
    let mut charset: Vec<char> = charset.unwrap_or_default().chars().collect();
    charset.sort_unstable();
    charset.dedup();
    if charset.is_empty() || !charset.iter().all(|c| is_printable(*c)) {
        return Err(form(line, "a rule needs a charset, of characters that can be printed"));
    }
    Ok(Rule { charset, min: min.unwrap_or_default() })
}

/// Letters, digits, signs and the space; nothing that a reader cannot see.
fn is_printable(c: char) -> bool {
    let unseen = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}');
    c == ' ' || !(c.is_control() || c.is_whitespace() || unseen)
}

/// Characters by the rules that they count for. A rule that asks for nothing only adds characters.
fn groups(rules: &[Rule], length: usize) -> Option<Groups> {
    let mut counts_for: BTreeMap<char, u64> = BTreeMap::new();
    let mut needs = Vec::new();
    for rule in rules {
        let mask = if rule.min > 0 { 1_u64 << needs.len() } else { 0 };
        for c in &rule.charset {
            *counts_for.entry(*c).or_default() |= mask;
        }
        if rule.min > 0 {
            needs.push(rule.min);
        }
    }
    let mut by_mask: BTreeMap<u64, Vec<char>> = BTreeMap::new();
    for (c, mask) in counts_for {
        by_mask.entry(mask).or_default().push(c);
    }
    let groups = by_mask.into_iter().map(|(counts_for, chars)| Group { counts_for, chars });
    Groups::counted(needs, groups.collect(), length)
}

fn number(node: &Node) -> Option<usize> {
    match node {
        Node::Number(text) | Node::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

const fn form(line: usize, what: &'static str) -> PolicyFault {
    PolicyFault::Form { line, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffre_ambient::SeededEntropy;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_a_rule_says_the_same() {
        let hcl = "length = 20\nrule \"charset\" {\n charset = \"abcc\"\n min-chars = 2\n}\nrule \"charset\" { charset = \"12\" }";
        let expected = PasswordPolicy::parse(hcl).unwrap();
        for text in [
            r#"{"length":20,"rule":[{"charset":{"charset":"cba","min-chars":2}},{"charset":{"charset":"12"}}]}"#,
            r#"{"length":"20","rule":{"charset":[{"charset":"abc","min_chars":2},{"charset":"21","min-chars":0}]}}"#,
            r#"length = 20 rule { charset { charset = "abc" min-chars = 2 } } rule "charset" { charset = "12" }"#,
        ] {
            assert_eq!(PasswordPolicy::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let rule = |body: &str| format!("length = 10 rule \"charset\" {{ {body} }}");
        for (text, fault) in [
            ("length = 10".to_owned(), PolicyFault::Rules),
            (rule("charset = \"a\"").replace("10", "3"), PolicyFault::Length),
            (rule("charset = \"a\"").replace("10", "101"), PolicyFault::Length),
            (rule("charset = \"a\"").replace("length = 10", ""), PolicyFault::Length),
            (rule("charset = \"a\" min-chars = 11"), PolicyFault::TooMuchAsked),
            (
                rule("charset = \"a\"") + &" rule \"charset\" { charset = \"b\" }".repeat(64),
                PolicyFault::Rules,
            ),
        ] {
            assert_eq!(PasswordPolicy::parse(&text).unwrap_err(), fault, "{text}");
        }
        for body in [
            "",
            "charset = \"\"",
            "charset = \"a\\n\"",
            "charset = \"a\u{200b}\"",
            "charset = 5",
            "chars = \"a\"",
            "charset = \"a\" min-chars = -1",
            "charset = \"a\" charset = \"b\"",
        ] {
            assert!(matches!(PasswordPolicy::parse(&rule(body)), Err(PolicyFault::Form { .. })), "{body}");
        }
        for text in [
            "length = 10 lenght = 5",
            "length = 10 rule \"words\" { charset = \"a\" }",
            "length = 10 rule = 5",
            "length = 10 length = 10 rule \"charset\" { charset = \"a\" }",
        ] {
            assert!(matches!(PasswordPolicy::parse(text), Err(PolicyFault::Form { .. })), "{text}");
        }
        assert!(matches!(PasswordPolicy::parse("length ="), Err(PolicyFault::Syntax { .. })));
    }

    #[test]
    fn rules_that_cannot_be_counted_are_refused_and_those_of_people_are_not() {
        let letters = "abcdefghijklmnopqrstuvwxyz";
        // Each letter counts for a set of rules of its own: 2^20 states.
        let mut tangled = String::from("length = 100");
        for bit in 0..20 {
            let of = |c: &char| (usize::from(u8::try_from(*c).unwrap()) * 2_654_435_761) >> bit & 1 == 1;
            let chars: String = ('!'..='~').filter(|c| !matches!(c, '"' | '\\')).filter(of).collect();
            tangled.push_str(&format!(" rule \"charset\" {{ charset = \"{chars}\" min-chars = 5 }}"));
        }
        assert_eq!(PasswordPolicy::parse(&tangled).unwrap_err(), PolicyFault::Tangled);
        let usual = format!(
            "length = 100 rule \"charset\" {{ charset = \"{letters}\" min-chars = 25 }} rule \"charset\" {{ charset = \"{}\" min-chars = 25 }} \
             rule \"charset\" {{ charset = \"0123456789\" min-chars = 25 }} rule \"charset\" {{ charset = \"-_!.\" min-chars = 25 }}",
            letters.to_uppercase()
        );
        assert!(PasswordPolicy::parse(&usual).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn passwords_keep_all_rules(
            length in 4_usize..=30,
            sets in proptest::collection::vec(("[a-f0-4é]{1,8}", 0_usize..8), 1..4),
            seed: u64,
        ) {
            let rules: String = sets.iter().map(|(set, min)| format!(" rule \"charset\" {{ charset = \"{set}\" min-chars = {min} }}")).collect();
            let parsed = PasswordPolicy::parse(&format!("length = {length}{rules}"));
            if sets.iter().map(|(_, min)| min).sum::<usize>() > length {
                prop_assert_eq!(parsed.unwrap_err(), PolicyFault::TooMuchAsked);
                return Ok(());
            }
            let policy = parsed.unwrap();
            let password = policy.generate(&SeededEntropy::new(seed)).unwrap();
            let chars: Vec<char> = password.expose().chars().collect();
            prop_assert_eq!((chars.len(), policy.length()), (length, length));
            prop_assert!(chars.iter().all(|c| sets.iter().any(|(set, _)| set.contains(*c))));
            for (set, min) in &sets {
                prop_assert!(chars.iter().filter(|c| set.contains(**c)).count() >= *min);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = PasswordPolicy::parse(&text);
        }
    }
}
