//! A mount that changes from version 1 to version 2: its secrets are there at once, and move when first touched.

use coffre_api::Op;
use coffre_engines::kv::v1::KvV1;
use coffre_engines::kv::v2::KvV2;
use coffre_policy::Existence;
use serde_json::json;

use crate::rig::{Rig, in_memory};

async fn upgraded() -> Rig {
    let rig = in_memory(KvV1).await;
    for path in ["a", "b/c", "b/d"] {
        rig.ask(Op::Write, path, &format!(r#"{{"path":"{path}","n":1.50}}"#)).await;
    }
    rig.turned_into(KvV2)
}

#[tokio::test]
async fn readers_find_version_1_secrets_as_their_first_version() {
    let rig = upgraded().await;
    let read = rig.get("data/b/c").await;
    assert!(read.text.starts_with(r#"{"data":{"path":"b/c","n":1.50},"#), "{}", read.text);
    assert_eq!(read.data["metadata"]["version"], json!(1));
    assert_eq!(rig.get("data/b/c").await, read);
    assert_eq!(rig.get("metadata/a").await.data["current_version"], json!(1));
    assert_eq!(rig.get("data/a?version=1").await.status, 200);
    assert_eq!(rig.view.scan("", None, 10).await.unwrap().names, ["k/a", "k/b/c", "s/b/d"]);
}

#[tokio::test]
async fn lists_and_existence_checks_see_both() {
    let rig = upgraded().await;
    rig.put("data/b/e", json!({ "data": {} })).await;
    rig.get("data/b/c").await;
    assert_eq!(rig.list("metadata").await.data, json!({ "keys": ["a", "b/"] }));
    assert_eq!(rig.list("metadata/b").await.data, json!({ "keys": ["c", "d", "e"] }));
    assert_eq!(rig.existence("data/b/d", &json!({})).await, Existence::Exists);
}

#[tokio::test]
async fn every_change_starts_from_the_old_secret() {
    let rig = upgraded().await;
    let stale = json!({ "data": {}, "options": { "cas": 0 } });
    assert_eq!(rig.put("data/a", stale).await.status, 400);
    assert_eq!(
        rig.put("data/a", json!({ "data": {}, "options": { "cas": 1 } })).await.data["version"],
        json!(2)
    );
    assert_eq!(rig.patch("data/b/c", json!({ "data": { "m": 2 } })).await.data["version"], json!(2));
    assert_eq!(rig.get("data/b/c").await.data["data"], json!({ "path": "b/c", "n": 1.50, "m": 2 }));
    assert_eq!(rig.delete("metadata/b/d").await.status, 204);
    assert_eq!(rig.list("metadata/b").await.data, json!({ "keys": ["c"] }));
    assert_eq!(rig.view.scan("s/", None, 10).await.unwrap().names.len(), 0);
}
