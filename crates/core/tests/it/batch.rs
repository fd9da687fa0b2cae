//! Batch tokens: stored nowhere, good for less than service tokens, dead with their parents.

use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::Rig;

const MAKER: &str = r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }"#;

/// A kernel with a policy that allows nearly everything, and a batch token that has it.
async fn rig() -> (Rig, String) {
    let rig = Rig::furnished().await;
    rig.policy("maker", MAKER).await;
    let token = rig.token(json!({"type": "batch", "policies": ["maker"], "ttl": "1h"})).await;
    (rig, token)
}

async fn approle(rig: &Rig, role: Value) -> Value {
    rig.root(Op::Write, "auth/approle/role/r", role).await.is(204);
    let role_id = rig.root(Op::Read, "auth/approle/role/r/role-id", Value::Null).await.text("/data/role_id");
    let made = rig.root(Op::Write, "auth/approle/role/r/secret-id", json!({})).await;
    json!({"role_id": role_id, "secret_id": made.text("/data/secret_id")})
}

#[tokio::test]
async fn d1_a_batch_token_makes_renews_keeps_and_revokes_nothing() {
    let (rig, token) = rig().await;
    let before = rig.stored().len();
    rig.ask(Op::Write, "secret/data/a", &token, json!({"data": {"v": 1}})).await.is(200);
    let after = rig.stored().len();
    assert!(after > before, "it may write where its policies allow");
    for (path, body) in [
        ("auth/token/create", json!({"policies": ["default"]})),
        ("auth/token/create-orphan", json!({"policies": ["default"]})),
        ("auth/token/create", json!({"type": "batch"})),
        ("auth/token/renew-self", json!({})),
        ("auth/token/renew", json!({ "token": token })),
        ("auth/token/revoke-self", json!({})),
        ("auth/token/revoke", json!({ "token": token })),
        ("auth/token/revoke-orphan", json!({ "token": token })),
        ("auth/token/renew-accessor", json!({"accessor": ""})),
        ("auth/token/lookup-accessor", json!({"accessor": ""})),
    ] {
        let answer = rig.ask(Op::Write, path, &token, body).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    for (op, path) in [(Op::Write, "cubbyhole/a"), (Op::Read, "cubbyhole/a"), (Op::List, "cubbyhole")] {
        let answer = rig.ask(op, path, &token, json!({"v": "x"})).await;
        assert!(matches!(answer.status, 400 | 403 | 404), "{path}: {answer:?}");
    }
    assert_eq!(rig.stored().len(), after);
    assert!(rig.lives(&token).await);
}

#[tokio::test]
async fn d1_what_a_batch_token_cannot_have_is_refused() {
    let rig = Rig::new().await;
    for body in [
        json!({"type": "batch", "policies": ["root"]}),
        json!({"type": "batch"}),
        json!({"type": "batch", "policies": ["a"], "period": "1h"}),
        json!({"type": "batch", "policies": ["a"], "num_uses": 3}),
        json!({"type": "batch", "policies": ["a"], "explicit_max_ttl": "1h"}),
        json!({"type": "batch", "policies": ["a"], "id": "chosen-one"}),
        json!({"type": "nonsense", "policies": ["a"]}),
    ] {
        rig.root(Op::Write, "auth/token/create", body).await.is(400);
    }
}

#[tokio::test]
async fn a_batch_token_is_nowhere_in_storage_and_outlives_restart_rotation_and_seal() {
    let rig = Rig::furnished().await;
    let before = rig.stored();
    let made = rig.root(Op::Write, "auth/token/create", json!({"type": "batch", "policies": ["p"]})).await;
    assert_eq!(rig.stored(), before);
    let token = made.token();
    assert!(token.starts_with("hvb."), "{made:?}");
    let auth = &made.body["auth"];
    assert_eq!((&auth["token_type"], &auth["accessor"]), (&json!("batch"), &json!("")));
    assert_eq!((&auth["renewable"], &auth["num_uses"]), (&json!(false), &json!(0)));
    assert!(auth["lease_duration"].as_u64().unwrap() > 0);
    rig.root(Op::Write, "sys/rotate", json!({})).await;
    let mut rig = rig.restarted().await;
    let data = rig.ask(Op::Read, "auth/token/lookup-self", &token, Value::Null).await.is(200);
    let data = &data.body["data"];
    assert_eq!((&data["id"], &data["type"], &data["accessor"]), (&json!(token), &json!("batch"), &json!("")));
    assert_eq!(data["policies"], json!(["default", "p"]));
    assert!(data["expire_time"].is_string() && !data["orphan"].as_bool().unwrap());
    rig.root(Op::Write, "auth/token/lookup", json!({ "token": token })).await.is(200);
    rig.kernel.seal().await;
    rig = rig.restarted().await;
    assert!(rig.lives(&token).await);
    rig.advance(768 * 3_600);
    assert!(!rig.lives(&token).await, "its end");
}

#[tokio::test]
async fn d1_a_batch_token_dies_with_its_parent_unless_it_is_an_orphan() {
    let rig = Rig::new().await;
    rig.policy("maker", MAKER).await;
    let parent = rig.token(json!({"policies": ["maker"], "ttl": "1h"})).await;
    let body = |no_parent: bool| json!({"type": "batch", "policies": ["default"], "ttl": "5h", "no_parent": no_parent});
    let child = rig.child(&parent, body(false)).await.token();
    let orphan = rig.child(&parent, body(true)).await.token();
    let other = rig.token(json!({"policies": ["maker"], "ttl": "1h"})).await;
    let timed = rig.child(&other, body(false)).await.token();
    for token in [&child, &orphan, &timed] {
        assert!(rig.lives(token).await);
    }
    rig.root(Op::Write, "auth/token/revoke", json!({ "token": parent })).await.is(204);
    assert!(!rig.lives(&child).await && rig.lives(&orphan).await && rig.lives(&timed).await);
    assert!(!rig.restarted().await.lives(&child).await);
    rig.advance(3_600);
    assert!(!rig.lives(&timed).await, "its parent has ended, before any tick");
    assert!(rig.lives(&orphan).await);
}

#[tokio::test]
async fn no_changed_or_foreign_batch_token_gets_in() {
    let (rig, token) = rig().await;
    let other = Rig::new().await;
    assert!(rig.lives(&token).await && !other.lives(&token).await, "it belongs to one cluster");
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        // The last character of base64 may carry bits that stand for nothing; they must be zero.
        assert!(!rig.lives(&changed).await, "changed at {at}");
    }
    for odd in ["hvb.", "hvb.AQ", "hvb.====", "hvb.\u{20ac}", &token[..token.len() - 4]] {
        assert!(!rig.lives(odd).await, "{odd}");
    }
}

