//! Policies in HCL: any text is read or refused, and a `deny` that is added always wins on its exact path.
#![no_main]

use std::sync::Arc;

use coffre_api::{Op, RawInput, VaultPath};
use coffre_policy::{Acl, Existence, Policy, PolicyName, Question, TemplateValues};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &str)| {
    let (text, path) = data;
    let name = |text| PolicyName::parse(text).expect("a plain name");
    let Ok(policy) = Policy::parse(name("fuzzed"), text) else { return };
    let Ok(path) = VaultPath::parse(path) else { return };
    let quoted = path.as_str().contains(['"', '$', '%', '{', '}', '*', '+']);
    let denying = format!("path \"{}\" {{ capabilities = [\"deny\"] }}", path.as_str());
    let mut policies = vec![Arc::new(policy)];
    let raw = RawInput::empty();
    let ask = |policies: &[Arc<Policy>], op| {
        let acl = Acl::compile(policies, &TemplateValues::default());
        let existence = Existence::Unknown;
        acl.decide(&Question { path: &path, op, existence, needs_sudo: false, raw: &raw, wrap_ttl: None })
            .is_allowed()
    };
    let before = ask(&policies, Op::Read);
    assert_eq!(before, ask(&policies, Op::Read), "the same question has the same answer");
    if !quoted {
        policies.push(Arc::new(Policy::parse(name("deny"), &denying).expect("a plain rule")));
        for op in [Op::Read, Op::Write, Op::Patch, Op::Delete] {
            assert!(!ask(&policies, op), "an exact deny was overruled for {op:?}");
        }
    }
});
