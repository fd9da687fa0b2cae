//! KV version 2, what is known of secrets: settings of mount and secret, notes, lists, removal.

use std::time::Duration;

use coffre_engines::kv::v2::KvV2;
use serde_json::{Value, json};

use crate::rig::in_memory;

#[tokio::test]
async fn the_mounts_settings_change_one_by_one() {
    let rig = in_memory(KvV2).await;
    let defaults = json!({ "max_versions": 0, "cas_required": false, "delete_version_after": "0s" });
    assert_eq!(rig.get("config").await.data, defaults);
    for (change, after) in [
        (
            json!({ "max_versions": "5" }),
            json!({ "max_versions": 5, "cas_required": false, "delete_version_after": "0s" }),
        ),
        (
            json!({ "cas_required": true }),
            json!({ "max_versions": 5, "cas_required": true, "delete_version_after": "0s" }),
        ),
        (
            json!({ "delete_version_after": "3h25m19s" }),
            json!({ "max_versions": 5, "cas_required": true, "delete_version_after": "3h25m19s" }),
        ),
        (
            json!({ "delete_version_after": "-1s" }),
            json!({ "max_versions": 5, "cas_required": true, "delete_version_after": "-1s" }),
        ),
        (json!({}), json!({ "max_versions": 5, "cas_required": true, "delete_version_after": "-1s" })),
        (json!({ "max_versions": 0, "cas_required": false, "delete_version_after": 0 }), defaults),
    ] {
        assert_eq!(rig.put("config", change).await.status, 204);
        assert_eq!(rig.get("config").await.data, after);
    }
    for wrong in [
        json!({ "max_versions": -1 }),
        json!({ "max_versions": 1_u64 << 40 }),
        json!({ "delete_version_after": "soon" }),
    ] {
        assert_eq!(rig.put("config", wrong).await.status, 400);
    }
}

#[tokio::test]
async fn metadata_shows_everything_but_data() {
    let rig = in_memory(KvV2).await;
    rig.put("data/a", json!({ "data": { "k": "CANARY" } })).await;
    rig.clock.advance(Duration::from_secs(60));
    rig.put("data/a", json!({ "data": { "k": "CANARY" } })).await;
    rig.put("delete/a", json!({ "versions": [1] })).await;
    let shown = rig.get("metadata/a").await;
    let (first, second) = ("2026-09-21T14:13:20Z", "2026-09-21T14:14:20Z");
    assert_eq!(
        shown.data,
        json!({
            "cas_required": false, "created_time": first, "current_version": 2, "custom_metadata": null,
            "delete_version_after": "0s", "max_versions": 0, "oldest_version": 0, "updated_time": second,
            "versions": {
                "1": { "created_time": first, "deletion_time": second, "destroyed": false },
                "2": { "created_time": second, "deletion_time": "", "destroyed": false },
            },
        })
    );
    assert!(!shown.text.contains("CANARY"));
    assert_eq!(rig.get("metadata/none").await.status, 404);
    assert_eq!(rig.get("metadata").await.status, 404);
}

#[tokio::test]
async fn writing_metadata_makes_a_secret_without_a_version() {
    let rig = in_memory(KvV2).await;
    let given = json!({ "max_versions": 4, "cas_required": true, "delete_version_after": "90s", "custom_metadata": { "owner": "api" } });
    assert_eq!(rig.put("metadata/a", given).await.status, 204);
    let shown = rig.get("metadata/a").await.data;
    assert_eq!(shown["current_version"], json!(0));
    assert_eq!(shown["versions"], json!({}));
    assert_eq!((&shown["max_versions"], &shown["cas_required"]), (&json!(4), &json!(true)));
    assert_eq!(
        (&shown["delete_version_after"], &shown["custom_metadata"]),
        (&json!("1m30s"), &json!({ "owner": "api" }))
    );
    let read = rig.get("data/a").await;
    assert_eq!((read.status, read.text.as_str()), (404, ""));
    assert_eq!(rig.delete("data/a").await.status, 204);
    assert_eq!(rig.list("metadata").await.data, json!({ "keys": ["a"] }));
    // What is absent stays.
    rig.put("metadata/a", json!({ "cas_required": false })).await;
    let shown = rig.get("metadata/a").await.data;
    assert_eq!((&shown["max_versions"], &shown["cas_required"]), (&json!(4), &json!(false)));
    assert_eq!(shown["custom_metadata"], json!({ "owner": "api" }));
    assert_eq!(rig.put("metadata", json!({})).await.status, 400);
}

