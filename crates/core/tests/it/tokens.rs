//! Tokens: uses, children, ids, networks, roots.

use std::sync::Arc;

use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d2_num_uses_are_exact_under_200_way_concurrency() {
    let rig = Arc::new(Rig::new().await);
    for uses in [1, 10] {
        let token = rig.token(json!({"policies": ["default"], "num_uses": uses})).await;
        let asks = (0..200).map(|_| {
            let (rig, token) = (Arc::clone(&rig), token.clone());
            let body = json!({"paths": ["a"]});
            tokio::spawn(
                async move { rig.ask(Op::Write, "sys/capabilities-self", &token, body).await.status },
            )
        });
        let mut passed = 0;
        for ask in asks.collect::<Vec<_>>() {
            match ask.await.unwrap() {
                200 => passed += 1,
                status => assert_eq!(status, 403),
            }
        }
        assert_eq!(passed, uses, "of a token with {uses} uses");
        assert!(!rig.lives(&token).await);
    }
}

#[tokio::test]
async fn d2_uses_are_counted_across_restarts_and_refusals() {
    let mut rig = Rig::new().await;
    let token = rig.token(json!({"policies": ["default"], "num_uses": 4})).await;
    let body = json!({"paths": ["a"]});
    rig.ask(Op::Write, "sys/capabilities-self", &token, body.clone()).await.is(200);
    rig = rig.restarted().await;
    // What policy refuses and what does not exist cost a use as well.
    rig.ask(Op::Read, "sys/mounts", &token, Value::Null).await.is(403);
    rig.ask(Op::Read, "no/such/mount", &token, Value::Null).await.is(403);
    rig = rig.restarted().await;
    rig.ask(Op::Write, "sys/capabilities-self", &token, body.clone()).await.is(200);
    rig.ask(Op::Write, "sys/capabilities-self", &token, body).await.is(403);
}

#[tokio::test]
async fn d3_a_restricted_token_makes_no_children() {
    let rig = Rig::new().await;
    rig.policy("maker", r#"path "auth/token/*" { capabilities = ["create", "update", "sudo"] }"#).await;
    let token = rig.token(json!({"policies": ["maker"], "num_uses": 5})).await;
    let before = rig.count("core/token/");
    rig.child(&token, json!({})).await.is(400);
    rig.ask(Op::Write, "auth/token/create-orphan", &token, json!({})).await.is(400);
    assert_eq!(rig.count("core/token/"), before);
}

#[tokio::test]
async fn d17_chosen_ids_need_sudo_a_form_and_to_be_new() {
    let rig = Rig::new().await;
    rig.policy("maker", r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    let plain = rig.token(json!({"policies": ["maker"]})).await;
    rig.child(&plain, json!({"id": "chosen-one"})).await.is(400);
    for id in ["a", "s.x", "../x", "x.yz", "hvs.AAAAAAAAAAAAAAAAAAAAAAAA", "with space", "n\u{e9}e-n\u{e9}e"]
    {
        rig.child(&rig.root, json!({ "id": id })).await.is(400);
    }
    rig.child(&rig.root, json!({"id": "chosen-one"})).await.is(200);
    rig.child(&rig.root, json!({"id": "chosen-one"})).await.is(400);
    assert!(rig.lives("chosen-one").await);
}

/// F14: there is no text to compare with. A token is found by its HMAC, so how much of a guess is right changes nothing
/// about where the search goes, and the names in the storage lead to no token.
#[tokio::test]
async fn f14_a_token_is_found_by_a_name_that_says_nothing_about_it() {
    let rig = Rig::new().await;
    let mut names = Vec::new();
    for id in ["chosen-token-a", "chosen-token-b"] {
        let before: Vec<String> = rig.stored().into_iter().map(|(key, _)| key).collect();
        rig.child(&rig.root, json!({ "id": id })).await.is(200);
        let new = rig.stored().into_iter().map(|(key, _)| key).filter(|key| !before.contains(key));
        names.push(
            new.filter_map(|key| Some(key.split_once("core/token/")?.1.to_owned())).collect::<Vec<_>>(),
        );
    }
    assert_eq!(names.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1], "{names:?}");
    let (first, second) = (&names[0][0], &names[1][0]);
    let alike = first.bytes().zip(second.bytes()).take_while(|(a, b)| a == b).count();
    assert!(first.len() >= 32 && alike < 8, "{first} {second}");
    for (key, bytes) in rig.stored() {
        let text = format!("{key}{}", String::from_utf8_lossy(&bytes));
        assert!(!text.contains("chosen-token") && !text.contains(&rig.root), "{key}");
    }
    let root = rig.root.clone();
    for end in 1..root.len() {
        assert!(!rig.lives(&root[..end]).await, "{end} characters of the root token");
    }
    for at in 0..root.len() {
        let mut guess = root.clone().into_bytes();
        guess[at] ^= 1;
        assert!(
            !rig.lives(&String::from_utf8(guess).unwrap()).await,
            "the root token with character {at} changed"
        );
    }
    assert!(rig.lives(&root).await);
}

/// A root for a minute must not turn into a root for ever by making one.
#[tokio::test]
async fn d18_an_expiring_root_makes_no_eternal_root() {
    let rig = Rig::new().await;
    let brief = rig.token(json!({"policies": ["root"], "ttl": "60s"})).await;
    rig.child(&brief, json!({"policies": ["root"]})).await.is(400);
    rig.child(&brief, json!({})).await.is(400);
    rig.child(&brief, json!({"no_parent": true})).await.is(400);
    rig.ask(Op::Write, "auth/token/create-orphan", &brief, json!({})).await.is(400);
    let bounded = rig.child(&brief, json!({"ttl": "30s"})).await.token();
    rig.advance(31);
    assert!(!rig.lives(&bounded).await);
}

#[tokio::test]
async fn b1_nobody_but_root_gives_the_root_policy() {
    let rig = Rig::furnished().await;
    rig.policy(
        "admin",
        r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }"#,
    )
    .await;
    let admin = rig.token(json!({"policies": ["admin"]})).await;
    let spellings = [
        json!("root"),
        json!("Root"),
        json!("ROOT"),
        json!(" root"),
        json!("root "),
        json!("\troot"),
        json!("ro\u{200b}ot"),
        json!("\u{ff52}\u{ff4f}\u{ff4f}\u{ff54}"),
        json!(["x", "ROOT"]),
        json!("x,root"),
        json!(["x,root"]),
        json!("response-wrapping"),
    ];
    for policies in spellings {
        for path in ["auth/token/create", "auth/token/create-orphan"] {
            let answer = rig.ask(Op::Write, path, &admin, json!({ "policies": policies })).await;
            assert_eq!(answer.status, 400, "{policies} at {path}: {answer:?}");
        }
        let role = json!({"token_policies": policies, "bind_secret_id": true});
        let answer = rig.ask(Op::Write, "auth/approle/role/r", &admin, role).await;
        assert_eq!(answer.status, 400, "{policies}: {answer:?}");
        rig.ask(Op::Read, "auth/approle/role/r", &admin, Value::Null).await.is(404);
    }
    for name in ["root", "Root", "response-wrapping"] {
        let policy = json!({"policy": "path \"*\" { capabilities = [\"deny\"] }"});
        rig.root(Op::Write, &format!("sys/policies/acl/{name}"), policy).await.is(400);
    }
}