#[tokio::test]
async fn role_and_mount_decide_together_what_a_login_gives() {
    for (mount, role, kind) in [
        ("default-service", "default", "service"),
        ("default-service", "batch", "batch"),
        ("default-service", "default-batch", "batch"),
        ("default-batch", "default", "batch"),
        ("default-batch", "service", "service"),
        ("service", "batch", "service"),
        ("batch", "service", "batch"),
    ] {
        let rig = Rig::furnished().await;
        let login =
            approle(&rig, json!({"token_type": role, "token_policies": "p", "token_ttl": "1h"})).await;
        rig.root(Op::Write, "sys/auth/approle/tune", json!({ "token_type": mount })).await.is(204);
        let before = rig.count("core/token/");
        let made = rig.ask(Op::Write, "auth/approle/login", "", login).await.is(200);
        assert_eq!(made.body["auth"]["token_type"], kind, "{mount} {role}");
        assert_eq!(made.body["auth"]["lease_duration"], 3_600);
        let stored = usize::from(kind == "service");
        assert_eq!(rig.count("core/token/") - before, stored);
        assert!(rig.lives(&made.token()).await);
    }
}

#[tokio::test]
async fn a_login_that_cannot_give_a_batch_token_makes_none() {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "sys/auth/approle/tune", json!({"token_type": "batch"})).await.is(204);
    let before = rig.count("core/token/");
    for role in [json!({"token_period": "1h"}), json!({"token_num_uses": 2})] {
        let login = approle(&rig, role).await;
        rig.ask(Op::Write, "auth/approle/login", "", login).await.is(400);
        rig.root(Op::Delete, "auth/approle/role/r", Value::Null).await.is(204);
    }
    assert_eq!(rig.count("core/token/"), before);
}

#[tokio::test]
async fn a_change_of_policy_reaches_batch_tokens_with_the_next_request() {
    let (rig, token) = rig().await;
    rig.ask(Op::Write, "kv/a", &token, json!({"v": 1})).await.is(204);
    rig.policy("maker", r#"path "kv/a" { capabilities = ["read"] }"#).await;
    rig.ask(Op::Write, "kv/a", &token, json!({"v": 2})).await.is(403);
    rig.ask(Op::Read, "kv/a", &token, Value::Null).await.is(200);
}

#[tokio::test]
async fn a_batch_token_is_used_from_its_networks_alone() {
    let rig = Rig::furnished().await;
    let role = json!({"token_type": "batch", "token_policies": "p", "token_bound_cidrs": "10.0.0.0/8"});
    let login = approle(&rig, role).await;
    rig.ask(Op::Write, "auth/approle/login", "", login.clone()).await.is(403);
    let made = rig.ask_from("10.1.2.3", Op::Write, "auth/approle/login", "", login).await.token();
    let path = "auth/token/lookup-self";
    rig.ask_from("10.1.2.3", Op::Read, path, &made, Value::Null).await.is(200);
    rig.ask_from("11.1.2.3", Op::Read, path, &made, Value::Null).await.is(403);
}
