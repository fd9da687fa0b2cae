//! Known ways around a policy do not work: each test replays an advisory or a defect of another server.
#![expect(clippy::unwrap_used, reason = "test")]

use std::sync::Arc;
use std::time::Duration;

use coffre_api::{Access, Kind, Op, RawInput, VaultPath};
use coffre_policy::{
    Acl, Caller, Existence, Policy, PolicyName, Question, Subject, TemplateValues, TokenCaller, authorize,
};
use coffre_secret::SecretText;

fn acl(texts: &[&str]) -> Acl {
    let parse = |(n, text): (usize, &&str)| {
        Arc::new(Policy::parse(PolicyName::parse(&format!("p{n}")).unwrap(), text).unwrap())
    };
    Acl::compile(&texts.iter().enumerate().map(parse).collect::<Vec<_>>(), &TemplateValues::none())
}

fn ask(acl: &Acl, op: Op, path: &str, body: &str) -> bool {
    ask_wrapped(acl, op, path, body, None)
}

fn ask_wrapped(acl: &Acl, op: Op, path: &str, body: &str, wrap: Option<u64>) -> bool {
    let raw = RawInput::from_json(SecretText::from(body)).unwrap();
    let path = VaultPath::parse(path).unwrap();
    let wrap_ttl = wrap.map(Duration::from_secs);
    let question =
        Question { path: &path, op, existence: Existence::Exists, needs_sudo: false, raw: &raw, wrap_ttl };
    acl.decide(&question).is_allowed()
}

struct Row(VaultPath, Op, Access);

impl Subject for Row {
    fn op(&self) -> Op {
        self.1
    }
    fn path(&self) -> &VaultPath {
        &self.0
    }
    fn access(&self) -> Access {
        self.2
    }
    fn wrap_ttl(&self) -> Option<Duration> {
        None
    }
}

fn caller(acl: Acl) -> Caller {
    Caller::token(Arc::new(TokenCaller { acl: Arc::new(acl), ..TokenCaller::default() }))
}

#[test]
fn listing_finds_the_deny_below() {
    let acl = acl(&[
        r#"path "s/metadata/*" { capabilities = ["list"] } path "s/metadata/restricted/*" { policy = "deny" }"#,
    ]);
    assert!(ask(&acl, Op::List, "s/metadata/open", ""));
    assert!(!ask(&acl, Op::List, "s/metadata/restricted", ""));
    assert!(!ask(&acl, Op::List, "s/metadata/restricted/x", ""));
}

