//! A token lives while every token above it lives, whatever the clocks, the storage and the memory went through.

use coffre_ambient::Wall;
use coffre_api::Op;
use coffre_storage::{Key, Store as _};
use serde_json::{Value, json};

use crate::rig::{Rig, START};

const MAKER: &str = r#"path "auth/token/create" { capabilities = ["update", "sudo"] }"#;

async fn maker() -> Rig {
    let rig = Rig::new().await;
    rig.policy("maker", MAKER).await;
    rig
}

/// The storage keys below a prefix.
fn keys(rig: &Rig, prefix: &str) -> Vec<String> {
    rig.stored().into_iter().map(|(key, _)| key).filter(|key| key.contains(prefix)).collect()
}

/// The keys that an action adds below a prefix.
async fn added<T>(rig: &Rig, prefix: &str, action: impl Future<Output = T>) -> (T, Vec<String>) {
    let before = keys(rig, prefix);
    let done = action.await;
    (done, keys(rig, prefix).into_iter().filter(|key| !before.contains(key)).collect())
}

#[tokio::test]
async fn invariant_i5_descendants_end_with_their_ancestor_not_with_the_next_tick() {
    let rig = maker().await;
    let top = rig.token(json!({"policies": ["maker"], "ttl": "60s"})).await;
    let child = rig.child(&top, json!({"ttl": "10h"})).await.token();
    let grandchild = rig.child(&child, json!({"ttl": "10h"})).await.token();
    let orphan = rig.child(&top, json!({"ttl": "10h", "no_parent": true})).await.token();
    rig.advance(59);
    assert!(rig.lives(&child).await && rig.lives(&grandchild).await);
    rig.ask(Op::Write, "auth/token/renew-self", &top, json!({"increment": "60s"})).await.is(200);
    rig.advance(59);
    assert!(rig.lives(&grandchild).await, "its ancestor was renewed");
    rig.advance(1);
    assert!(!rig.lives(&child).await && !rig.lives(&grandchild).await, "before any tick");
    assert!(rig.lives(&orphan).await);
    rig.kernel.tick().await;
    assert_eq!(rig.count("core/token/"), 2, "root and the orphan");
}

#[tokio::test]
async fn nobody_makes_an_endless_chain_of_tokens() {
    let rig = maker().await;
    let mut token = rig.token(json!({"policies": ["maker"]})).await;
    for depth in 1..100 {
        let answer = rig.child(&token, json!({})).await;
        if answer.status == 400 {
            assert!((32..=64).contains(&depth), "{depth}");
            return;
        }
        token = answer.token();
        assert!(rig.lives(&token).await);
    }
    panic!("there is no bound");
}

#[tokio::test]
async fn invariant_i5_a_clock_set_back_across_a_restart_revives_nothing() {
    let rig = maker().await;
    let token = rig.token(json!({"policies": ["default"], "ttl": "60s"})).await;
    let batch = rig.token(json!({"policies": ["default"], "ttl": "60s", "type": "batch"})).await;
    rig.advance(61);
    assert!(!rig.lives(&token).await && !rig.lives(&batch).await);
    // No tick has run. The machine stops, and its clock is set back.
    rig.clock.jump_to(Wall::from_secs(START.secs() - 3_600));
    let rig = rig.restarted().await;
    assert!(!rig.lives(&token).await, "what was refused stays refused");
    assert!(!rig.lives(&batch).await, "also where no record tells");
    let fresh = rig.token(json!({"policies": ["default"], "ttl": "60s"})).await;
    assert!(rig.lives(&fresh).await);
    rig.advance(60);
    assert!(!rig.lives(&fresh).await, "time goes on from the mark");
}

#[tokio::test]
async fn invariant_i5_the_tick_keeps_the_time_also_where_nothing_ends() {
    let rig = maker().await;
    let token = rig.token(json!({"policies": ["default"], "ttl": "600s"})).await;
    rig.advance(590);
    rig.kernel.tick().await;
    rig.clock.jump_to(START);
    let rig = rig.restarted().await;
    assert!(rig.lives(&token).await);
    rig.advance(60 + 10);
    assert!(!rig.lives(&token).await, "at most a minute is lost");
}

#[tokio::test]
async fn h_one_damaged_token_is_refused_and_keeps_nobody_out() {
    let rig = maker().await;
    let (token, key) = added(&rig, "core/token/", rig.token(json!({"policies": ["maker"]}))).await;
    let child = rig.child(&token, json!({})).await.token();
    let mut bytes = rig.store.get(&Key::new(key[0].clone()).unwrap()).await.unwrap().unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    rig.store.put(Key::new(key[0].clone()).unwrap(), bytes).await.unwrap();
    let rig = rig.restarted().await;
    rig.root(Op::Read, "sys/mounts", Value::Null).await.is(200);
    assert!(!rig.lives(&token).await);
    assert!(!rig.lives(&child).await, "nobody knows whether its parent was revoked");
    rig.kernel.tick().await;
    rig.root(Op::Write, "auth/token/revoke", json!({ "token": token })).await.is(204);
    assert_eq!(rig.count("core/token/"), 1, "it can be removed, with its children");
}

