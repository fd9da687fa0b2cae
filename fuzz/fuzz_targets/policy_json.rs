//! Policies in JSON: any text is read or refused; whoever holds no policy that matches gets nothing.
#![no_main]

use std::sync::Arc;

use coffre_api::{Op, RawInput, VaultPath};
use coffre_policy::{Acl, Existence, Policy, PolicyName, Question, TemplateValues, decode_body};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let name = PolicyName::parse("fuzzed").expect("a plain name");
    let text = decode_body(text);
    // The braces keep the fuzzer in the JSON reader.
    let text = if text.trim_start().starts_with('{') {
        text.into_owned()
    } else {
        format!("{{\"path\":{{{text}}}}}")
    };
    let Ok(policy) = Policy::parse(name, &text) else { return };
    let rules = policy.rule_count();
    let acl = Acl::compile(&[Arc::new(policy)], &TemplateValues::default());
    let path = VaultPath::parse("no/such/path").expect("a plain path");
    let raw = RawInput::empty();
    let existence = Existence::Missing;
    let question =
        Question { path: &path, op: Op::Write, existence, needs_sudo: true, raw: &raw, wrap_ttl: None };
    if rules == 0 {
        assert!(!acl.decide(&question).is_allowed(), "no rule, yet allowed");
    }
    if acl.decide(&question).is_allowed() {
        assert!(
            text.contains("sudo") || text.contains("\\u") || text.contains("policy"),
            "sudo from nowhere"
        );
    }
});