#[test]
fn a_glob_over_everything_is_no_sudo() {
    let all = r#"path "*" { capabilities = ["create","read","update","delete","list","patch"] }"#;
    for (path, op) in [("sys/seal", Op::Write), ("sys/raw/x", Op::Read), ("sys/audit/x", Op::Write)] {
        let row = || Row(VaultPath::parse(path).unwrap(), op, Access::Sudo);
        let refused =
            authorize(caller(acl(&[all])), Existence::Unknown, &RawInput::empty(), row()).err().unwrap();
        assert_eq!((refused.2.kind(), refused.2.message()), (Kind::Denied, "permission denied"));
        let sudo = acl(&[all, r#"path "*" { capabilities = ["sudo"] }"#]);
        assert!(authorize(caller(sudo), Existence::Unknown, &RawInput::empty(), row()).is_ok(), "{path}");
    }
}

#[test]
fn nobody_gets_through_where_a_token_is_needed() {
    for access in [Access::Token, Access::Sudo] {
        let row = Row(VaultPath::parse("secret/data/a").unwrap(), Op::Read, access);
        assert!(authorize(Caller::anonymous("test"), Existence::Unknown, &RawInput::empty(), row).is_err());
        let row = Row(VaultPath::parse("secret/data/a").unwrap(), Op::Read, access);
        assert!(authorize(caller(Acl::default()), Existence::Unknown, &RawInput::empty(), row).is_err());
        let row = Row(VaultPath::parse("secret/data/a").unwrap(), Op::Read, access);
        assert!(authorize(caller(Acl::root()), Existence::Unknown, &RawInput::empty(), row).is_ok());
    }
    let row = Row(VaultPath::parse("auth/x/login").unwrap(), Op::Write, Access::Public("login"));
    assert!(authorize(Caller::anonymous("login"), Existence::Unknown, &RawInput::empty(), row).is_ok());
}

#[test]
fn create_and_update_tell_nothing_about_what_exists() {
    let refuse = |grant: &str, existence| {
        let row = Row(VaultPath::parse("secret/data/a").unwrap(), Op::Write, Access::Token);
        let acl = acl(&[&format!(r#"path "secret/data/a" {{ capabilities = ["{grant}"] }}"#)]);
        authorize(caller(acl), existence, &RawInput::empty(), row).err().unwrap().2
    };
    let (a, b) = (refuse("create", Existence::Exists), refuse("update", Existence::Missing));
    assert_eq!((a.kind(), a.message()), (b.kind(), b.message()));
}

#[test]
fn denied_values_are_found_in_every_dress() {
    let acl = acl(&[
        r#"path "auth/x" { capabilities = ["update"] denied_parameters = { "policies" = ["super-admin"], "n" = [5], "b" = [true] } }"#,
    ]);
    for body in [
        r#"{"policies":"Super-Admin"}"#,
        r#"{"policies":["x","SUPER-ADMIN"]}"#,
        r#"{"policies":"x,super-admin"}"#,
        r#"{"POLICIES":" super-admin "}"#,
        r#"{"policies":["x, super-admin"]}"#,
        r#"{"policies":"super-\u0061dmin"}"#,
        r#"{"n":5.0}"#,
        r#"{"n":"5"}"#,
        r#"{"n":5e0}"#,
        r#"{"b":"TRUE"}"#,
        r#"{"b":1}"#,
    ] {
        assert!(!ask(&acl, Op::Write, "auth/x", body), "{body}");
    }
    for body in [r#"{"policies":"admin"}"#, r#"{"policies":["x"],"n":6,"b":false}"#, "{}"] {
        assert!(ask(&acl, Op::Write, "auth/x", body), "{body}");
    }
    let raw = RawInput::empty().with_query(vec![("policies".into(), "super-admin".into())]);
    let path = VaultPath::parse("auth/x").unwrap();
    let question = Question {
        path: &path,
        op: Op::Write,
        existence: Existence::Exists,
        needs_sudo: false,
        raw: &raw,
        wrap_ttl: None,
    };
    assert!(!acl.decide(&question).is_allowed());
}

#[test]
fn a_required_parameter_counts_only_where_the_engine_looks() {
    let acl = acl(&[r#"path "a" { capabilities = ["update","read"] required_parameters = ["ttl"] }"#]);
    assert!(!ask(&acl, Op::Write, "a", "{}"));
    assert!(ask(&acl, Op::Write, "a", r#"{"ttl":1}"#));
    assert!(!ask(&acl, Op::Read, "a", r#"{"ttl":1}"#));
}

#[test]
fn wrapping_bounds_join_to_the_smaller() {
    let one = r#"path "a" { capabilities = ["read"] min_wrapping_ttl = "10s" max_wrapping_ttl = "100s" }"#;
    let two = r#"path "a" { capabilities = ["read"] min_wrapping_ttl = "20s" max_wrapping_ttl = "50s" }"#;
    for acl in [acl(&[one, two]), acl(&[two, one])] {
        for (wrap, fits) in
            [(None, false), (Some(9), false), (Some(10), true), (Some(50), true), (Some(51), false)]
        {
            assert_eq!(ask_wrapped(&acl, Op::Read, "a", "", wrap), fits, "{wrap:?}");
        }
    }
}

#[test]
fn case_is_another_object() {
    let acl =
        acl(&[r#"path "secret/*" { policy = "write" } path "secret/data/example" { policy = "deny" }"#]);
    assert!(!ask(&acl, Op::Read, "secret/data/example", ""));
    assert!(ask(&acl, Op::Read, "secret/data/EXAMPLE", ""));
}

#[test]
fn a_template_without_a_value_grants_nothing() {
    let text = r#"path "s/data/{{identity.entity.name}}/*" { policy = "write" }"#;
    let policy = Arc::new(Policy::parse(PolicyName::parse("p").unwrap(), text).unwrap());
    let of = |name: &str| {
        let mut values = TemplateValues::none();
        values.entity("e", name, []);
        Acl::compile(&[Arc::clone(&policy)], &values)
    };
    assert!(ask(&of("bob"), Op::Read, "s/data/bob/x", ""));
    assert!(!ask(&of("bob"), Op::Read, "s/data/alice/x", ""));
    for name in ["*", "+", "a/../alice", "alice/x", "..", "", "{{identity.entity.id}}"] {
        assert!(!ask(&of(name), Op::Read, "s/data/alice/x", ""), "{name}");
    }
}

#[test]
fn an_explanation_names_the_rules() {
    let acl =
        acl(&[r#"path "secret/*" { policy = "write" }"#, r#"path "secret/data/a" { policy = "deny" }"#]);
    let path = VaultPath::parse("secret/data/a").unwrap();
    let raw = RawInput::empty();
    let question = Question {
        path: &path,
        op: Op::Read,
        existence: Existence::Unknown,
        needs_sudo: false,
        raw: &raw,
        wrap_ttl: None,
    };
    let told = acl.explain(&question).to_string();
    assert!(told.starts_with("refused: the rule denies (rule \"secret/data/a\" of p1)"), "{told}");
    assert!(told.contains("also matches, but less closely: \"secret/*\" of p0"), "{told}");
    assert_eq!(acl.capabilities("secret/data/b"), ["read", "list", "update", "delete", "create"]);
    assert_eq!(acl.capabilities("secret/data/a"), ["deny"]);
    assert_eq!(acl.capabilities("other"), ["deny"]);
    assert_eq!(Acl::root().capabilities("x"), ["root"]);
    assert!(acl.reaches("secret/") && !acl.reaches("other/"));
}

#[test]
fn many_rules_stay_fast() {
    let entropy = coffre_ambient::SeededEntropy::new(5);
    let text: String = (0..4_000)
        .map(|n| {
            let tail = ["", "/*", "/+/x", "/+/+/y*"].get(n % 4).unwrap();
            format!(
                "path \"m{}/{}{tail}\" {{ policy = \"read\" }}\n",
                entropy.below(50),
                entropy.below(5_000)
            )
        })
        .collect();
    let acl = acl(&[&text, &text.replace("\"m", "\"n"), &text.replace("\"m", "\"o")]);
    let clock = coffre_ambient::SystemClock;
    let start = coffre_ambient::Clock::boot(&clock);
    for n in 0..100 {
        ask(&acl, Op::Read, &format!("m{}/{}/q/x", n % 50, n), "");
    }
    let each = (coffre_ambient::Clock::boot(&clock) - start) / 100;
    assert!(each < Duration::from_millis(50), "{each:?} for one question");
}
