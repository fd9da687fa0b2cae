//! The abuse cases, one test for each row that is not a race.

use std::sync::atomic::Ordering;

use coffre_api::{Kind, Op};
use serde_json::{Value, json};

use crate::rig::{Rig, Who, refused, text};

const WRONG: (Kind, &str) = (Kind::Invalid, "invalid role or secret ID");

fn is_wrong<T>(result: Result<T, coffre_api::Refusal>, case: &str) {
    let (kind, message) = refused(result);
    assert_eq!((kind, message.as_str()), WRONG, "{case}");
}

#[tokio::test]
async fn a10_failing_logins_leave_no_trace() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({ "secret_id_num_uses": 1 })).await.unwrap();
    let role_id = rig.role_id("app").await;
    rig.secret_id("app", json!({})).await;
    let before = rig.plain_records().await;
    for number in 0..200 {
        is_wrong(rig.login(&role_id, &format!("wrong-{number}")).await, "wrong secret id");
        is_wrong(rig.login(&format!("wrong-{number}"), "x").await, "wrong role id");
    }
    assert_eq!(rig.plain_records().await, before);
}

#[tokio::test]
async fn b1_no_spelling_of_root_can_be_granted() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({ "token_policies": ["a"] })).await.unwrap();
    for policies in [
        json!("root"),
        json!("Root"),
        json!("ROOT"),
        json!(" root"),
        json!("root "),
        json!("\troot"),
        json!("ro\u{200b}ot"),
        json!("ｒｏｏｔ"),
        json!(["x", "ROOT"]),
        json!("x,ROOT"),
        json!(["x,root"]),
        json!("response-wrapping"),
        json!("a/../root"),
        json!("root\u{0}"),
    ] {
        for (path, name) in [
            ("role/app", "token_policies"),
            ("role/app", "policies"),
            ("role/new", "token_policies"),
            ("role/app/policies", "policies"),
            ("role/app/policies", "token_policies"),
        ] {
            let (kind, _) = refused(rig.write(path, json!({ name: policies })).await);
            assert_eq!(kind, Kind::Invalid, "{path} {policies}");
        }
    }
    assert_eq!(rig.read("role/app/policies").await.unwrap().data["token_policies"], json!(["a"]));
    assert_eq!(rig.list("role").await.unwrap().data["keys"], json!(["app"]));
}

#[tokio::test]
async fn b3_a_denied_role_is_denied_in_every_spelling() {
    let rig = Rig::new().await;
    rig.write("role/bob", json!({ "token_policies": ["a"] })).await.unwrap();
    let policy = r#"
        path "auth/approle/role/*" { capabilities = ["create", "read", "update", "delete"] }
        path "auth/approle/role/bob" { capabilities = ["deny"] }
        path "auth/approle/role/bob/policies" { capabilities = ["deny"] }
    "#;
    for path in ["role/bob", "role/BOB", "role/Bob", "role/Bob/policies", "role/boB/policies"] {
        for op in [Op::Write, Op::Read, Op::Delete] {
            let body = if op == Op::Write { json!({ "policies": ["evil"] }) } else { Value::Null };
            let (kind, _) = refused(rig.ask(Who::Holder(policy), op, path, body).await);
            assert_eq!(kind, Kind::Denied, "{op:?} {path}");
        }
    }
    for path in ["role/bob ", "role/bob\u{301}", "role/bo\u{212a}"] {
        assert_eq!(refused(rig.read(path).await).0, Kind::Invalid, "{path}");
    }
    assert_eq!(rig.read("role/bob/policies").await.unwrap().data["token_policies"], json!(["a"]));
}

