//! Who stands behind a token: one entity for each name, whole or not at all whatever the storage does, and found again
//! by clusters that were made before there was identity.

use coffre_api::Op;
use coffre_storage::faults::Fault;
use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

/// A login method with one role, and what logs in there.
async fn door(rig: &Rig, role: &str) -> Value {
    rig.root(Op::Write, &format!("auth/approle/role/{role}"), json!({"token_policies": "default"}))
        .await
        .is(204);
    let id = rig.root(Op::Read, &format!("auth/approle/role/{role}/role-id"), Value::Null).await;
    let secret = rig.root(Op::Write, &format!("auth/approle/role/{role}/secret-id"), json!({})).await;
    json!({"role_id": id.text("/data/role_id"), "secret_id": secret.text("/data/secret_id")})
}

async fn login(rig: &Rig, credentials: &Value) -> Answer {
    rig.ask(Op::Write, "auth/approle/login", "", credentials.clone()).await
}

#[tokio::test]
async fn a_first_login_is_all_or_nothing() {
    for fault in [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown] {
        for nth in 1..16 {
            let rig = Rig::furnished().await;
            let credentials = door(&rig, "app").await;
            let tokens = rig.count("core/token/");
            rig.store.fail_nth(nth, fault);
            let first = login(&rig, &credentials).await;
            let rig = rig.restarted().await;
            let (made, entities) = (rig.count("core/token/") - tokens, rig.count("core/identity/entity/"));
            assert_eq!((entities, rig.count("core/identity/alias/")), (made, made), "{fault:?} at {nth}");
            let again = login(&rig, &credentials).await.is(200);
            assert_eq!(rig.count("core/identity/entity/"), 1, "{fault:?} at {nth}");
            if first.status == 200 {
                assert_eq!(
                    first.text("/auth/entity_id"),
                    again.text("/auth/entity_id"),
                    "{fault:?} at {nth}"
                );
            }
        }
    }
}

#[tokio::test]
async fn first_logins_at_the_same_time_make_one_entity() {
    let rig = Rig::furnished().await;
    let credentials = door(&rig, "app").await;
    let all = futures_util::future::join_all((0..50).map(|_| login(&rig, &credentials))).await;
    let first = all[0].text("/auth/entity_id");
    assert!(!first.is_empty());
    assert!(all.iter().all(|answer| answer.status == 200 && answer.text("/auth/entity_id") == first));
    assert_eq!((rig.count("core/identity/entity/"), rig.count("core/identity/alias/")), (1, 1));
}

#[tokio::test]
async fn a_merge_is_all_or_nothing() {
    for fault in [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown] {
        for nth in 1..20 {
            let rig = Rig::furnished().await;
            let credentials = door(&rig, "app").await;
            let from = login(&rig, &credentials).await.is(200);
            let old = from.text("/auth/entity_id");
            let to = rig
                .root(Op::Write, "identity/entity", json!({"name": "stays"}))
                .await
                .is(200)
                .text("/data/id");
            rig.root(Op::Write, "identity/group", json!({"name": "g", "member_entity_ids": [old]}))
                .await
                .is(200);
            rig.store.fail_nth(nth, fault);
            let merge = json!({"from_entity_ids": [old], "to_entity_id": to});
            let answer = rig.root(Op::Write, "identity/entity/merge", merge).await;
            let rig = rig.restarted().await;
            let again = login(&rig, &credentials).await.is(200).text("/auth/entity_id");
            assert!(again == old || again == to, "{fault:?} at {nth}");
            assert!(answer.status != 204 || again == to, "acknowledged is durable; {fault:?} at {nth}");
            let looked =
                rig.ask(Op::Read, "auth/token/lookup-self", &from.token(), Value::Null).await.is(200);
            assert_eq!(looked.text("/data/entity_id"), again, "{fault:?} at {nth}");
            let entity =
                rig.root(Op::Read, &format!("identity/entity/id/{again}"), Value::Null).await.is(200);
            assert_eq!(
                entity.body["data"]["direct_group_ids"].as_array().unwrap().len(),
                1,
                "{fault:?} at {nth}"
            );
            assert_eq!(rig.count("core/identity/alias/"), 1, "{fault:?} at {nth}");
        }
    }
}

#[tokio::test]
async fn deleting_leaves_nothing_behind() {
    let rig = Rig::furnished().await;
    let credentials = door(&rig, "app").await;
    let before = rig.count("core/identity/");
    let id = login(&rig, &credentials).await.is(200).text("/auth/entity_id");
    let group = json!({"name": "g", "member_entity_ids": [id]});
    let inner = rig.root(Op::Write, "identity/group", group).await.is(200).text("/data/id");
    let outer = json!({"name": "o", "member_group_ids": [inner]});
    let outer = rig.root(Op::Write, "identity/group", outer).await.is(200).text("/data/id");
    let mounts = rig.root(Op::Read, "sys/auth", Value::Null).await;
    let alias = json!({"name": "devs", "mount_accessor": mounts.text("/data/approle~1/accessor")});
    let external =
        rig.root(Op::Write, "identity/group-alias", alias).await.is(200).text("/data/canonical_id");
    rig.root(Op::Delete, &format!("identity/entity/id/{id}"), Value::Null).await.is(204);
    for group in [inner, outer, external] {
        rig.root(Op::Delete, &format!("identity/group/id/{group}"), Value::Null).await.is(204);
    }
    assert_eq!(rig.count("core/identity/"), before);
}

#[tokio::test]
async fn an_older_cluster_gets_identity_at_its_next_unseal() {
    let rig = Rig::furnished().await;
    let token = rig.token(json!({"policies": ["default"]})).await;
    // As a cluster was before: without the mount's record.
    let view = rig.kernel.barrier().open().unwrap().view("");
    let uuids = view.scan("core/mount/", None, 100).await.unwrap().names;
    for path in uuids {
        let entry: Value = serde_json::from_slice(view.get(&path).await.unwrap().unwrap().expose()).unwrap();
        if entry["path"] == "identity/" {
            view.delete(&path).await.unwrap();
        }
    }
    let accessor = |rig: Rig| async move {
        let mounts = rig.root(Op::Read, "sys/mounts", Value::Null).await.is(200);
        mounts.text("/data/identity~1/accessor")
    };
    let rig = rig.restarted().await;
    assert!(rig.lives(&token).await);
    rig.root(Op::Write, "identity/entity", json!({"name": "new"})).await.is(200);
    let (again, mounts) = (rig.restarted().await, rig.count("core/mount/"));
    let first = accessor(rig).await;
    assert!(first.starts_with("identity_"), "{first:?}");
    assert_eq!(accessor(again.restarted().await).await, first, "made once");
    assert_eq!(again.count("core/mount/"), mounts);
    again.root(Op::Read, "identity/entity/name/new", Value::Null).await.is(200);
}
