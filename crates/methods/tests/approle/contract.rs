//! What Vault's documentation and the clients' own tests promise.

use std::time::Duration;

use coffre_api::{Kind, Op};
use coffre_engine::{Shape, TokenKind};
use serde_json::json;

use crate::rig::{Rig, Who, refused, text};

#[tokio::test]
async fn a_role_is_written_read_listed_and_deleted() {
    let rig = Rig::new().await;
    assert_eq!(rig.list("role").await.unwrap().shape, Shape::Missing);
    assert_eq!(rig.read("role/app").await.unwrap().shape, Shape::Missing);
    let written =
        rig.write("role/app", json!({ "token_policies": "b, a,b", "token_ttl": "10m" })).await.unwrap();
    assert_eq!((written.shape, written.warnings.len()), (Shape::Empty, 0));
    let role = rig.read("role/app").await.unwrap().data;
    let expected = json!({
        "bind_secret_id": true, "local_secret_ids": false, "secret_id_bound_cidrs": null,
        "secret_id_num_uses": 0, "secret_id_ttl": 0, "token_bound_cidrs": [], "token_explicit_max_ttl": 0,
        "token_max_ttl": 0, "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0,
        "token_policies": ["a", "b"], "token_ttl": 600, "token_type": "default",
    });
    assert_eq!(role, expected);
    rig.write("role/app2", json!({})).await.unwrap();
    assert_eq!(rig.list("role").await.unwrap().data, json!({ "keys": ["app", "app2"] }));
    assert_eq!(rig.delete("role/app").await.unwrap().shape, Shape::Empty);
    assert_eq!(rig.delete("role/app").await.unwrap().shape, Shape::Empty);
    assert_eq!(rig.list("role").await.unwrap().data, json!({ "keys": ["app2"] }));
}

#[tokio::test]
async fn older_names_are_understood_and_echoed() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({ "policies": ["a"], "period": 60, "bound_cidr_list": "10.0.0.0/8" }))
        .await
        .unwrap();
    let role = rig.read("role/app").await.unwrap().data;
    assert_eq!((&role["policies"], &role["token_policies"]), (&json!(["a"]), &json!(["a"])));
    assert_eq!((&role["period"], &role["token_period"]), (&json!(60), &json!(60)));
    assert_eq!(role["secret_id_bound_cidrs"], json!(["10.0.0.0/8"]));
    rig.write("role/app", json!({ "token_policies": ["c"] })).await.unwrap();
    let role = rig.read("role/app").await.unwrap().data;
    assert_eq!((role.get("policies"), &role["token_policies"]), (None, &json!(["c"])));
    assert_eq!(role["token_period"], json!(60), "what is not named stays");
}

#[tokio::test]
async fn contradictions_are_refused_when_written() {
    let rig = Rig::new().await;
    for body in [
        json!({ "token_ttl": 20, "token_max_ttl": 10 }),
        json!({ "token_type": "batch", "token_num_uses": 1 }),
        json!({ "token_type": "batch", "token_period": 1 }),
        json!({ "token_type": "CANARY" }),
        json!({ "token_num_uses": -1 }),
        json!({ "secret_id_num_uses": "-1" }),
        json!({ "token_bound_cidrs": "10.0.0.1/8" }),
        json!({ "secret_id_bound_cidrs": ["CANARY"] }),
        json!({ "role_id": "abc" }),
    ] {
        let (kind, message) = refused(rig.write("role/app", body.clone()).await);
        assert_eq!(kind, Kind::Invalid, "{body}");
        assert!(!message.contains("CANARY"), "{message}");
    }
    assert_eq!(rig.read("role/app").await.unwrap().shape, Shape::Missing, "nothing was kept");
    rig.write("role/app", json!({ "local_secret_ids": true })).await.unwrap();
    assert_eq!(refused(rig.write("role/app", json!({ "local_secret_ids": false })).await).0, Kind::Invalid);
    let warned = rig.write("role/app", json!({ "token_max_ttl": "720h" })).await.unwrap();
    assert_eq!(warned.warnings.len(), 1, "{:?}", warned.warnings);
}