#[tokio::test]
async fn e2_a_wrong_role_id_and_a_wrong_secret_id_look_and_cost_the_same() {
    let rig = Rig::new().await;
    is_wrong(rig.login("nobody", "x").await, "a mount without roles");
    rig.write("role/app", json!({ "token_policies": ["app-read"] })).await.unwrap();
    let role_id = rig.role_id("app").await;
    let (secret_id, accessor) = rig.secret_id("app", json!({})).await;
    let cost = async |role_id: &str, secret_id: &str| {
        rig.store.hits.store(0, Ordering::SeqCst);
        is_wrong(rig.login(role_id, secret_id).await, "wrong credentials");
        rig.store.hits.load(Ordering::SeqCst)
    };
    let wrong_secret = cost(&role_id, "00000000-0000-4000-8000-000000000001").await;
    let wrong_role = cost("00000000-0000-4000-8000-000000000002", &secret_id).await;
    assert_eq!(wrong_secret, wrong_role, "records read and decrypted");
    for (case, role_id, secret_id) in [
        ("an accessor is no secret id", role_id.as_str(), accessor.as_str()),
        ("the name is no role id", "app", secret_id.as_str()),
        ("no secret id", &role_id, ""),
        ("a long secret id", &role_id, &"x".repeat(100_000)),
        ("a long role id", &"x".repeat(100_000), &secret_id),
    ] {
        if role_id.len() > 512 {
            assert_eq!(refused(rig.login(role_id, secret_id).await).0, Kind::Invalid, "{case}");
        } else {
            is_wrong(rig.login(role_id, secret_id).await, case);
        }
    }
}

#[tokio::test]
async fn e3_an_accessor_works_through_its_own_role_alone() {
    let rig = Rig::new().await;
    rig.write("role/a", json!({})).await.unwrap();
    rig.write("role/b", json!({})).await.unwrap();
    rig.secret_id("b", json!({})).await;
    let (secret_id, accessor) = rig.secret_id("a", json!({})).await;
    for op in [Op::Write, Op::Delete] {
        let body = json!({ "secret_id_accessor": accessor });
        let through_b = rig.ask(Who::Root, op, "role/b/secret-id-accessor/destroy", body).await;
        assert_eq!(refused(through_b).0, Kind::Missing);
    }
    let body = json!({ "secret_id_accessor": accessor });
    assert_eq!(refused(rig.write("role/b/secret-id-accessor/lookup", body).await).0, Kind::Missing);
    rig.write("role/b/secret-id/destroy", json!({ "secret_id": secret_id })).await.unwrap();
    for odd in ["", "../x", "a/b", "*", "é", "x\u{0}"] {
        let body = json!({ "secret_id_accessor": odd });
        assert_eq!(
            refused(rig.write("role/a/secret-id-accessor/lookup", body).await).0,
            Kind::Missing,
            "{odd:?}"
        );
    }
    rig.login(&rig.role_id("a").await, &secret_id).await.unwrap();
}

#[tokio::test]
async fn e4_neither_secret_ids_nor_their_hashes_can_be_read() {
    let rig = Rig::new().await;
    rig.write("role/a", json!({})).await.unwrap();
    rig.write("role/b", json!({})).await.unwrap();
    let (secret_id, accessor) = rig.secret_id("a", json!({ "metadata": { "x": "y" } })).await;
    let custom = "a-secret-id-that-somebody-chose";
    rig.write("role/a/custom-secret-id", json!({ "secret_id": custom })).await.unwrap();
    let listed = rig.list("role/a/secret-id").await.unwrap().data;
    let keys: Vec<String> = listed["keys"].as_array().unwrap().iter().map(text).collect();
    assert!(keys.contains(&accessor) && keys.len() == 2, "{keys:?}");
    let foreign = rig.write("role/b/secret-id/lookup", json!({ "secret_id": secret_id })).await.unwrap();
    assert_eq!(foreign.data, Value::Null, "another role's secret id is as unknown as any");
    for (key, record) in rig.plain_records().await {
        let record = String::from_utf8_lossy(&record).into_owned();
        for secret in [secret_id.as_str(), custom] {
            assert!(!key.contains(secret) && !record.contains(secret), "{key}: {record}");
        }
        if let Some((_, hash)) = key.strip_prefix("secret-id/").and_then(|rest| rest.split_once('/')) {
            assert!(!listed.to_string().contains(hash));
        }
    }
}

