//! Policies take effect with the next request, and nothing is allowed by default (row B17; invariant I3).

use std::sync::Arc;

use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::Rig;

const READ: &str = r#"path "secret/data/a" { capabilities = ["read"] }"#;

#[tokio::test]
async fn b17_an_edit_is_felt_by_the_next_request() {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "secret/data/a", json!({"data": {"k": "v"}})).await.is(200);
    let token = rig.token(json!({"policies": ["p"]})).await;
    for _ in 0..20 {
        rig.ask(Op::Read, "secret/data/a", &token, Value::Null).await.is(403);
        rig.policy("p", READ).await;
        rig.ask(Op::Read, "secret/data/a", &token, Value::Null).await.is(200);
        rig.policy("p", r#"path "secret/data/*" { capabilities = ["deny"] }"#).await;
        rig.ask(Op::Read, "secret/data/a", &token, Value::Null).await.is(403);
        rig.policy("p", READ).await;
        rig.ask(Op::Read, "secret/data/a", &token, Value::Null).await.is(200);
        rig.root(Op::Delete, "sys/policies/acl/p", Value::Null).await.is(204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn b17_an_edit_is_felt_while_others_keep_the_token_in_use() {
    let rig = Arc::new(Rig::furnished().await);
    rig.root(Op::Write, "secret/data/a", json!({"data": {"k": "v"}})).await.is(200);
    let token = rig.token(json!({"policies": ["p"]})).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let users: Vec<_> = (0..3)
        .map(|_| {
            let (rig, token, stop) = (Arc::clone(&rig), token.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    rig.ask(Op::Read, "secret/data/a", &token, Value::Null).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 0..100 {
        rig.policy("p", READ).await;
        rig.ask(Op::Read, "secret/data/a", &token, Value::Null).await.is(200);
        rig.root(Op::Delete, "sys/policies/acl/p", Value::Null).await.is(204);
        rig.ask(Op::Read, "secret/data/a", &token, Value::Null).await.is(403);
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    for user in users {
        user.await.unwrap();
    }
}

#[tokio::test]
async fn b5_a_list_with_or_without_slash_meets_the_deny() {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "secret/data/restricted/x", json!({"data": {"k": "v"}})).await.is(200);
    rig.policy(
        "p",
        r#"path "secret/metadata/*" { capabilities = ["list"] }
           path "secret/metadata/restricted/*" { capabilities = ["deny"] }"#,
    )
    .await;
    let token = rig.token(json!({"policies": ["p"]})).await;
    rig.ask(Op::List, "secret/metadata/", &token, Value::Null).await.is(200);
    for path in ["secret/metadata/restricted", "secret/metadata/restricted/"] {
        rig.ask(Op::List, path, &token, Value::Null).await.is(403);
    }
}

#[tokio::test]
async fn b13_a_star_without_sudo_opens_no_protected_path() {
    let rig = Rig::furnished().await;
    let all = r#"path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }"#;
    rig.policy("all", all).await;
    let token = rig.token(json!({"policies": ["all"]})).await;
    let before = rig.stored();
    let protected = [
        (Op::Write, "sys/seal"),
        (Op::Read, "sys/audit"),
        (Op::Write, "sys/audit/x"),
        (Op::Delete, "sys/audit/x"),
        (Op::Write, "sys/auth/x"),
        (Op::Delete, "sys/auth/approle"),
        (Op::List, "auth/token/accessors"),
        (Op::Write, "auth/token/create-orphan"),
        (Op::Write, "auth/token/revoke-orphan"),
    ];
    for (op, path) in protected {
        let answer = rig.ask(op, path, &token, Value::Null).await;
        assert_eq!(answer.status, 403, "{op:?} {path}: {answer:?}");
    }
    assert_eq!(rig.stored(), before);
}

#[tokio::test]
async fn b16_create_and_update_are_told_apart_and_refused_alike() {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "secret/data/there", json!({"data": {"k": "v"}})).await.is(200);
    rig.policy("creates", r#"path "secret/data/*" { capabilities = ["create"] }"#).await;
    rig.policy("updates", r#"path "secret/data/*" { capabilities = ["update"] }"#).await;
    let creates = rig.token(json!({"policies": ["creates"]})).await;
    let updates = rig.token(json!({"policies": ["updates"]})).await;
    let body = json!({"data": {"k": "new"}});
    let one = rig.ask(Op::Write, "secret/data/there", &creates, body.clone()).await.is(403);
    let two = rig.ask(Op::Write, "secret/data/missing", &updates, body).await.is(403);
    assert_eq!(one.body, two.body);
    let read = rig.root(Op::Read, "secret/data/there", Value::Null).await;
    assert_eq!(read.text("/data/data/k"), "v");
    rig.root(Op::Read, "secret/data/missing", Value::Null).await.is(404);
}

#[tokio::test]
async fn b18_what_capabilities_say_is_what_happens() {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "kv/a/b", json!({"k": "v"})).await.is(204);
    let rules = [
        r#"path "kv/*" { capabilities = ["read"] }"#,
        r#"path "kv/a/+" { capabilities = ["list", "update"] }"#,
        r#"path "kv/a/b" { capabilities = ["deny"] }"#,
        r#"path "kv/a*" { capabilities = ["delete", "read"] }"#,
        r#"path "kv/+/b" { capabilities = ["create", "read"] }"#,
    ];
    for chosen in 0_u32..32 {
        let text: Vec<&str> =
            rules.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, rule)| *rule).collect();
        if text.is_empty() {
            continue;
        }
        rig.policy("p", &text.join("\n")).await;
        let token = rig.token(json!({"policies": ["p"]})).await;
        for path in ["kv/a/b", "kv/a", "kv/c", "kv/c/b"] {
            let told = rig.ask(Op::Write, "sys/capabilities-self", &token, json!({ "paths": [path] })).await;
            let told: Vec<String> = serde_json::from_value(told.body["capabilities"].clone()).unwrap();
            let may = rig.ask(Op::Read, path, &token, Value::Null).await.status != 403;
            assert_eq!(may, told.contains(&"read".to_owned()), "{path} under {text:?}: {told:?}");
        }
    }
}

/// Names are lowered; what policy sees must be lowered as well, or a `deny` holds for one spelling only.
#[tokio::test]
async fn b3_another_spelling_of_a_policy_name_meets_the_same_deny() {
    let rig = Rig::new().await;
    rig.policy("prod", READ).await;
    rig.policy(
        "editor",
        r#"path "sys/policies/acl/*" { capabilities = ["create", "read", "update", "delete"] }
           path "sys/policies/acl/prod" { capabilities = ["deny"] }
           path "sys/policy/*" { capabilities = ["create", "read", "update", "delete"] }
           path "sys/policy/prod" { capabilities = ["deny"] }"#,
    )
    .await;
    let editor = rig.token(json!({"policies": ["editor"]})).await;
    for name in ["prod", "PROD", "Prod", "prod/", "prod ", " prod"] {
        for family in ["sys/policies/acl", "sys/policy"] {
            let path = format!("{family}/{name}");
            let body = json!({"policy": "path \"*\" { capabilities = [\"sudo\"] }"});
            for (op, body) in [(Op::Write, body), (Op::Read, Value::Null), (Op::Delete, Value::Null)] {
                let answer = rig.ask(op, &path, &editor, body).await;
                assert!(matches!(answer.status, 400 | 403), "{op:?} {path}: {answer:?}");
            }
        }
    }
    let kept = rig.root(Op::Read, "sys/policies/acl/prod", Value::Null).await.is(200);
    assert_eq!(kept.text("/data/policy"), READ);
    let all = rig.root(Op::List, "sys/policies/acl", Value::Null).await;
    assert_eq!(all.body["data"]["keys"], json!(["default", "editor", "prod", "root"]));
}

#[tokio::test]
async fn b9_a_policy_name_is_a_name() {
    let rig = Rig::new().await;
    for name in ["...", "a b", "a,b", "a*", "a+b", "a\"b", "\u{ff52}oot", "r\u{f6}ot", &"a".repeat(129)] {
        let answer = rig.root(Op::Write, &format!("sys/policies/acl/{name}"), json!({"policy": READ})).await;
        assert!(answer.status == 400 || name == "...", "{name}: {answer:?}");
        rig.child(&rig.root, json!({"policies": ["../root"]})).await.is(400);
    }
    for name in ["a/b", "a/../b"] {
        let made = rig.child(&rig.root, json!({ "policies": [name] })).await;
        assert_eq!(made.status, 400, "{name}: {made:?}");
    }
}