#[tokio::test]
async fn each_field_has_a_view_of_its_own() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({ "secret_id_bound_cidrs": "127.0.0.0/8" })).await.unwrap();
    let default_cidrs = json!([]);
    for (path, name, value, shown, default) in [
        ("policies", "policies", json!("x,y"), json!(["x", "y"]), json!([])),
        ("policies", "token_policies", json!(["z"]), json!(["z"]), json!([])),
        (
            "bound-cidr-list",
            "bound_cidr_list",
            json!("10.0.0.0/8"),
            json!(["10.0.0.0/8"]),
            default_cidrs.clone(),
        ),
        (
            "secret-id-bound-cidrs",
            "secret_id_bound_cidrs",
            json!(["::1"]),
            json!(["::1/128"]),
            default_cidrs.clone(),
        ),
        ("token-bound-cidrs", "token_bound_cidrs", json!("10.0.0.1"), json!(["10.0.0.1/32"]), default_cidrs),
        ("bind-secret-id", "bind_secret_id", json!(true), json!(true), json!(true)),
        ("secret-id-num-uses", "secret_id_num_uses", json!("5"), json!(5), json!(0)),
        ("secret-id-ttl", "secret_id_ttl", json!("1h"), json!(3600), json!(0)),
        ("period", "token_period", json!(60), json!(60), json!(0)),
        ("period", "period", json!(61), json!(61), json!(0)),
        ("token-num-uses", "token_num_uses", json!(7), json!(7), json!(0)),
        ("token-ttl", "token_ttl", json!("5m"), json!(300), json!(0)),
        ("token-max-ttl", "token_max_ttl", json!("10m"), json!(600), json!(0)),
    ] {
        let path = format!("role/app/{path}");
        assert_eq!(rig.write(&path, json!({ name: value })).await.unwrap().shape, Shape::Empty, "{path}");
        assert_eq!(rig.read(&path).await.unwrap().data[name], shown, "{path}");
        assert_eq!(rig.delete(&path).await.unwrap().shape, Shape::Empty, "{path}");
        assert_eq!(rig.read(&path).await.unwrap().data[name], default, "{path}");
    }
    assert_eq!(
        rig.read("role/app/local-secret-ids").await.unwrap().data,
        json!({ "local_secret_ids": false })
    );
    assert_eq!(refused(rig.write("role/app/local-secret-ids", json!({})).await).0, Kind::Unsupported);
    assert_eq!(rig.read("role/none/period").await.unwrap().shape, Shape::Missing);
    assert_eq!(refused(rig.write("role/none/period", json!({ "period": 1 })).await).0, Kind::Missing);
    assert_eq!(refused(rig.write("role/app/period", json!({})).await).0, Kind::Invalid);
}

#[tokio::test]
async fn a_role_is_checked_as_a_whole_also_through_its_fields() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({ "token_max_ttl": 60 })).await.unwrap();
    assert_eq!(refused(rig.write("role/app/token-ttl", json!({ "token_ttl": 61 })).await).0, Kind::Invalid);
    assert_eq!(refused(rig.write("role/app/policies", json!({ "policies": "Root" })).await).0, Kind::Invalid);
}

#[tokio::test]
async fn a_login_gives_what_the_role_says() {
    let rig = Rig::new().await;
    let role = json!({
        "token_policies": ["app-read"], "token_ttl": 60, "token_max_ttl": 120, "token_explicit_max_ttl": 240,
        "token_num_uses": 3, "token_no_default_policy": true, "token_bound_cidrs": "127.0.0.0/8",
    });
    rig.write("role/app", role).await.unwrap();
    let role_id = rig.role_id("app").await;
    let (secret_id, _) =
        rig.secret_id("app", json!({ "metadata": "{\"foo\":\"bar\",\"role_name\":\"x\"}" })).await;
    let grant = rig.login(&format!(" {role_id}\n"), &format!("{secret_id}\n")).await.unwrap();
    assert_eq!(grant.policies, ["app-read"]);
    assert!(grant.no_default_policy);
    assert_eq!(grant.alias, role_id);
    assert_eq!(grant.metadata["foo"], "bar");
    assert_eq!(grant.metadata["role_name"], "app", "a secret id cannot claim another role");
    assert_eq!((grant.ttl, grant.max_ttl), (Duration::from_secs(60), Duration::from_secs(120)));
    assert_eq!((grant.explicit_max_ttl, grant.period), (Duration::from_secs(240), Duration::ZERO));
    assert_eq!((grant.num_uses, grant.kind), (3, TokenKind::Default));
    assert_eq!(grant.bound_cidrs, ["127.0.0.0/8"]);
    rig.write("role/app", json!({ "token_type": "batch", "token_num_uses": 0 })).await.unwrap();
    assert_eq!(rig.login(&role_id, &secret_id).await.unwrap().kind, TokenKind::Batch);
}

