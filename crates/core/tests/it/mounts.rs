//! Mounts: what may be where, and what a refused request leaves behind.

use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::Rig;

/// One bad option must not keep the next unseal from reading the table.
#[tokio::test]
async fn a_refused_mount_leaves_nothing_that_keeps_the_server_shut() {
    let rig = Rig::new().await;
    let before = rig.stored().len();
    for options in [json!({"version": "3"}), json!({"version": "01"}), json!({"version": "-1"})] {
        rig.root(Op::Write, "sys/mounts/odd", json!({"type": "kv", "options": options})).await.is(400);
    }
    assert_eq!(rig.stored().len(), before);
    rig.root(Op::Write, "sys/mounts/odd", json!({"type": "kv-v2", "options": {"version": "1"}})).await;
    rig.root(Op::Write, "sys/mounts/odd", json!({"type": "nonsense"})).await.is(400);
    rig.root(Op::Delete, "sys/mounts/odd", Value::Null).await.is(204);
    assert_eq!(rig.stored().len(), before);
    rig.restarted().await.root(Op::Read, "sys/mounts", Value::Null).await.is(200);
}

#[tokio::test]
async fn secrets_engines_keep_out_of_the_places_of_the_kernel() {
    let rig = Rig::new().await;
    rig.policy("mounter", r#"path "sys/mounts/*" { capabilities = ["create", "update"] }"#).await;
    let mounter = rig.token(json!({"policies": ["mounter"]})).await;
    let reserved = [
        "sys",
        "sys/x",
        "cubbyhole",
        "cubbyhole/x",
        "identity",
        "identity/x",
        "auth",
        "auth/x",
        "auth/token",
        "auth/token/x",
        "audit",
        "audit/x",
    ];
    for path in reserved {
        let answer = rig.ask(Op::Write, &format!("sys/mounts/{path}"), &mounter, json!({"type": "kv"})).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    rig.ask(Op::Write, "sys/mounts/team/kv", &mounter, json!({"type": "kv"})).await.is(204);
    for path in ["team", "team/kv", "team/kv/x"] {
        rig.ask(Op::Write, &format!("sys/mounts/{path}"), &mounter, json!({"type": "kv"})).await.is(400);
    }
    for path in ["sys/mounts/sys", "sys/mounts/cubbyhole", "sys/auth/token"] {
        rig.root(Op::Delete, path, Value::Null).await.is(400);
    }
}

#[tokio::test]
async fn c3_a_slash_at_the_end_does_not_reach_the_thing_without_it() {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "secret/data/foo", json!({"data": {"k": "v"}})).await.is(200);
    rig.root(Op::Write, "kv/foo", json!({"k": "v"})).await.is(204);
    rig.root(Op::Write, "cubbyhole/foo", json!({"k": "v"})).await.is(204);
    for path in ["secret/data/foo", "kv/foo", "cubbyhole/foo"] {
        let slashed = format!("{path}/");
        rig.root(Op::Write, &slashed, json!({"data": {"k": "new"}})).await.is(400);
        let read = rig.root(Op::Read, &slashed, Value::Null).await;
        assert_eq!(read.status, 404, "{read:?}");
        rig.root(Op::Delete, &slashed, Value::Null).await.is(404);
        rig.root(Op::Read, path, Value::Null).await.is(200);
    }
    // Clients write the paths of mounts with their slash.
    rig.root(Op::Read, "sys/internal/ui/mounts/secret/", Value::Null).await.is(200);
    rig.root(Op::List, "secret/metadata/", Value::Null).await.is(200);
    rig.root(Op::Delete, "sys/mounts/kv/", Value::Null).await.is(204);
}

#[tokio::test]
async fn a_mount_that_is_made_again_is_empty() {
    let rig = Rig::furnished().await;
    let before = rig.stored().len();
    rig.mount("again", json!({"type": "kv"})).await;
    rig.root(Op::Write, "again/a", json!({"k": "v"})).await.is(204);
    rig.root(Op::Delete, "sys/mounts/again", Value::Null).await.is(204);
    assert_eq!(rig.stored().len(), before);
    rig.root(Op::Read, "again/a", Value::Null).await.is(404);
    rig.mount("again", json!({"type": "kv"})).await;
    rig.root(Op::Read, "again/a", Value::Null).await.is(404);
}
