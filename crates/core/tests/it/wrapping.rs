//! Response wrapping: once, by whoever comes first (rows D4, D5; invariant I4).

use std::sync::Arc;
use std::time::Duration;

use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::Rig;

const HOUR: Duration = Duration::from_secs(3_600);

async fn wrapped(rig: &Rig) -> String {
    let body = json!({"value": "hidden"});
    rig.ask_wrapped(HOUR, Op::Write, "sys/wrapping/wrap", &rig.root, body).await.wrapping_token()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d4_of_100_unwraps_at_once_exactly_one_succeeds() {
    let rig = Arc::new(Rig::new().await);
    for _ in 0..5 {
        let token = wrapped(&rig).await;
        let unwraps: Vec<_> = (0..100)
            .map(|number| {
                let (rig, token) = (Arc::clone(&rig), token.clone());
                tokio::spawn(async move {
                    // Half bring it as their own token, half in the body.
                    if number % 2 == 0 {
                        rig.ask(Op::Write, "sys/wrapping/unwrap", &token, Value::Null).await
                    } else {
                        rig.ask(Op::Write, "sys/wrapping/unwrap", "", json!({ "token": token })).await
                    }
                })
            })
            .collect();
        let mut opened = 0;
        for unwrap in unwraps {
            let answer = unwrap.await.unwrap();
            match answer.status {
                200 => {
                    assert_eq!(answer.text("/data/value"), "hidden");
                    opened += 1;
                }
                400 => assert!(
                    answer.text("/errors/0").contains("wrapping token is not valid or does not exist")
                ),
                _ => panic!("{answer:?}"),
            }
        }
        assert_eq!(opened, 1);
        let body = json!({ "token": token });
        for path in ["sys/wrapping/lookup", "sys/wrapping/unwrap", "sys/wrapping/rewrap"] {
            rig.ask(Op::Write, path, &rig.root, body.clone()).await.is(400);
        }
    }
    assert_eq!(rig.count("core/wrap/"), 0);
}

/// The use is taken durably before the answer leaves.
#[tokio::test]
async fn d4_a_restart_between_does_not_give_a_second_time() {
    let rig = Rig::new().await;
    let token = wrapped(&rig).await;
    let rig = rig.restarted().await;
    let body = json!({ "token": token });
    rig.ask(Op::Write, "sys/wrapping/unwrap", "", body.clone()).await.is(200);
    let rig = rig.restarted().await;
    rig.ask(Op::Write, "sys/wrapping/unwrap", "", body).await.is(400);
}

#[tokio::test]
async fn d5_ordinary_tokens_do_not_unwrap_and_wrapping_tokens_do_nothing_else() {
    let rig = Rig::furnished().await;
    let ordinary = rig.token(json!({"policies": ["default"], "num_uses": 2})).await;
    rig.ask(Op::Write, "sys/wrapping/unwrap", "", json!({ "token": ordinary })).await.is(400);
    rig.ask(Op::Write, "sys/wrapping/rewrap", "", json!({ "token": ordinary })).await.is(400);
    let uses = json!({ "token": ordinary });
    let uses = rig.root(Op::Write, "auth/token/lookup", uses).await;
    assert_eq!(uses.body["data"]["num_uses"], 2, "not consumed by being mistaken");

    for (op, path) in [
        (Op::Read, "secret/data/a"),
        (Op::Read, "auth/token/lookup-self"),
        (Op::Write, "auth/token/renew-self"),
        (Op::Write, "auth/token/create"),
        (Op::Write, "cubbyhole/other"),
    ] {
        let token = wrapped(&rig).await;
        rig.ask(op, path, &token, Value::Null).await.is(403);
    }
}

#[tokio::test]
async fn d5_lookup_tells_the_true_origin() {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "secret/data/a", json!({"data": {"k": "v"}})).await.is(200);
    let answer = rig.ask_wrapped(HOUR, Op::Read, "secret/data/a", &rig.root, Value::Null).await;
    assert_eq!(answer.body["data"], Value::Null, "only wrap_info is shown");
    let token = answer.wrapping_token();
    let token = rig.root(Op::Write, "sys/wrapping/rewrap", json!({ "token": token })).await.wrapping_token();
    let looked = rig.ask(Op::Write, "sys/wrapping/lookup", "", json!({ "token": token })).await.is(200);
    assert_eq!(looked.text("/data/creation_path"), "secret/data/a");
    assert_eq!(looked.body["data"]["creation_ttl"], 3_600);
    let opened = rig.ask(Op::Write, "sys/wrapping/unwrap", "", json!({ "token": token })).await.is(200);
    assert_eq!(opened.text("/data/data/k"), "v");
}

#[tokio::test]
async fn a_wrapping_token_ends_with_its_time() {
    let rig = Rig::new().await;
    let token = wrapped(&rig).await;
    rig.advance(3_601);
    rig.ask(Op::Write, "sys/wrapping/unwrap", "", json!({ "token": token })).await.is(400);
    rig.kernel.tick().await;
    assert_eq!(rig.count("core/wrap/"), 0);
}

#[test]
fn invariant_i10_a_token_to_be_made_shows_nothing_of_what_it_wraps() {
    let secret = crate::rig::canary("wrapped");
    let text = String::from_utf8(secret.expose().to_vec()).unwrap();
    let new = coffre_core::tokens::NewToken { wrapped: Some(secret), ..Default::default() };
    let shown = format!("{new:?}");
    assert!(!shown.contains(&text) && !shown.contains("67, 65, 78, 65, 82, 89"), "{shown}");
}
