//! The cubbyhole is one token's own and dies with it (row D6).

use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::Rig;

#[tokio::test]
async fn d6_nobody_else_sees_it() {
    let rig = Rig::new().await;
    rig.policy("maker", r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    let made = rig.child(&rig.root, json!({"policies": ["maker"]})).await;
    let token = made.token();
    rig.ask(Op::Write, "cubbyhole/a/b", &token, json!({"v": "mine"})).await.is(204);
    let child = rig.child(&token, json!({})).await.token();
    let other = rig.token(json!({"policies": ["default"]})).await;
    for stranger in [&child, &other, &rig.root] {
        rig.ask(Op::Read, "cubbyhole/a/b", stranger, Value::Null).await.is(404);
        rig.ask(Op::List, "cubbyhole", stranger, Value::Null).await.is(404);
    }
    rig.ask(Op::Read, "cubbyhole/a/b", &made.text("/auth/accessor"), Value::Null).await.is(403);
    rig.ask(Op::Read, "cubbyhole/a/b", "", Value::Null).await.is(403);
    let read = rig.ask(Op::Read, "cubbyhole/a/b", &token, Value::Null).await;
    assert_eq!(read.text("/data/v"), "mine");
}

#[tokio::test]
async fn d6_it_is_gone_with_its_token_also_for_a_new_token_of_the_same_id() {
    let rig = Rig::new().await;
    let before = rig.stored().len();
    rig.token(json!({"id": "chosen-one"})).await;
    rig.ask(Op::Write, "cubbyhole/a", "chosen-one", json!({"v": "old"})).await.is(204);
    rig.root(Op::Write, "auth/token/revoke", json!({"token": "chosen-one"})).await.is(204);
    assert_eq!(rig.stored().len(), before, "rows are gone from storage");
    rig.token(json!({"id": "chosen-one"})).await;
    rig.ask(Op::Read, "cubbyhole/a", "chosen-one", Value::Null).await.is(404);
}

#[tokio::test]
async fn d6_the_last_use_takes_it_away() {
    let rig = Rig::new().await;
    let before = rig.stored().len();
    let token = rig.token(json!({"policies": ["default"], "num_uses": 2})).await;
    rig.ask(Op::Write, "cubbyhole/a", &token, json!({"v": "x"})).await.is(204);
    rig.ask(Op::Read, "cubbyhole/a", &token, Value::Null).await.is(200);
    assert_eq!(rig.stored().len(), before);
}