#[tokio::test]
async fn e5_networks_are_combined_by_and() {
    let mut rig = Rig::fresh().await;
    let role =
        json!({ "secret_id_bound_cidrs": "10.0.0.0/8,127.0.0.0/8", "token_bound_cidrs": "10.0.0.0/8" });
    rig.write("role/app", role).await.unwrap();
    for body in [
        json!({ "cidr_list": "11.0.0.0/8" }),
        json!({ "cidr_list": "0.0.0.0/0" }),
        json!({ "cidr_list": ["10.0.0.0/16", "12.0.0.0/8"] }),
        json!({ "token_bound_cidrs": "127.0.0.0/8" }),
    ] {
        assert_eq!(refused(rig.write("role/app/secret-id", body.clone()).await).0, Kind::Invalid, "{body}");
    }
    let role_id = rig.role_id("app").await;
    let body = json!({ "cidr_list": "10.1.0.0/16", "token_bound_cidrs": "10.1.2.0/24" });
    let (narrow, _) = rig.secret_id("app", body).await;
    let (wide, _) = rig.secret_id("app", json!({})).await;
    for (peer, narrow_works, wide_works) in [
        ("10.1.0.1", true, true),
        ("::ffff:10.1.0.1", true, true),
        ("10.2.0.1", false, true),
        ("127.0.0.1", false, true),
        ("8.8.8.8", false, false),
        ("::1", false, false),
    ] {
        rig.peer = peer.parse().unwrap();
        for (secret_id, works) in [(&narrow, narrow_works), (&wide, wide_works)] {
            match rig.login(&role_id, secret_id).await {
                Ok(_) => assert!(works, "{peer}"),
                Err(refusal) => assert!(!works && refusal.kind() == Kind::Denied, "{peer} {refusal:?}"),
            }
        }
    }
    rig.peer = "10.1.0.1".parse().unwrap();
    assert_eq!(rig.login(&role_id, &narrow).await.unwrap().bound_cidrs, ["10.1.2.0/24"]);
    // The role is narrowed afterwards: what is left is what both lists have in common, and never everywhere.
    rig.write("role/app", json!({ "token_bound_cidrs": "10.1.2.128/25" })).await.unwrap();
    assert_eq!(rig.login(&role_id, &narrow).await.unwrap().bound_cidrs, ["10.1.2.128/25"]);
    rig.write("role/app", json!({ "token_bound_cidrs": "192.168.0.0/16" })).await.unwrap();
    assert_eq!(refused(rig.login(&role_id, &narrow).await).0, Kind::Denied);
}

#[tokio::test]
async fn e5_a_login_from_elsewhere_uses_nothing_up() {
    let mut rig = Rig::fresh().await;
    rig.write("role/app", json!({ "secret_id_bound_cidrs": "10.0.0.0/8" })).await.unwrap();
    let role_id = rig.role_id("app").await;
    let (secret_id, _) = rig.secret_id("app", json!({ "num_uses": 1 })).await;
    for _ in 0..3 {
        assert_eq!(refused(rig.login(&role_id, &secret_id).await).0, Kind::Denied);
    }
    rig.peer = "10.0.0.1".parse().unwrap();
    rig.login(&role_id, &secret_id).await.unwrap();
    is_wrong(rig.login(&role_id, &secret_id).await, "used up");
}

#[tokio::test]
async fn e6_a_role_made_again_knows_nothing_of_the_old_one() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({})).await.unwrap();
    let old_id = rig.role_id("app").await;
    let (secret_id, accessor) = rig.secret_id("app", json!({})).await;
    rig.delete("role/app").await.unwrap();
    is_wrong(rig.login(&old_id, &secret_id).await, "deleted");
    rig.write("role/app", json!({})).await.unwrap();
    let new_id = rig.role_id("app").await;
    assert_ne!(new_id, old_id);
    is_wrong(rig.login(&old_id, &secret_id).await, "old role id");
    is_wrong(rig.login(&new_id, &secret_id).await, "new role id");
    let body = json!({ "secret_id_accessor": accessor });
    assert_eq!(refused(rig.write("role/app/secret-id-accessor/lookup", body).await).0, Kind::Missing);
    // Also with the same role id, chosen.
    rig.write("role/app", json!({ "role_id": old_id })).await.unwrap();
    is_wrong(rig.login(&old_id, &secret_id).await, "chosen role id");
    rig.assert_no_dangling().await;
}

