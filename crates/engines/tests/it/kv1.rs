//! KV version 1: whole secrets at paths, byte for byte, with the lifetime that the mount or the secret tells.

use coffre_api::Op;
use coffre_engines::kv::v1::KvV1;
use coffre_policy::Existence;
use serde_json::json;

use crate::rig::{in_memory, mount};

#[tokio::test]
async fn what_is_written_is_read_byte_for_byte() {
    let rig = in_memory(KvV1).await;
    // The names `path` and `secret` are the caller's own, too; numbers keep their spelling.
    let body = r#"{"path":"x","secret":1.50,"n":12345678901234567890123,"é":null,"deep":{"a":[1.0]}}"#;
    assert_eq!(rig.ask(Op::Write, "app/db", body).await.status, 204);
    let read = rig.get("app/db").await;
    assert_eq!((read.status, read.text.as_str(), read.lease_duration), (200, body, 2_764_800));
    assert_eq!(rig.put("app/db", json!({ "only": 1 })).await.status, 204);
    assert_eq!(rig.get("app/db").await.data, json!({ "only": 1 }));
}

#[tokio::test]
async fn the_secrets_own_ttl_counts() {
    let rig = in_memory(KvV1).await;
    rig.put("a", json!({ "ttl": "1h", "lease": "2h" })).await;
    rig.put("b", json!({ "lease": 90 })).await;
    rig.put("c", json!({ "ttl": "whenever" })).await;
    assert_eq!(rig.get("a").await.lease_duration, 3600);
    assert_eq!(rig.get("a").await.data, json!({ "ttl": "1h", "lease": "2h" }));
    assert_eq!(rig.get("b").await.lease_duration, 90);
    assert_eq!(rig.get("c").await.lease_duration, 2_764_800);
}

#[tokio::test]
async fn nothing_is_refused_missing_is_404_and_deleting_it_is_fine() {
    let rig = in_memory(KvV1).await;
    for body in ["", "{}", " { } "] {
        let refused = rig.ask(Op::Write, "a", body).await;
        assert_eq!((refused.status, refused.error.as_str()), (400, "missing data fields"), "{body:?}");
    }
    assert_eq!(rig.get("a").await.status, 404);
    assert_eq!(rig.get("").await.status, 404);
    assert_eq!(rig.delete("a").await.status, 204);
    rig.put("a", json!({ "k": "v" })).await;
    assert_eq!(rig.delete("a").await.status, 204);
    assert_eq!(rig.get("a").await.status, 404);
    assert_eq!(rig.put("", json!({ "k": "v" })).await.status, 400);
    assert_eq!(rig.patch("a", json!({ "k": "v" })).await.status, 405);
}

#[tokio::test]
async fn lists_are_sorted_and_folders_end_with_a_slash() {
    let rig = in_memory(KvV1).await;
    assert_eq!(rig.list("").await.status, 404);
    for path in ["b", "a/x", "a/y/z", "a", "ab", "a-b", "c/d"] {
        rig.put(path, json!({ "k": path })).await;
    }
    assert_eq!(rig.list("").await.data, json!({ "keys": ["a", "a-b", "a/", "ab", "b", "c/"] }));
    assert_eq!(rig.list("a").await.data, json!({ "keys": ["x", "y/"] }));
    assert_eq!(rig.list("b").await.status, 404);
    assert_eq!(rig.list("nothing").await.status, 404);
}

#[tokio::test]
async fn a_write_tells_create_from_update() {
    let rig = in_memory(KvV1).await;
    let body = json!({ "k": "v" });
    assert_eq!(rig.existence("a", &body).await, Existence::Missing);
    rig.put("a", body.clone()).await;
    assert_eq!(rig.existence("a", &body).await, Existence::Exists);
    assert_eq!(rig.existence("a/b", &body).await, Existence::Missing);
}

#[tokio::test]
async fn nothing_rests_in_clear() {
    let store = std::sync::Arc::new(coffre_storage::Memory::new());
    let rig = mount(KvV1, store.clone()).await;
    rig.put("a", json!({ "k": "CANARY" })).await;
    let rests = store.dump();
    assert!(rests.iter().any(|(key, _)| key.ends_with("mount/s/a")), "the documented key is used");
    assert!(rests.iter().all(|(_, value)| !value.windows(6).any(|bytes| bytes == b"CANARY")));
}
