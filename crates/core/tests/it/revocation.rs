//! Revocation: complete, at once, for ever (rows D7, D8; invariant I5).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use coffre_ambient::{Clock, ManualClock, SystemEntropy};
use coffre_api::Op;
use coffre_core::{Kernel, Settings};
use coffre_storage::Store;
use coffre_storage::faults::Fault;
use serde_json::{Value, json};

use crate::rig::{Late, Rig, START, answer, incoming};

const MAKER: &str = r#"path "auth/token/create" { capabilities = ["update", "sudo"] }"#;

async fn maker() -> (Rig, String) {
    let rig = Rig::new().await;
    rig.policy("maker", MAKER).await;
    let top = rig.token(json!({"policies": ["maker"]})).await;
    (rig, top)
}

async fn revoke(rig: &Rig, token: &str) {
    rig.root(Op::Write, "auth/token/revoke", json!({ "token": token })).await.is(204);
}

#[tokio::test]
async fn d7_a_tree_falls_with_its_top_and_orphans_survive() {
    let (rig, top) = maker().await;
    let before = rig.stored().len();
    let mut tree = vec![top.clone()];
    let mut orphans = Vec::new();
    for _ in 0..20 {
        let child = rig.child(&top, json!({})).await.token();
        tree.push(rig.child(&child, json!({})).await.token());
        orphans.push(rig.child(&child, json!({"no_parent": true})).await.token());
        rig.ask(Op::Write, "cubbyhole/a", &child, json!({"v": "x"})).await.is(204);
        tree.push(child);
    }
    revoke(&rig, &top).await;
    for token in &tree {
        assert!(!rig.lives(token).await);
    }
    for token in &orphans {
        assert!(rig.lives(token).await);
        revoke(&rig, token).await;
    }
    // The top's record, its accessor and its place below root were counted before.
    assert_eq!(rig.stored().len(), before - 3, "nothing of any of them is left");
}

#[tokio::test]
async fn d7_revoke_orphan_lets_the_children_live() {
    let (rig, top) = maker().await;
    let child = rig.child(&top, json!({})).await.token();
    let grandchild = rig.child(&child, json!({})).await.token();
    rig.root(Op::Write, "auth/token/revoke-orphan", json!({ "token": top })).await.is(204);
    assert!(!rig.lives(&top).await);
    assert!(rig.lives(&child).await);
    revoke(&rig, &child).await;
    assert!(!rig.lives(&grandchild).await);
}

