//! One policy decision, in this process: a caller with 20 policies asks about paths that meet each kind of rule.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use coffre_ambient::{Clock as _, SystemClock};
use coffre_api::{Op, RawInput, VaultPath};
use coffre_policy::{Acl, Existence, Policy, PolicyName, Question, TemplateValues};

use super::report::{Report, mark};

/// The most that one decision may take, in nanoseconds.
const TARGET: f64 = 1_000.0;
const POLICIES: usize = 20;
const DECISIONS: u32 = 2_000_000;

/// Measures and notes the mean of [`DECISIONS`] decisions.
pub(super) fn measure(report: &mut Report) -> Result<()> {
    let acl = acl()?;
    let paths = [
        "secret/data/team7/app/db",
        "secret/data/team7/shared",
        "secret/metadata/team19/app",
        "secret/data/team3/x/config",
        "auth/token/lookup-self",
        "people/alice/keys",
        "none/of/these",
    ];
    let paths: Vec<VaultPath> =
        paths.iter().map(|path| VaultPath::parse(path)).collect::<Result<_, _>>().context("a path")?;
    let raw = RawInput::empty();
    let mut allowed = 0_u32;
    let start = SystemClock.boot();
    for (at, path) in (0..DECISIONS).zip(paths.iter().cycle()) {
        let question = Question {
            path,
            op: if at % 4 == 0 { Op::List } else { Op::Read },
            existence: Existence::Unknown,
            needs_sudo: false,
            raw: &raw,
            wrap_ttl: None,
        };
        allowed += u32::from(black_box(&acl).decide(black_box(&question)).is_allowed());
    }
    let nanos = SystemClock.boot().saturating_sub(start).as_secs_f64() * 1e9 / f64::from(DECISIONS);
    report.note(format!(
        "policy decision, {POLICIES} policies with {} rules: {nanos:.0} ns {} {TARGET:.0} ns ({} % allowed)",
        acl.rules().count(),
        mark(nanos <= TARGET, "≤"),
        u64::from(allowed) * 100 / u64::from(DECISIONS),
    ));
    Ok(())
}

/// Each policy has exact rules, prefixes, `+` in two places, a template and a deny.
fn acl() -> Result<Acl> {
    let mut values = TemplateValues::none();
    values.entity("0c5b6f3e", "alice", []);
    let one = |n: usize| {
        let text = format!(
            r#"
            path "secret/data/team{n}/*" {{ capabilities = ["create", "read", "update"] }}
            path "secret/metadata/team{n}/*" {{ capabilities = ["list", "read"] }}
            path "secret/data/team{n}/shared" {{ capabilities = ["read"] }}
            path "secret/data/team{n}/+/config" {{ capabilities = ["read"] }}
            path "secret/data/+/team{n}/+" {{ capabilities = ["read", "list"] }}
            path "secret/data/team{n}/private/*" {{ capabilities = ["deny"] }}
            path "people/{{{{identity.entity.name}}}}/*" {{ capabilities = ["read"] }}
            path "auth/token/lookup-self" {{ capabilities = ["read"] }}
            "#
        );
        let name = PolicyName::parse(&format!("team{n}")).context("a policy's name")?;
        Ok(Arc::new(Policy::parse(name, &text).context("a policy")?))
    };
    let policies: Vec<Arc<Policy>> = (0..POLICIES).map(one).collect::<Result<_>>()?;
    Ok(Acl::compile(&policies, &values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policies_join() {
        let acl = acl().unwrap();
        assert_eq!(acl.rules().count(), POLICIES * 6 + 2);
        assert_eq!(acl.capabilities("people/alice/keys"), ["read"]);
        assert_eq!(acl.capabilities("secret/data/team7/private/x"), ["deny"]);
    }
}