#[tokio::test]
async fn e7_a_role_has_one_name_in_any_case() {
    let rig = Rig::new().await;
    rig.write("role/ADMIN_ROLE", json!({ "token_policies": ["a"] })).await.unwrap();
    rig.write("role/admin_role", json!({ "token_ttl": 60 })).await.unwrap();
    assert_eq!(rig.list("role").await.unwrap().data["keys"], json!(["admin_role"]));
    let role = rig.read("role/Admin_Role").await.unwrap().data;
    assert_eq!((&role["token_policies"], &role["token_ttl"]), (&json!(["a"]), &json!(60)));
    let role_id = rig.role_id("ADMIN_role").await;
    let (secret_id, _) = rig.secret_id("aDMIN_ROLE", json!({})).await;
    assert_eq!(rig.login(&role_id, &secret_id).await.unwrap().metadata["role_name"], "admin_role");
}

#[tokio::test]
async fn e8_chosen_ids_are_unique_and_not_too_short() {
    let rig = Rig::new().await;
    rig.write("role/a", json!({ "role_id": "test_role_id" })).await.unwrap();
    rig.write("role/b", json!({})).await.unwrap();
    for id in ["test_role_id", " test_role_id ", "abc", "", "has space", "tab\tbed"] {
        let (kind, _) = refused(rig.write("role/b/role-id", json!({ "role_id": id })).await);
        assert_eq!(kind, Kind::Invalid, "{id:?}");
        assert_eq!(refused(rig.write("role/c", json!({ "role_id": id })).await).0, Kind::Invalid, "{id:?}");
    }
    rig.write("role/b/role-id", json!({ "role_id": "TEST_ROLE_ID" })).await.unwrap();
    rig.write("role/a/role-id", json!({ "role_id": "test_role_id" })).await.unwrap();
    let custom = json!({ "secret_id": "custom_secret", "num_uses": 3 });
    let made = rig.write("role/a/custom-secret-id", custom.clone()).await.unwrap();
    assert_eq!(made.data["secret_id"], json!("custom_secret"));
    assert_eq!(made.warnings.len(), 1, "short ones are warned about");
    assert_eq!(refused(rig.write("role/a/custom-secret-id", custom.clone()).await).0, Kind::Invalid);
    for id in ["abc", "", "x y z"] {
        let body = json!({ "secret_id": id });
        assert_eq!(refused(rig.write("role/a/custom-secret-id", body).await).0, Kind::Invalid, "{id:?}");
    }
    // The same text for another role is another secret id.
    is_wrong(rig.login("TEST_ROLE_ID", "custom_secret").await, "the other role");
    rig.write("role/b/custom-secret-id", custom).await.unwrap();
    rig.login("TEST_ROLE_ID", "custom_secret").await.unwrap();
    rig.login("test_role_id", "custom_secret").await.unwrap();
    // A role id that was given up leads nowhere, and may be taken by somebody else.
    rig.write("role/a/role-id", json!({ "role_id": "another-one" })).await.unwrap();
    is_wrong(rig.login("test_role_id", "custom_secret").await, "given up");
    rig.login("another-one", "custom_secret").await.unwrap();
    rig.write("role/b/role-id", json!({ "role_id": "test_role_id" })).await.unwrap();
}

#[tokio::test]
async fn e9_a_role_without_any_guard_is_refused() {
    let mut rig = Rig::fresh().await;
    let (kind, message) = refused(rig.write("role/app", json!({ "bind_secret_id": false })).await);
    assert_eq!(kind, Kind::Invalid);
    assert!(message.contains("at least one constraint should be enabled on the role"), "{message}");
    rig.write("role/app", json!({ "bind_secret_id": false, "secret_id_bound_cidrs": "10.0.0.0/8" }))
        .await
        .unwrap();
    for path in ["role/app/secret-id-bound-cidrs", "role/app/bound-cidr-list"] {
        assert_eq!(refused(rig.delete(path).await).0, Kind::Invalid, "{path}");
    }
    assert_eq!(refused(rig.write("role/app/secret-id", json!({})).await).0, Kind::Invalid);
    let role_id = rig.role_id("app").await;
    is_wrong(rig.login(&role_id, "").await, "from elsewhere");
    rig.peer = "10.2.3.4".parse().unwrap();
    assert_eq!(rig.login(&role_id, "").await.unwrap().metadata["role_name"], "app");
    rig.write("role/plain", json!({})).await.unwrap();
    let bind = json!({ "bind_secret_id": false });
    assert_eq!(refused(rig.write("role/plain/bind-secret-id", bind).await).0, Kind::Invalid);
}
