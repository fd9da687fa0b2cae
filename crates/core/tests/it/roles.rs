//! Token roles: written, read, and what tokens made with one become.

use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

const USER: &str = r#"path "auth/token/create/*" { capabilities = ["create", "update"] }"#;

/// A kernel, and a token that may make tokens with roles and nothing else.
async fn rig() -> (Rig, String) {
    let rig = Rig::new().await;
    rig.policy("user", USER).await;
    rig.policy("app", r#"path "x" { capabilities = ["read"] }"#).await;
    let user = rig.token(json!({"policies": ["user"], "ttl": "100h"})).await;
    (rig, user)
}

async fn role(rig: &Rig, name: &str, body: Value) {
    rig.root(Op::Write, &format!("auth/token/roles/{name}"), body).await.is(204);
}

async fn made(rig: &Rig, maker: &str, role: &str, body: Value) -> Answer {
    rig.ask(Op::Write, &format!("auth/token/create/{role}"), maker, body).await
}

async fn lookup(rig: &Rig, token: &str) -> Value {
    let answer = rig.root(Op::Write, "auth/token/lookup", json!({ "token": token })).await.is(200);
    answer.body["data"].clone()
}

#[tokio::test]
async fn roles_are_written_read_listed_and_deleted() {
    let rig = Rig::new().await;
    rig.root(Op::List, "auth/token/roles", Value::Null).await.is(404);
    rig.root(Op::Read, "auth/token/roles/r", Value::Null).await.is(404);
    role(&rig, "r", json!({"allowed_policies": "b,a", "period": "1h", "bound_cidrs": ["10.0.0.0/8"]})).await;
    let data = rig.root(Op::Read, "auth/token/roles/r", Value::Null).await.is(200).body["data"].clone();
    assert_eq!(data["allowed_policies"], json!(["a", "b"]));
    assert_eq!((&data["period"], &data["token_period"]), (&json!(3_600), &json!(3_600)));
    assert_eq!(data["bound_cidrs"], data["token_bound_cidrs"]);
    assert_eq!((&data["renewable"], &data["orphan"]), (&json!(true), &json!(false)));
    assert_eq!((&data["name"], &data["token_type"]), (&json!("r"), &json!("default-service")));
    // What is absent stays.
    role(&rig, "r", json!({"orphan": true, "token_period": "2h"})).await;
    let data = rig.root(Op::Read, "auth/token/roles/r", Value::Null).await.is(200).body["data"].clone();
    assert_eq!(data["allowed_policies"], json!(["a", "b"]));
    assert_eq!((&data["period"], &data["token_period"]), (&json!(0), &json!(7_200)));
    let keys = rig.root(Op::List, "auth/token/roles", Value::Null).await.is(200);
    assert_eq!(keys.body["data"]["keys"], json!(["r"]));
    rig.root(Op::Delete, "auth/token/roles/r", Value::Null).await.is(204);
    rig.root(Op::Delete, "auth/token/roles/r", Value::Null).await.is(204);
    rig.root(Op::Read, "auth/token/roles/r", Value::Null).await.is(404);
}

#[tokio::test]
async fn what_no_role_can_be_is_refused_and_not_stored() {
    let rig = Rig::new().await;
    for body in [
        json!({"token_type": "nonsense"}),
        json!({"token_type": "batch", "token_period": "1h"}),
        json!({"token_type": "batch", "token_num_uses": 1}),
        json!({"token_num_uses": -1}),
        json!({"token_bound_cidrs": "10.0.0.1/8"}),
        json!({"path_suffix": "../x"}),
        json!({"path_suffix": "a/b"}),
        json!({"allowed_policies": "ro\u{200b}ot"}),
        json!({"token_period": "-1h"}),
    ] {
        rig.root(Op::Write, "auth/token/roles/r", body).await.is(400);
    }
    rig.root(Op::Read, "auth/token/roles/r", Value::Null).await.is(404);
    rig.root(Op::Write, "auth/token/create/r", json!({})).await.is(400);
}

#[tokio::test]
async fn a_token_of_a_role_is_what_the_role_says() {
    let (rig, user) = rig().await;
    role(
        &rig,
        "r",
        json!({
            "allowed_policies": "app", "orphan": true, "renewable": false, "path_suffix": "for-ci",
            "token_num_uses": 5, "token_explicit_max_ttl": "2h", "token_bound_cidrs": "127.0.0.0/8",
        }),
    )
    .await;
    let token = made(&rig, &user, "r", json!({"num_uses": 9, "explicit_max_ttl": "3h"})).await;
    assert!(
        token.body["warnings"].to_string().contains("using the lesser value of 7200 seconds"),
        "{token:?}"
    );
    let data = lookup(&rig, &token.token()).await;
    assert_eq!(data["policies"], json!(["app", "default"]));
    assert_eq!(
        (&data["orphan"], &data["renewable"], &data["role"]),
        (&json!(true), &json!(false), &json!("r"))
    );
    assert_eq!(data["path"], "auth/token/create/r/for-ci");
    assert_eq!((&data["num_uses"], &data["explicit_max_ttl"]), (&json!(5), &json!(7_200)));
    assert_eq!(data["bound_cidrs"], json!(["127.0.0.0/8"]));
    made(&rig, &user, "r", json!({"policies": "user"})).await.is(400);
    made(&rig, &user, "r", json!({"policies": "root"})).await.is(400);
    // The role is an orphan's; asking for it oneself needs sudo.
    made(&rig, &user, "r", json!({"no_parent": true})).await.is(400);
    rig.root(Op::Write, "auth/token/revoke", json!({ "token": user })).await.is(204);
    assert!(rig.lives(&token.token()).await, "an orphan");
}

#[tokio::test]
async fn b1_no_role_gives_root_to_who_is_not_root() {
    let (rig, user) = rig().await;
    for (name, body) in [
        ("all", json!({"allowed_policies_glob": "*"})),
        ("some", json!({"allowed_policies_glob": "r*t"})),
        ("others", json!({"disallowed_policies": "x"})),
    ] {
        role(&rig, name, body).await;
        for policies in [json!("root"), json!("ROOT"), json!("response-wrapping")] {
            made(&rig, &user, name, json!({ "policies": policies })).await.is(400);
        }
    }
    for spelling in ["root", "ROOT", "x, root", "response-wrapping"] {
        let body = json!({"allowed_policies": spelling});
        rig.root(Op::Write, "auth/token/roles/named", body).await.is(400);
    }
    rig.root(Op::Read, "auth/token/roles/named", Value::Null).await.is(404);
}

#[tokio::test]
async fn a_periodic_role_needs_no_sudo_and_its_period_is_the_present_one() {
    let (rig, user) = rig().await;
    role(&rig, "r", json!({"allowed_policies": "app", "token_period": "2h"})).await;
    made(&rig, &user, "r", json!({"period": "1h"})).await.is(400);
    let token = made(&rig, &user, "r", json!({})).await.token();
    assert_eq!(lookup(&rig, &token).await["period"], 7_200);
    role(&rig, "r", json!({"token_period": "3h"})).await;
    let renewed = rig.ask(Op::Write, "auth/token/renew-self", &token, json!({})).await.is(200);
    assert_eq!(renewed.body["auth"]["lease_duration"], 3 * 3_600);
    rig.root(Op::Delete, "auth/token/roles/r", Value::Null).await.is(204);
    rig.ask(Op::Write, "auth/token/renew-self", &token, json!({})).await.is(400);
}

#[tokio::test]
async fn the_roles_kind_wins_or_is_a_default() {
    let (rig, user) = rig().await;
    for (kind, asked, got) in [
        ("service", "batch", "service"),
        ("batch", "service", "batch"),
        ("default-service", "", "service"),
        ("default-service", "batch", "batch"),
        ("default-batch", "", "batch"),
        ("default-batch", "service", "service"),
    ] {
        role(&rig, "r", json!({"allowed_policies": "app", "token_type": kind})).await;
        let token = made(&rig, &user, "r", json!({ "type": asked })).await.is(200);
        assert_eq!(token.body["auth"]["token_type"], got, "{kind} {asked}");
    }
}

#[tokio::test]
async fn an_entity_alias_needs_a_role_that_allows_it() {
    let (rig, user) = rig().await;
    role(&rig, "r", json!({"allowed_policies": "app", "allowed_entity_aliases": "ci-*"})).await;
    rig.root(Op::Write, "auth/token/create", json!({"entity_alias": "ci-1"})).await.is(400);
    made(&rig, &user, "r", json!({"entity_alias": "other"})).await.is(400);
    made(&rig, &user, "r", json!({"entity_alias": "CI-1"})).await.is(200);
}
