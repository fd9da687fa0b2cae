//! Rate limits: which requests they hold for, that they are kept, and that a refusal touches nothing.

use std::net::IpAddr;

use coffre_api::{Kind, Op, VaultPath};
use coffre_core::Admission;
use serde_json::{Value, json};

use crate::rig::Rig;

const ME: &str = "192.0.2.7";

fn admit(rig: &Rig, path: &str, peer: &str) -> Admission {
    rig.kernel.admit(&VaultPath::parse(path).unwrap(), peer.parse::<IpAddr>().unwrap())
}

/// How many of ten requests are let through.
fn admitted(rig: &Rig, path: &str) -> usize {
    (0..10).filter(|_| admit(rig, path, ME).refused.is_none()).count()
}

async fn limit(rig: &Rig, name: &str, body: Value) {
    rig.root(Op::Write, &format!("sys/quotas/rate-limit/{name}"), body).await.is(204);
}

#[tokio::test]
async fn a_limit_holds_for_its_scope_and_survives_a_restart_and_a_move() {
    let rig = Rig::furnished().await;
    assert_eq!(admitted(&rig, "kv/a"), 10, "nothing is limited at first");
    limit(&rig, "Mount", json!({"path": "kv", "rate": 2, "interval": "1h"})).await;
    limit(&rig, "folder", json!({"path": "kv/team/*", "rate": 3, "interval": 3600})).await;
    for rig in [&rig, &rig.restarted().await] {
        assert_eq!(admitted(rig, "kv/a"), 2);
        assert_eq!(admitted(rig, "kv/team/a"), 3);
        assert_eq!(admitted(rig, "kv/team"), 0, "the folder itself falls under the mount's limit");
        assert_eq!(admitted(rig, "secret/data/a"), 10);
        assert_eq!(admitted(rig, "nowhere"), 10);
        assert!(admit(rig, "kv/a", "192.0.2.8").refused.is_none(), "each client has its own");
    }
    rig.root(Op::Write, "sys/remount", json!({"from": "kv", "to": "moved"})).await.is(200);
    assert_eq!(admitted(&rig, "moved/a"), 0, "it follows the mount");
    let read = rig.root(Op::Read, "sys/quotas/rate-limit/folder", Value::Null).await;
    assert_eq!(read.text("/data/path"), "moved/team/*");
    rig.root(Op::Delete, "sys/mounts/moved", Value::Null).await.is(204);
    rig.root(Op::List, "sys/quotas/rate-limit", Value::Null).await.is(404);
    limit(&rig, "other", json!({"rate": 5})).await;
    assert_eq!(rig.count("core/quota/rate-limit/"), 1, "those of a mount that is gone are gone as well");
}

#[tokio::test]
async fn the_whole_server_can_be_limited_but_not_what_is_exempt() {
    let rig = Rig::furnished().await;
    limit(&rig, "all", json!({"rate": "0.5", "interval": 10, "block_interval": "1m"})).await;
    assert_eq!(admitted(&rig, "secret/data/a"), 1);
    assert_eq!(admitted(&rig, "nowhere"), 0, "one bucket for all");
    assert_eq!(admitted(&rig, "sys/health"), 10);
    rig.advance(59);
    assert_eq!(admitted(&rig, "kv/a"), 0, "blocked for a minute");
    rig.advance(2);
    assert_eq!(admitted(&rig, "kv/a"), 1);
    let config = json!({"rate_limit_exempt_paths": ["kv/*"], "enable_rate_limit_response_headers": true});
    rig.root(Op::Write, "sys/quotas/config", config).await.is(204);
    for rig in [&rig, &rig.restarted().await] {
        assert_eq!(admitted(rig, "kv/a"), 10);
        let headers = admit(rig, "sys/health", ME).headers.unwrap();
        assert_eq!((headers.limit, headers.remaining), (1, 0));
    }
    rig.root(Op::Delete, "sys/quotas/rate-limit/all", Value::Null).await.is(204);
    assert_eq!(admitted(&rig, "secret/data/a"), 10);
}

#[tokio::test]
async fn a_role_of_a_login_method_can_be_limited() {
    let rig = Rig::furnished().await;
    limit(&rig, "role", json!({"path": "auth/approle/", "role": "app", "rate": 2, "interval": 3600})).await;
    let login = async |role: &str| {
        rig.ask(Op::Write, "auth/approle/login", "", json!({"role_id": "x", "role": role})).await.status
    };
    assert_eq!([login("app").await, login("app").await, login("app").await], [400, 400, 429]);
    assert_eq!(login("other").await, 400);
    assert_eq!(admitted(&rig, "auth/approle/login"), 10);
}

#[tokio::test]
async fn what_cannot_be_a_limit_is_refused() {
    let rig = Rig::furnished().await;
    limit(&rig, "first", json!({"path": "kv/a", "rate": 1})).await;
    let before = rig.stored();
    for body in [
        json!({}),
        json!({"rate": 0}),
        json!({"rate": -1}),
        json!({"rate": "NaN"}),
        json!({"rate": 1e10}),
        json!({"rate": 1, "interval": 0}),
        json!({"rate": 1, "path": "/not-exist"}),
        json!({"rate": 1, "path": "kv/../x"}),
        json!({"rate": 1, "path": "kv", "role": "x"}),
        json!({"rate": 1, "path": "auth/approle/login", "role": "x"}),
        json!({"rate": 1, "role": "x"}),
        json!({"rate": 1, "type": "lease-count"}),
        json!({"rate": 1, "path": "kv/a"}),
    ] {
        rig.root(Op::Write, "sys/quotas/rate-limit/second", body.clone()).await.is(400);
    }
    assert_eq!(rig.stored(), before);
    limit(&rig, "first", json!({"path": "kv/a", "rate": 7})).await;
    let read = rig.root(Op::Read, "sys/quotas/rate-limit/first", Value::Null).await.body["data"].clone();
    let expected = json!({"name": "first", "type": "rate-limit", "path": "kv/a", "role": "", "rate": 7, "interval": 1, "block_interval": 0, "inheritable": false});
    assert_eq!(read, expected);
    let refused = (0..8).filter_map(|_| admit(&rig, "kv/a", ME).refused).next().unwrap();
    assert_eq!(refused.kind(), Kind::Busy);
}