#[tokio::test]
async fn notes_are_replaced_by_a_write_and_merged_by_a_patch() {
    let rig = in_memory(KvV2).await;
    assert_eq!(rig.patch("metadata/a", json!({ "custom_metadata": { "x": "1" } })).await.status, 404);
    rig.put("data/a", json!({ "data": {} })).await;
    rig.put("metadata/a", json!({ "custom_metadata": { "x": "1", "y": "2" } })).await;
    let patch = json!({ "custom_metadata": { "x": null, "z": "3" }, "max_versions": 2 });
    assert_eq!(rig.patch("metadata/a", patch).await.status, 204);
    let shown = rig.get("metadata/a").await.data;
    assert_eq!(
        (&shown["custom_metadata"], &shown["max_versions"]),
        (&json!({ "y": "2", "z": "3" }), &json!(2))
    );
    rig.put("metadata/a", json!({ "custom_metadata": { "only": "this" } })).await;
    let read = rig.get("data/a").await.data;
    assert_eq!(read["metadata"]["custom_metadata"], json!({ "only": "this" }));
    rig.put("metadata/a", json!({ "custom_metadata": {} })).await;
    assert_eq!(rig.get("metadata/a").await.data["custom_metadata"], Value::Null);
    // Data survives changes of what is known about it.
    assert_eq!(rig.get("data/a").await.data["data"], json!({}));
}

#[tokio::test]
async fn notes_have_bounds_and_are_never_quoted() {
    let rig = in_memory(KvV2).await;
    let long = "CANARY".repeat(100);
    for notes in [
        json!({ &long: "v" }),
        json!({ "k": &long }),
        json!({ "": "v" }),
        json!({ "CANARY": "a\nb" }),
        json!({ "CANARY": 1 }),
        json!({ "CANARY": ["CANARY"] }),
        json!("CANARY"),
        (0..65).map(|n| (n.to_string(), json!("CANARY"))).collect::<serde_json::Map<_, _>>().into(),
    ] {
        let refused = rig.put("metadata/a", json!({ "custom_metadata": notes })).await;
        assert_eq!(refused.status, 400, "{notes}");
        assert!(!refused.error.contains("CANARY"), "{}", refused.error);
    }
    assert_eq!(rig.get("metadata/a").await.status, 404);
    rig.put("metadata/a", json!({})).await;
    let refused = rig.patch("metadata/a", json!({ "custom_metadata": { "k": &long } })).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn lists_are_sorted_and_know_no_versions() {
    let rig = in_memory(KvV2).await;
    assert_eq!(rig.list("metadata").await.status, 404);
    for path in ["b", "a/x", "a/y/z", "a", "c/d"] {
        for _ in 0..2 {
            rig.put(&format!("data/{path}"), json!({ "data": {} })).await;
        }
    }
    assert_eq!(rig.list("metadata").await.data, json!({ "keys": ["a", "a/", "b", "c/"] }));
    assert_eq!(rig.list("metadata/a").await.data, json!({ "keys": ["x", "y/"] }));
    assert_eq!(rig.list("metadata/b").await.status, 404);
    // Deleted is still known; removed is not.
    rig.delete("data/b").await;
    assert_eq!(rig.list("metadata").await.data, json!({ "keys": ["a", "a/", "b", "c/"] }));
    rig.delete("metadata/b").await;
    assert_eq!(rig.list("metadata").await.data, json!({ "keys": ["a", "a/", "c/"] }));
}

#[tokio::test]
async fn removal_leaves_nothing() {
    let rig = in_memory(KvV2).await;
    for n in 0..5 {
        rig.put("data/a", json!({ "data": { "n": n } })).await;
    }
    assert_eq!(rig.delete("metadata/a").await.status, 204);
    assert_eq!(rig.view.scan("", None, 10).await.unwrap().names.len(), 0);
    assert_eq!(rig.get("data/a?version=3").await.text, "");
    assert_eq!(rig.delete("metadata/a").await.status, 204);
    assert_eq!(rig.put("data/a", json!({ "data": {} })).await.data["version"], json!(1));
}
