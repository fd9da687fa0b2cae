//! A mount that moves keeps its data, its accessor and its settings; what was got through it ends; a crash leaves it
//! whole at one of the two paths.

use coffre_api::Op;
use coffre_storage::faults::Fault;
use serde_json::{Value, json};

use crate::rig::Rig;

async fn with_a_login() -> (Rig, String) {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "secret/data/a", json!({"data": {"k": "v"}})).await.is(200);
    rig.root(Op::Write, "auth/approle/role/app", json!({"bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.0/8", "token_bound_cidrs": "127.0.0.0/8"})).await.is(204);
    let role = rig.root(Op::Read, "auth/approle/role/app/role-id", Value::Null).await.text("/data/role_id");
    (rig, role)
}

async fn logged_in(rig: &Rig, mount: &str, role: &str) -> String {
    rig.ask(Op::Write, &format!("auth/{mount}/login"), "", json!({"role_id": role})).await.token()
}

async fn moved(rig: &Rig, from: &str, to: &str) -> String {
    let answer = rig.root(Op::Write, "sys/remount", json!({"from": from, "to": to})).await.is(200);
    assert_eq!(answer.text("/migration_id"), answer.text("/data/migration_id"));
    assert_eq!(answer.body["warnings"].as_array().map(Vec::len), Some(1), "{answer:?}");
    answer.text("/data/migration_id")
}

#[tokio::test]
async fn a_moved_mount_is_the_same_mount() {
    let (rig, _) = with_a_login().await;
    let before = rig.root(Op::Read, "sys/mounts/secret", Value::Null).await.body["data"].clone();
    let id = moved(&rig, "secret", "/team/secret/").await;
    assert_eq!(rig.root(Op::Read, "sys/mounts/team/secret", Value::Null).await.body["data"], before);
    let status = rig.root(Op::Read, &format!("sys/remount/status/{id}"), Value::Null).await.is(200);
    let info = json!({"source_mount": "secret/", "target_mount": "team/secret/", "status": "success"});
    assert_eq!(status.body["data"], json!({"migration_id": id, "migration_info": info}));
    rig.root(Op::Read, "secret/data/a", Value::Null).await.is(404);
    for rig in [&rig, &rig.restarted().await] {
        let read = rig.root(Op::Read, "team/secret/data/a", Value::Null).await;
        assert_eq!(read.text("/data/data/k"), "v");
    }
    rig.root(Op::Write, "sys/mounts/secret", json!({"type": "kv"})).await.is(204);
}

#[tokio::test]
async fn logins_through_the_old_path_end() {
    let (rig, role) = with_a_login().await;
    let token = logged_in(&rig, "approle", &role).await;
    let other = rig.token(json!({})).await;
    moved(&rig, "auth/approle", "auth/apps").await;
    assert!(!rig.lives(&token).await && rig.lives(&other).await);
    rig.ask(Op::Write, "auth/approle/login", "", json!({"role_id": role})).await.is(403);
    let token = logged_in(&rig, "apps", &role).await;
    assert!(rig.lives(&token).await);
}

#[tokio::test]
async fn what_cannot_move_stays() {
    let (rig, _) = with_a_login().await;
    rig.policy("mover", r#"path "sys/remount" { capabilities = ["update"] }"#).await;
    let mover = rig.token(json!({"policies": ["mover"]})).await;
    let before = rig.stored();
    for (from, to) in [
        ("secret", "kv"),
        ("secret", "secret"),
        ("secret", "secret/deeper"),
        ("secret", "kv/deeper"),
        ("secret", "sys/x"),
        ("secret", "identity"),
        ("secret", "auth/secret"),
        ("secret", "a/../b"),
        ("secret", "odd*"),
        ("secret", ""),
        ("", "x"),
        ("missing", "x"),
        ("secret/data", "x"),
        ("sys", "x"),
        ("cubbyhole", "x"),
        ("auth/token", "auth/x"),
        ("auth/approle", "approle"),
        ("auth/approle", "auth/token"),
        ("approle", "auth/x"),
    ] {
        let answer = rig.root(Op::Write, "sys/remount", json!({"from": from, "to": to})).await;
        assert_eq!(answer.status, 400, "{from} -> {to}: {answer:?}");
    }
    // Moving needs sudo.
    rig.ask(Op::Write, "sys/remount", &mover, json!({"from": "secret", "to": "x"})).await.is(403);
    assert_eq!(rig.stored(), before);
    rig.root(Op::Read, "sys/remount/status/unknown", Value::Null).await.is(404);
}

/// Each write of a move fails once, in each way; then the process dies.
#[tokio::test]
async fn a_move_that_fails_leaves_the_mount_whole() {
    for fault in [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown] {
        for nth in 1..=12 {
            let (rig, role) = with_a_login().await;
            let token = logged_in(&rig, "approle", &role).await;
            rig.store.fail_nth(nth, fault);
            let status =
                rig.root(Op::Write, "sys/remount", json!({"from": "auth/approle", "to": "auth/apps"})).await;
            rig.mend();
            for rig in [&rig, &rig.restarted().await] {
                let mut served = Vec::new();
                for path in ["approle", "apps"] {
                    let answer =
                        rig.ask(Op::Write, &format!("auth/{path}/login"), "", json!({"role_id": role})).await;
                    if answer.status == 200 {
                        served.push(path);
                    }
                }
                assert_eq!(served.len(), 1, "{fault:?} {nth}: {status:?}");
                if status.status == 200 {
                    assert_eq!(served, ["apps"], "{fault:?} {nth}");
                    assert!(!rig.lives(&token).await, "{fault:?} {nth}");
                }
            }
        }
    }
}