#[tokio::test]
async fn tidy_removes_what_leads_nowhere_and_writes_again_what_was_lost() {
    let rig = maker().await;
    let top = rig.token(json!({"policies": ["maker"]})).await;
    let records = |rig: &Rig| keys(rig, "core/").len() - keys(rig, "core/high-water").len();
    let sound = records(&rig);
    // A token without its two indexes.
    let (kept, accessor) = added(&rig, "core/accessor/", rig.child(&top, json!({}))).await;
    let kept = kept.token();
    let place = keys(&rig, "core/child/");
    for key in accessor.iter().chain(&place) {
        rig.store.delete(Key::new(key.clone()).unwrap()).await.unwrap();
    }
    // Indexes without their token, and a token without its parent.
    let (_, lost) = added(&rig, "core/token/", rig.child(&top, json!({}))).await;
    let (parent, parent_key) =
        added(&rig, "core/token/", rig.child(&top, json!({"policies": ["maker"]}))).await;
    let stray = rig.child(&parent.token(), json!({})).await.token();
    for key in lost.iter().chain(&parent_key) {
        rig.store.delete(Key::new(key.clone()).unwrap()).await.unwrap();
    }
    let rig = rig.restarted_over_changes().await;
    assert!(!rig.lives(&stray).await, "before the tidying as well");
    rig.root(Op::Write, "auth/token/tidy", json!({})).await.is(202);
    let again = rig.root(Op::Write, "auth/token/tidy", json!({})).await.is(202);
    assert!(again.body["warnings"].to_string().contains("already in progress"), "{again:?}");
    for _ in 0..2 {
        rig.kernel.tick().await;
        assert_eq!(records(&rig), sound + 3, "one child with its two indexes");
        rig.root(Op::Write, "auth/token/tidy", json!({})).await.is(202);
    }
    assert!(rig.lives(&top).await && rig.lives(&kept).await);
    rig.root(Op::Write, "auth/token/revoke", json!({ "token": top })).await.is(204);
    assert!(!rig.lives(&kept).await);
}

#[tokio::test]
async fn while_revoke_orphan_works_the_children_are_let_in() {
    let rig = std::sync::Arc::new(maker().await);
    for _ in 0..20 {
        let top = rig.token(json!({"policies": ["maker"]})).await;
        let mut children = Vec::new();
        for _ in 0..3 {
            children.push(rig.child(&top, json!({})).await.token());
        }
        let worker = std::sync::Arc::clone(&rig);
        let body = json!({ "token": top });
        let work =
            tokio::spawn(async move { worker.root(Op::Write, "auth/token/revoke-orphan", body).await });
        while !work.is_finished() {
            for child in &children {
                assert!(rig.lives(child).await);
            }
            tokio::task::yield_now().await;
        }
        work.await.unwrap().is(204);
        assert!(!rig.lives(&top).await);
        for child in &children {
            assert!(rig.lives(child).await);
        }
    }
}

/// Token and decision come from memory: a storage that hangs holds nobody up who asks for nothing stored.
#[tokio::test]
async fn a_warm_token_is_checked_without_reading_storage() {
    let rig = Rig::furnished().await;
    rig.policy("maker", r#"path "*" { capabilities = ["update", "read", "sudo"] }"#).await;
    let top = rig.token(json!({"policies": ["maker"]})).await;
    let child = rig.child(&top, json!({"policies": ["maker"]})).await.token();
    let grandchild = rig.child(&child, json!({})).await.token();
    let batch = rig.child(&child, json!({"type": "batch", "policies": ["maker"]})).await.token();
    for token in [&rig.root, &top, &grandchild, &batch] {
        // Allowed, refused and unknown paths alike.
        let asks = [
            (Op::Write, "sys/capabilities-self", json!({"paths": ["a"]})),
            (Op::Read, "auth/token/lookup-self", Value::Null),
            (Op::List, "sys/policies/acl", Value::Null),
            (Op::Read, "no/such/path", Value::Null),
        ];
        for (op, path, body) in &asks {
            rig.ask(*op, path, token, body.clone()).await;
        }
        let before = rig.store.operations();
        for (op, path, body) in asks {
            rig.ask(op, path, token, body).await;
        }
        assert_eq!(rig.store.operations(), before);
    }
}
