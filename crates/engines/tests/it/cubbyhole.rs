//! The cubbyhole: each token its own space, none for batch tokens, nothing left when a token dies.

use coffre_api::Op;
use coffre_engines::cubbyhole::{Cubbyhole, destroy};
use serde_json::json;

use crate::rig::{Rig, in_memory};

async fn put(rig: &Rig, space: Option<&str>, path: &str) -> u16 {
    rig.ask_from(space, Op::Write, path, r#"{"mine":1.0}"#).await.status
}

async fn get(rig: &Rig, space: Option<&str>, path: &str) -> u16 {
    rig.ask_from(space, Op::Read, path, "").await.status
}

#[tokio::test]
async fn spaces_do_not_see_each_other() {
    let rig = in_memory(Cubbyhole).await;
    assert_eq!(put(&rig, Some("one"), "a/b").await, 204);
    let read = rig.ask_from(Some("one"), Op::Read, "a/b", "").await;
    assert_eq!((read.status, read.text.as_str(), read.lease_duration), (200, r#"{"mine":1.0}"#, 0));
    for other in ["two", "on", "one2", "o"] {
        assert_eq!(get(&rig, Some(other), "a/b").await, 404);
        assert_eq!(rig.ask_from(Some(other), Op::List, "", "").await.status, 404);
        assert_eq!(rig.ask_from(Some(other), Op::Delete, "a/b", "").await.status, 204);
    }
    assert_eq!(get(&rig, Some("one"), "a/b").await, 200);
    let listed = rig.ask_from(Some("one"), Op::List, "", "").await;
    assert_eq!(listed.data, json!({ "keys": ["a/"] }));
}

#[tokio::test]
async fn whoever_has_no_space_is_refused() {
    let rig = in_memory(Cubbyhole).await;
    for space in [None, Some("")] {
        for op in [Op::Read, Op::List, Op::Write, Op::Delete] {
            assert_eq!(rig.ask_from(space, op, "a", r#"{"k":"v"}"#).await.status, 403, "{op:?}");
        }
    }
    assert_eq!(rig.view.scan("", None, 10).await.unwrap().names.len(), 0);
}

#[tokio::test]
async fn a_dead_tokens_space_is_empty_and_no_other() {
    let rig = in_memory(Cubbyhole).await;
    for space in ["one", "one2", "two"] {
        put(&rig, Some(space), "a").await;
        put(&rig, Some(space), "a/b").await;
    }
    destroy(&rig.view, "one").await.unwrap();
    assert_eq!(rig.view.scan("", None, 10).await.unwrap().names, ["one2/a", "one2/a/b", "two/a", "two/a/b"]);
    assert!(destroy(&rig.view, "").await.is_err());
    assert_eq!(get(&rig, Some("two"), "a").await, 200);
}

#[tokio::test]
async fn it_behaves_as_kv_version_1() {
    let rig = in_memory(Cubbyhole).await;
    assert_eq!(rig.put("a", json!({})).await.error, "missing data fields");
    assert_eq!(rig.put("", json!({ "k": 1 })).await.status, 400);
    assert_eq!(rig.list("").await.status, 404);
    assert_eq!(put(&rig, Some("space-1"), "a").await, 204);
    assert_eq!(rig.delete("a").await.status, 204);
    assert_eq!(rig.get("a").await.status, 404);
}