#[tokio::test]
async fn secret_ids_are_made_looked_up_listed_and_destroyed() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({ "secret_id_num_uses": 9, "secret_id_ttl": "1h" })).await.unwrap();
    assert_eq!(rig.list("role/app/secret-id").await.unwrap().shape, Shape::Missing);
    let body = json!({ "metadata": { "a": "b" }, "cidr_list": "127.0.0.1/32", "num_uses": 2, "ttl": 60 });
    let made = rig.write("role/app/secret-id", body).await.unwrap();
    let accessor = text(&made.data["secret_id_accessor"]);
    let secret_id = text(&made.data["secret_id"]);
    assert_eq!(made.wrapped_accessor.as_deref(), Some(accessor.as_str()));
    assert_eq!((&made.data["secret_id_ttl"], &made.data["secret_id_num_uses"]), (&json!(60), &json!(2)));
    assert_eq!(rig.list("role/app/secret-id").await.unwrap().data, json!({ "keys": [accessor] }));
    let by_id = rig.write("role/app/secret-id/lookup", json!({ "secret_id": secret_id })).await.unwrap().data;
    let by_accessor = json!({ "secret_id_accessor": accessor });
    let by_accessor = rig.write("role/app/secret-id-accessor/lookup", by_accessor).await.unwrap().data;
    assert_eq!(by_id, by_accessor);
    let expected = json!({
        "secret_id_accessor": accessor, "secret_id_num_uses": 2, "secret_id_ttl": 60, "metadata": { "a": "b" },
        "creation_time": "2027-01-15T08:00:00Z", "expiration_time": "2027-01-15T08:01:00Z",
        "last_updated_time": "2027-01-15T08:00:00Z", "cidr_list": ["127.0.0.1/32"], "token_bound_cidrs": [],
    });
    assert_eq!(by_id, expected);
    assert!(!by_id.to_string().contains(&secret_id));
    let destroyed = rig.write("role/app/secret-id/destroy", json!({ "secret_id": secret_id })).await.unwrap();
    assert_eq!(destroyed.shape, Shape::Empty);
    let gone = rig.write("role/app/secret-id/lookup", json!({ "secret_id": secret_id })).await.unwrap();
    assert_eq!(gone.shape, Shape::Empty, "an unknown secret id is 204");
    let gone =
        rig.write("role/app/secret-id-accessor/lookup", json!({ "secret_id_accessor": accessor })).await;
    let (kind, message) = refused(gone);
    assert_eq!(kind, Kind::Missing);
    assert!(message.contains("secret_id_accessor"), "{message}");
    rig.assert_no_dangling().await;
}

#[tokio::test]
async fn destroying_also_works_by_accessor_and_by_delete() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({})).await.unwrap();
    let role_id = rig.role_id("app").await;
    for (op, path, by_accessor) in [
        (Op::Write, "role/app/secret-id-accessor/destroy", true),
        (Op::Delete, "role/app/secret-id-accessor/destroy", true),
        (Op::Delete, "role/app/secret-id/destroy", false),
    ] {
        let (secret_id, accessor) = rig.secret_id("app", json!({})).await;
        let body = if by_accessor {
            json!({ "secret_id_accessor": accessor })
        } else {
            json!({ "secret_id": secret_id })
        };
        rig.login(&role_id, &secret_id).await.unwrap();
        assert_eq!(
            rig.ask(Who::Root, op, path, body.clone()).await.unwrap().shape,
            Shape::Empty,
            "{op:?} {path}"
        );
        assert_eq!(refused(rig.login(&role_id, &secret_id).await).0, Kind::Invalid, "{op:?} {path}");
        if by_accessor {
            assert_eq!(refused(rig.ask(Who::Root, op, path, body).await).0, Kind::Missing);
        }
    }
    assert_eq!(rig.list("role/app/secret-id").await.unwrap().shape, Shape::Missing);
}