#[tokio::test]
async fn children_have_no_more_policies_than_their_parents() {
    let rig = Rig::new().await;
    rig.policy("maker", r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    rig.policy("other", r#"path "sys/*" { capabilities = ["read"] }"#).await;
    let maker = rig.token(json!({"policies": ["maker"]})).await;
    rig.child(&maker, json!({"policies": ["other"]})).await.is(400);
    rig.child(&maker, json!({"no_parent": true})).await.is(400);
    rig.child(&maker, json!({"period": "1h"})).await.is(400);
    let same = rig.child(&maker, json!({})).await.is(200);
    assert_eq!(same.body["auth"]["policies"], json!(["default", "maker"]));
    rig.ask(Op::Write, "auth/token/create-orphan", &maker, json!({})).await.is(403);
}

/// IPv4 inside IPv6 counts as IPv4, and a login from elsewhere makes no token that lies about unused.
#[tokio::test]
async fn e_a_token_is_used_from_its_networks_alone() {
    let rig = Rig::furnished().await;
    let role = json!({"token_policies": "default", "token_bound_cidrs": "10.0.0.0/8"});
    rig.root(Op::Write, "auth/approle/role/r", role).await.is(204);
    let role_id = rig.root(Op::Read, "auth/approle/role/r/role-id", Value::Null).await.text("/data/role_id");
    let made = rig.root(Op::Write, "auth/approle/role/r/secret-id", json!({})).await;
    let login = json!({"role_id": role_id, "secret_id": made.text("/data/secret_id")});
    // A token that could not be used from where it was asked for is not made at all.
    let tokens = rig.count("core/token/");
    rig.ask_from("192.0.2.1", Op::Write, "auth/approle/login", "", login.clone()).await.is(403);
    assert_eq!(rig.count("core/token/"), tokens);
    let token = rig.ask_from("10.1.2.3", Op::Write, "auth/approle/login", "", login).await.token();
    let path = "auth/token/lookup-self";
    rig.ask_from("10.255.0.1", Op::Read, path, &token, Value::Null).await.is(200);
    rig.ask_from("::ffff:10.0.0.1", Op::Read, path, &token, Value::Null).await.is(200);
    for elsewhere in ["11.0.0.1", "127.0.0.1", "::1", "::ffff:11.0.0.1"] {
        rig.ask_from(elsewhere, Op::Read, path, &token, Value::Null).await.is(403);
    }
}

#[tokio::test]
async fn g4_an_accessor_is_no_token_and_shows_none() {
    let rig = Rig::new().await;
    let made = rig.child(&rig.root, json!({"policies": ["default"]})).await;
    let (token, accessor) = (made.token(), made.text("/auth/accessor"));
    assert!(!rig.lives(&accessor).await);
    let body = json!({ "accessor": accessor });
    let shown = rig.root(Op::Write, "auth/token/lookup-accessor", body).await.is(200);
    assert_eq!(shown.text("/data/id"), "");
    assert!(!shown.body.to_string().contains(&token));
}