#[tokio::test]
async fn d7_by_accessor_and_by_itself() {
    let (rig, top) = maker().await;
    let made = rig.child(&top, json!({})).await;
    let child = rig.child(&made.token(), json!({})).await.token();
    let body = json!({"accessor": made.text("/auth/accessor")});
    rig.root(Op::Write, "auth/token/revoke-accessor", body).await.is(204);
    assert!(!rig.lives(&made.token()).await && !rig.lives(&child).await);
    let child = rig.child(&top, json!({})).await.token();
    rig.ask(Op::Write, "auth/token/revoke-self", &top, Value::Null).await.is(204);
    assert!(!rig.lives(&top).await && !rig.lives(&child).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d8_no_child_outlives_a_parent_that_is_being_revoked() {
    let rig = Arc::new(Rig::new().await);
    rig.policy("maker", MAKER).await;
    for _ in 0..150 {
        let top = rig.token(json!({"policies": ["maker"]})).await;
        let makers: Vec<_> = (0..4)
            .map(|_| {
                let (rig, top) = (Arc::clone(&rig), top.clone());
                tokio::spawn(async move {
                    let mut children = Vec::new();
                    for _ in 0..6 {
                        let answer = rig.child(&top, json!({})).await;
                        if answer.status == 200 {
                            children.push(answer.token());
                        }
                    }
                    children
                })
            })
            .collect();
        tokio::task::yield_now().await;
        revoke(&rig, &top).await;
        for made in makers {
            for child in made.await.unwrap() {
                assert!(!rig.lives(&child).await);
            }
        }
    }
    assert_eq!(rig.count("core/child/"), 0);
    assert_eq!(rig.count("core/revoking/"), 0);
}

#[tokio::test]
async fn invariant_i5_a_token_revoked_while_it_is_being_made_stays_dead() {
    let store = Arc::new(Late::default());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(START));
    let kernel = Kernel::new(
        Arc::clone(&store) as Arc<dyn Store>,
        clock,
        Arc::new(SystemEntropy),
        Settings::default(),
    );
    let root = kernel.start_dev(None).await.unwrap().root_token.expose().to_owned();
    let ask = async |path: &str, token: &str, body: Value| {
        answer(kernel.handle(incoming(Op::Write, path, token, &body)).await).status
    };
    store.armed.store(true, Ordering::SeqCst);
    let made = ask("auth/token/create", &root, json!({"id": "chosen-one", "no_parent": true}));
    let revoked = async {
        // Everything of the token is stored, but whoever makes it has not heard of that yet.
        store.done.notified().await;
        let status = ask("auth/token/revoke", &root, json!({"token": "chosen-one"})).await;
        store.answered.notify_one();
        status
    };
    assert_eq!(tokio::join!(made, revoked), (200, 204));
    assert_eq!(ask("sys/capabilities-self", "chosen-one", json!({"paths": "a"})).await, 403);
}

#[tokio::test]
async fn invariant_i5_a_revocation_that_failed_half_way_is_finished_by_a_tick() {
    for nth in 1..60 {
        let (rig, top) = maker().await;
        let child = rig.child(&top, json!({})).await.token();
        let grandchild = rig.child(&child, json!({})).await.token();
        rig.store.fail_nth(nth, Fault::Refused);
        let body = json!({ "token": top });
        rig.root(Op::Write, "auth/token/revoke", body).await;
        rig.mend();
        rig.kernel.tick().await;
        if !rig.lives(&top).await {
            assert!(!rig.lives(&child).await && !rig.lives(&grandchild).await, "operation {nth} failed");
            assert_eq!(rig.count("core/revoking/"), 0, "operation {nth} failed");
        }
    }
}

#[tokio::test]
async fn invariant_i5_an_expiry_that_failed_is_tried_again() {
    for nth in 1..40 {
        let rig = Rig::new().await;
        rig.policy("maker", MAKER).await;
        let top = rig.token(json!({"policies": ["maker"], "ttl": "10s"})).await;
        let child = rig.child(&top, json!({"ttl": "1h"})).await.token();
        rig.advance(11);
        rig.store.fail_nth(nth, Fault::Refused);
        rig.kernel.tick().await;
        rig.mend();
        rig.kernel.tick().await;
        assert!(!rig.lives(&child).await, "operation {nth} failed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d7_disabling_a_method_ends_every_token_it_made() {
    for _ in 0..30 {
        let rig = Arc::new(Rig::furnished().await);
        let role = json!({"token_policies": "default"});
        rig.root(Op::Write, "auth/approle/role/r", role).await.is(204);
        let id = rig.root(Op::Read, "auth/approle/role/r/role-id", Value::Null).await.text("/data/role_id");
        let made = rig.root(Op::Write, "auth/approle/role/r/secret-id", json!({})).await;
        let login = json!({"role_id": id, "secret_id": made.text("/data/secret_id")});
        let logins: Vec<_> = (0..8)
            .map(|_| {
                let (rig, login) = (Arc::clone(&rig), login.clone());
                tokio::spawn(async move {
                    let mut tokens = Vec::new();
                    for _ in 0..8 {
                        let answer = rig.ask(Op::Write, "auth/approle/login", "", login.clone()).await;
                        if answer.status == 200 {
                            tokens.push(answer.token());
                        }
                    }
                    tokens
                })
            })
            .collect();
        tokio::task::yield_now().await;
        rig.root(Op::Delete, "sys/auth/approle", Value::Null).await.is(204);
        for tokens in logins {
            for token in tokens.await.unwrap() {
                assert!(!rig.lives(&token).await);
            }
        }
    }
}

#[tokio::test]
async fn d2_what_a_spent_token_owned_goes_soon_after_the_next_unseal_at_the_latest() {
    let mut left_over = 0;
    for nth in 1..40 {
        let rig = Rig::new().await;
        let before = rig.count("core/token/");
        let token = rig.token(json!({"policies": ["default"], "num_uses": 2})).await;
        rig.ask(Op::Write, "cubbyhole/a", &token, json!({"v": "1"})).await.is(204);
        rig.store.fail_nth(nth, Fault::Refused);
        rig.ask(Op::Read, "auth/token/lookup-self", &token, Value::Null).await;
        rig.mend();
        left_over += usize::from(!rig.lives(&token).await && rig.count("core/token/") > before);
        let rig = rig.restarted().await;
        if !rig.lives(&token).await {
            // Longer than its last request could be under way.
            rig.kernel.tick().await;
            rig.advance(301);
            rig.kernel.tick().await;
            assert_eq!(rig.count("core/token/"), before, "operation {nth} failed");
        }
    }
    assert!(left_over > 0, "no failure left a spent token behind: this shows nothing");
}