#[tokio::test]
async fn a_secret_id_stays_within_its_role() {
    let rig = Rig::new().await;
    let bounds = json!({ "secret_id_num_uses": 5, "secret_id_ttl": 600 });
    rig.write("role/app", bounds).await.unwrap();
    for body in
        [json!({ "num_uses": 6 }), json!({ "num_uses": 0 }), json!({ "ttl": 601 }), json!({ "ttl": 0 })]
    {
        assert_eq!(refused(rig.write("role/app/secret-id", body.clone()).await).0, Kind::Invalid, "{body}");
    }
    let made = rig.write("role/app/secret-id", json!({})).await.unwrap().data;
    assert_eq!((&made["secret_id_num_uses"], &made["secret_id_ttl"]), (&json!(5), &json!(600)));
    rig.write("role/long", json!({ "secret_id_ttl": "48h" })).await.unwrap();
    let capped = rig.write("role/long/secret-id", json!({})).await.unwrap();
    assert_eq!(capped.data["secret_id_ttl"], json!(86_400), "the mount's longest");
    assert_eq!(capped.warnings.len(), 1);
    let (kind, message) = refused(rig.write("role/none/secret-id", json!({})).await);
    assert_eq!(kind, Kind::Missing);
    assert!(message.contains("does not exist"), "{message}");
}

#[tokio::test]
async fn an_expired_secret_id_is_expired_for_ever() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({})).await.unwrap();
    let role_id = rig.role_id("app").await;
    let (secret_id, accessor) = rig.secret_id("app", json!({ "ttl": 60 })).await;
    rig.clock.advance(Duration::from_secs(59));
    rig.login(&role_id, &secret_id).await.unwrap();
    rig.clock.advance(Duration::from_secs(1));
    let (kind, message) = refused(rig.login(&role_id, &secret_id).await);
    assert_eq!((kind, message.as_str()), (Kind::Invalid, "invalid role or secret ID"));
    rig.clock.jump_to(crate::rig::START);
    assert_eq!(refused(rig.login(&role_id, &secret_id).await).0, Kind::Invalid);
    let lookup =
        rig.write("role/app/secret-id-accessor/lookup", json!({ "secret_id_accessor": accessor })).await;
    assert_eq!(refused(lookup).0, Kind::Missing);
    rig.assert_no_dangling().await;
}

#[tokio::test]
async fn a_login_without_a_role_id_is_told_so() {
    let rig = Rig::new().await;
    for body in [json!({}), json!({ "role_id": "" }), json!({ "role_id": null, "secret_id": "x" })] {
        let (kind, message) = refused(rig.ask(Who::Nobody, Op::Write, "login", body).await.map(|_| ()));
        assert_eq!((kind, message.as_str()), (Kind::Invalid, "missing role_id"));
    }
    for body in
        [json!({ "role_id": 0 }), json!({ "role_id": ["x"] }), json!({ "role_id": "x", "secret_id": {} })]
    {
        assert_eq!(
            refused(rig.ask(Who::Nobody, Op::Write, "login", body).await.map(|_| ())).0,
            Kind::Invalid
        );
    }
}

#[tokio::test]
async fn tidying_removes_what_is_expired_and_nothing_else() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({})).await.unwrap();
    let (kept, _) = rig.secret_id("app", json!({})).await;
    for _ in 0..3 {
        rig.secret_id("app", json!({ "ttl": 10 })).await;
    }
    rig.clock.advance(Duration::from_secs(10));
    let answer = rig.write("tidy/secret-id", json!({})).await.unwrap();
    assert_eq!((answer.shape, answer.warnings.len()), (Shape::Accepted, 1));
    assert_eq!(rig.list("role/app/secret-id").await.unwrap().data["keys"].as_array().unwrap().len(), 1);
    rig.assert_no_dangling().await;
    rig.login(&rig.role_id("app").await, &kept).await.unwrap();
}

#[tokio::test]
async fn creating_and_changing_a_role_are_two_capabilities() {
    let rig = Rig::new().await;
    let creator = r#"path "auth/approle/role/*" { capabilities = ["create"] }"#;
    let updater = r#"path "auth/approle/role/*" { capabilities = ["update"] }"#;
    let write = async |policy| rig.ask(Who::Holder(policy), Op::Write, "role/app", json!({})).await;
    assert_eq!(refused(write(updater).await).0, Kind::Denied);
    write(creator).await.unwrap();
    assert_eq!(refused(write(creator).await).0, Kind::Denied);
    write(updater).await.unwrap();
}
