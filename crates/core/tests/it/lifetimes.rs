//! Ends of tokens: expired is for ever, whatever the clocks do (invariant I5).

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::{Rig, START};

#[tokio::test]
async fn invariant_i5_expired_is_refused_at_once_and_gone_after_a_tick() {
    let rig = Rig::new().await;
    let token = rig.token(json!({"policies": ["default"], "ttl": "60s"})).await;
    rig.advance(59);
    assert!(rig.lives(&token).await);
    rig.advance(1);
    assert!(!rig.lives(&token).await, "before any tick");
    let before = rig.count("core/token/");
    rig.kernel.tick().await;
    assert_eq!(rig.count("core/token/"), before - 1);
    assert!(!rig.lives(&token).await);
}

#[tokio::test]
async fn invariant_i5_a_backward_jump_of_the_wall_clock_revives_nothing() {
    let rig = Rig::new().await;
    let token = rig.token(json!({"policies": ["default"], "ttl": "60s"})).await;
    rig.advance(30);
    rig.clock.jump_to(Wall::from_secs(START.secs() - 3_600));
    assert!(rig.lives(&token).await);
    rig.advance(31);
    assert!(!rig.lives(&token).await, "61 seconds have passed since boot");
    // What was compiled is compiled anew: the end must not be computed anew with it.
    rig.policy("p", r#"path "x" { capabilities = ["read"] }"#).await;
    assert!(!rig.lives(&token).await, "after a change of a policy");
    rig.kernel.tick().await;
    assert!(!rig.lives(&token).await, "after a tick");
    assert_eq!(rig.restarted().await.count("core/token/"), 1, "the tick removed it from storage");
}

#[tokio::test]
async fn invariant_i5_a_forward_jump_ends_and_the_jump_back_does_not_revive() {
    let rig = Rig::new().await;
    let token = rig.token(json!({"policies": ["default"], "ttl": "60s"})).await;
    rig.clock.jump_to(START.plus(Duration::from_secs(600)));
    assert!(!rig.lives(&token).await);
    rig.clock.jump_to(START);
    rig.policy("p", r#"path "x" { capabilities = ["read"] }"#).await;
    assert!(!rig.lives(&token).await);
}

#[tokio::test]
async fn d9_renewal_never_passes_the_explicit_maximum() {
    let increments = [
        json!(0),
        json!(1),
        json!("9999999h"),
        json!(1_000_000_000_000_000_000_u64),
        json!("50ms"),
        json!(-1),
    ];
    let ends = [("5s", 5_000), ("500ms", 1_000), ("1500ms", 2_000)];
    for (max, end) in ends {
        let rig = Rig::new().await;
        let token = rig.token(json!({"policies": ["default"], "explicit_max_ttl": max})).await;
        for step in 1..=(end / 50 + 20) {
            rig.clock.advance(Duration::from_millis(50));
            let body = json!({"increment": increments[step as usize % increments.len()]});
            let answer = rig.ask(Op::Write, "auth/token/renew-self", &token, body).await;
            let passed: u64 = step * 50;
            if passed >= end {
                assert_eq!(answer.status, 403, "{max} after {passed} ms: {answer:?}");
            } else if answer.status == 200 {
                let shown = answer.body["auth"]["lease_duration"].as_u64().unwrap();
                assert!((1..=end.div_ceil(1_000)).contains(&shown), "{max} after {passed} ms: {shown}");
            }
        }
        assert!(!rig.lives(&token).await);
    }
}

/// Zero stands for "no end" in records: a fraction of a second must not be rounded down to it.
#[tokio::test]
async fn d9_a_lifetime_below_a_second_does_not_become_for_ever() {
    let rig = Rig::new().await;
    let token =
        rig.token(json!({"policies": ["default"], "ttl": "300ms", "explicit_max_ttl": "700ms"})).await;
    rig.clock.advance(Duration::from_millis(200));
    rig.ask(Op::Write, "auth/token/renew-self", &token, json!({})).await;
    rig.clock.advance(Duration::from_millis(900));
    assert!(!rig.lives(&token).await);

    // A wrapped answer that is wrapped anew keeps its short life.
    let brief = Duration::from_millis(500);
    let wrapped = rig
        .ask_wrapped(brief, Op::Write, "sys/wrapping/wrap", &rig.root, json!({"a": 1}))
        .await
        .wrapping_token();
    let again =
        rig.root(Op::Write, "sys/wrapping/rewrap", json!({ "token": wrapped })).await.wrapping_token();
    rig.advance(3_600);
    rig.ask(Op::Write, "sys/wrapping/unwrap", "", json!({ "token": again })).await.is(400);
}

#[tokio::test]
async fn d13_what_ended_while_the_server_was_down_is_refused_from_the_first_request() {
    let rig = Rig::new().await;
    let token = rig.token(json!({"policies": ["default"], "ttl": "5s"})).await;
    rig.advance(10);
    let rig = rig.restarted().await;
    assert!(!rig.lives(&token).await);
}

/// Each renewal moves an end; the old one must not stay on the list until its time.
#[tokio::test]
async fn renewing_for_ever_does_not_fill_memory() {
    let rig = Rig::new().await;
    let token = rig.token(json!({"policies": ["default"], "period": "24h"})).await;
    for _ in 0..500 {
        rig.advance(1);
        rig.ask(Op::Write, "auth/token/renew-self", &token, json!({})).await.is(200);
    }
    let gone = rig.token(json!({"policies": ["default"], "ttl": "24h"})).await;
    rig.ask(Op::Write, "auth/token/revoke-self", &gone, Value::Null).await.is(204);
    assert_eq!(rig.kernel.active().unwrap().tokens.scheduled(), 1, "one end for one token that ends");
}
