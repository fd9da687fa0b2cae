//! Renewing the token of a login asks the method that let it in: on its present terms, or not at all.

use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::Rig;

/// A token of a fresh AppRole login.
async fn login(rig: &Rig, role: &str) -> String {
    let path = format!("auth/approle/role/{role}");
    let role_id = rig.root(Op::Read, &format!("{path}/role-id"), Value::Null).await.text("/data/role_id");
    let made = rig.root(Op::Write, &format!("{path}/secret-id"), json!({})).await;
    let body = json!({"role_id": role_id, "secret_id": made.text("/data/secret_id")});
    rig.ask(Op::Write, "auth/approle/login", "", body).await.token()
}

#[tokio::test]
async fn a_login_is_renewed_on_the_present_terms_of_its_role() {
    let rig = Rig::furnished().await;
    let role = "auth/approle/role/r";
    rig.root(Op::Write, role, json!({"token_ttl": "1h", "token_max_ttl": "10h"})).await.is(204);
    let token = login(&rig, "r").await;
    rig.root(Op::Write, role, json!({"token_ttl": "2h", "token_max_ttl": "3h"})).await.is(204);
    let renewed = rig.ask(Op::Write, "auth/token/renew-self", &token, json!({})).await.is(200);
    assert_eq!(renewed.body["auth"]["lease_duration"], 7_200);
    rig.advance(7_100);
    let renewed = rig.ask(Op::Write, "auth/token/renew-self", &token, json!({})).await.is(200);
    assert_eq!(renewed.body["auth"]["lease_duration"], 3 * 3_600 - 7_100, "the new maximum");
}

#[tokio::test]
async fn a_login_is_not_renewed_once_its_role_is_gone() {
    let rig = Rig::furnished().await;
    let role = "auth/approle/role/r";
    rig.root(Op::Write, role, json!({"token_ttl": "1h"})).await.is(204);
    let token = login(&rig, "r").await;
    rig.ask(Op::Write, "auth/token/renew-self", &token, json!({})).await.is(200);
    rig.root(Op::Delete, role, Value::Null).await.is(204);
    rig.ask(Op::Write, "auth/token/renew-self", &token, json!({})).await.is(400);
    // One of the same name is another role.
    rig.root(Op::Write, role, json!({"token_ttl": "9h"})).await.is(204);
    rig.ask(Op::Write, "auth/token/renew-self", &token, json!({})).await.is(400);
    rig.advance(3_601);
    assert!(!rig.lives(&token).await);
}
