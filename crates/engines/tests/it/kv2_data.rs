//! KV version 2, versions: writing, reading, check and set, merging, deleting, undeleting, destroying, subkeys, and
//! calls in the form of version 1.

use std::time::Duration;

use coffre_api::Op;
use coffre_engines::kv::v2::KvV2;
use coffre_policy::Existence;
use serde_json::{Value, json};

use crate::rig::{Rig, in_memory};

const CREATED: &str = "2026-09-21T14:13:20Z";

async fn write(rig: &Rig, value: u64) -> u64 {
    let written = rig.put("data/a", json!({ "data": { "n": value } })).await;
    assert_eq!(written.status, 200, "{}", written.error);
    written.data["version"].as_u64().unwrap()
}

async fn versions(rig: &Rig) -> Vec<u64> {
    let metadata = rig.get("metadata/a").await.data;
    let versions = metadata["versions"].as_object().unwrap().keys();
    let mut versions: Vec<u64> = versions.map(|n| n.parse().unwrap()).collect();
    versions.sort_unstable();
    versions
}

#[tokio::test]
async fn a_write_answers_with_metadata_and_a_read_with_both() {
    let rig = in_memory(KvV2).await;
    let written = rig.put("data/a", json!({ "data": { "k": "v" } })).await;
    let metadata = json!({
        "created_time": CREATED, "custom_metadata": null, "deletion_time": "", "destroyed": false, "version": 1
    });
    assert_eq!((written.status, &written.data, written.lease_duration), (200, &metadata, 0));
    let read = rig.get("data/a").await;
    assert_eq!((read.status, read.data), (200, json!({ "data": { "k": "v" }, "metadata": metadata })));
}

#[tokio::test]
async fn data_comes_back_byte_for_byte() {
    let rig = in_memory(KvV2).await;
    let data =
        r#"{"n": 12345678901234567890123,"f":1.50,"e":1e400,"u":"\u00e9\ud83d\ude00","o":{"path":[ ]}}"#;
    rig.ask(Op::Write, "data/a", &format!("{{\"data\":{data}}}")).await;
    let read = rig.get("data/a").await;
    assert!(read.text.starts_with(&format!("{{\"data\":{data},\"metadata\":")), "{}", read.text);
    write(&rig, 2).await;
    assert!(rig.get("data/a?version=1").await.text.contains(data));
}

#[tokio::test]
async fn versions_count_up_and_each_can_be_read() {
    let rig = in_memory(KvV2).await;
    for n in 1..=3 {
        assert_eq!(write(&rig, n).await, n);
    }
    for (query, n) in [("", 3), ("?version=0", 3), ("?version=1", 1), ("?version=2", 2), ("?version=3", 3)] {
        let read = rig.get(&format!("data/a{query}")).await;
        assert_eq!((read.status, &read.data["data"]["n"]), (200, &json!(n)), "{query}");
        assert_eq!(read.data["metadata"]["version"], json!(n));
    }
    for missing in ["data/a?version=4", "data/b", "data", "data/a/b"] {
        let read = rig.get(missing).await;
        assert_eq!((read.status, read.text.as_str()), (404, ""), "{missing}");
    }
    assert_eq!(rig.get("data/a?version=-1").await.status, 400);
    assert_eq!(rig.get("data/a?version=x").await.status, 400);
}

#[tokio::test]
async fn what_is_no_object_is_refused_and_not_quoted() {
    let rig = in_memory(KvV2).await;
    for body in ["", "{}", r#"{"data":null}"#, r#"{"options":{"cas":0}}"#] {
        let refused = rig.ask(Op::Write, "data/a", body).await;
        assert_eq!((refused.status, refused.error.as_str()), (400, "no data provided"), "{body}");
    }
    for data in ["\"CANARY\"", "[\"CANARY\"]", "1", "true", r#"{"CANARY":1,"CANARY":2}"#] {
        let refused = rig.ask(Op::Write, "data/a", &format!("{{\"data\":{data}}}")).await;
        assert_eq!(refused.status, 400, "{data}");
        assert!(!refused.error.contains("CANARY"), "{}", refused.error);
    }
    let refused = rig.ask(Op::Write, "data/a", r#"{"data":{"k":1},"options":{"cas":"CANARY"}}"#).await;
    assert!(refused.status == 400 && !refused.error.contains("CANARY"), "{}", refused.error);
    assert_eq!(rig.put("data", json!({ "data": {} })).await.status, 400);
    assert_eq!(rig.get("metadata/a").await.status, 404);
    // An empty object is a secret.
    assert_eq!(rig.put("data/a", json!({ "data": {} })).await.status, 200);
    assert_eq!(rig.get("data/a").await.data["data"], json!({}));
}

#[tokio::test]
async fn unknown_parameters_are_told() {
    let rig = in_memory(KvV2).await;
    let written = rig.put("data/a", json!({ "data": {}, "typo": 1 })).await;
    assert_eq!(written.warnings.len(), 1);
    assert!(written.warnings[0].contains("typo"));
}

#[tokio::test]
async fn check_and_set() {
    const MISMATCH: &str = "check-and-set parameter did not match the current version";
    let rig = in_memory(KvV2).await;
    let set = async |cas: Value| {
        let done = rig.put("data/a", json!({ "data": {}, "options": { "cas": cas } })).await;
        (done.status, done.error)
    };
    assert_eq!(set(json!(1)).await, (400, MISMATCH.into()));
    assert_eq!(set(json!(0)).await.0, 200);
    assert_eq!(set(json!(0)).await, (400, MISMATCH.into()));
    assert_eq!(set(json!("1")).await.0, 200);
    assert_eq!(set(json!(1)).await, (400, MISMATCH.into()));
    assert_eq!(set(json!(-1)).await, (400, MISMATCH.into()));
    assert_eq!(set(json!(null)).await.0, 200);
    // A deleted latest version is the current version all the same.
    rig.delete("data/a").await;
    assert_eq!(set(json!(0)).await, (400, MISMATCH.into()));
    assert_eq!(set(json!(3)).await.0, 200);
    // A secret without a version never had one.
    rig.put("metadata/b", json!({})).await;
    let first = json!({ "data": {}, "options": { "cas": 0 } });
    assert_eq!(rig.put("data/b", first.clone()).await.status, 200);
    // Removing everything begins anew.
    rig.delete("metadata/b").await;
    assert_eq!(rig.put("data/b", first).await.data["version"], json!(1));
}

#[tokio::test]
async fn check_and_set_can_be_required_by_mount_or_secret() {
    const REQUIRED: &str = "check-and-set parameter required for this call";
    for path in ["config", "metadata/a"] {
        let rig = in_memory(KvV2).await;
        assert_eq!(rig.put(path, json!({ "cas_required": "true" })).await.status, 204);
        let plain = json!({ "data": { "k": 1 } });
        assert_eq!(rig.put("data/a", plain.clone()).await.error, REQUIRED, "{path}");
        let with = json!({ "data": { "k": 1 }, "options": { "cas": 0 } });
        assert_eq!(rig.put("data/a", with).await.status, 200);
        assert_eq!(rig.patch("data/a", plain).await.error, REQUIRED);
        let with = json!({ "data": { "k": 2 }, "options": { "cas": 1 } });
        assert_eq!(rig.patch("data/a", with).await.data["version"], json!(2));
    }
}

#[tokio::test]
async fn a_patch_merges_into_the_latest_version() {
    let rig = in_memory(KvV2).await;
    let change = json!({ "data": { "k": 1 } });
    assert_eq!(rig.patch("data/a", change.clone()).await.status, 404);
    rig.put("metadata/a", json!({})).await;
    assert_eq!(rig.patch("data/a", change).await.status, 404);
    rig.ask(Op::Write, "data/a", r#"{"data":{"keep":1.50,"go":"x","o":{"a":1,"b":2}}}"#).await;
    let patched = rig.patch("data/a", json!({ "data": { "go": null, "o": { "b": null, "c": 3 } } })).await;
    assert_eq!((patched.status, &patched.data["version"]), (200, &json!(2)), "{}", patched.error);
    let read = rig.get("data/a").await;
    assert!(read.text.starts_with(r#"{"data":{"keep":1.50,"o":{"a":1,"c":3}},"#), "{}", read.text);
    assert_eq!(rig.get("data/a?version=1").await.data["data"]["go"], json!("x"));
    assert_eq!(rig.patch("data/a", json!({})).await.error, "no data provided");
    assert_eq!(rig.patch("data/a", json!({ "data": [] })).await.status, 400);
    let stale = json!({ "data": {}, "options": { "cas": 1 } });
    assert_eq!(rig.patch("data/a", stale).await.status, 400);
    assert_eq!(versions(&rig).await, [1, 2]);
}

#[tokio::test]
async fn a_patch_of_what_is_gone_is_404_with_metadata() {
    let rig = in_memory(KvV2).await;
    write(&rig, 1).await;
    rig.delete("data/a").await;
    let gone = rig.patch("data/a", json!({ "data": { "k": 1 } })).await;
    assert_eq!((gone.status, &gone.data["data"]), (404, &Value::Null));
    assert_eq!(gone.data["metadata"]["deletion_time"], json!(CREATED));
    rig.put("destroy/a", json!({ "versions": [1] })).await;
    let gone = rig.patch("data/a", json!({ "data": { "k": 1 } })).await;
    assert_eq!((gone.status, &gone.data["metadata"]["destroyed"]), (404, &json!(true)));
    assert_eq!(versions(&rig).await, [1]);
}

#[tokio::test]
async fn deletion_hides_and_undeletion_shows_again() {
    let rig = in_memory(KvV2).await;
    assert_eq!(rig.delete("data/a").await.status, 204);
    write(&rig, 1).await;
    write(&rig, 2).await;
    rig.clock.advance(Duration::from_millis(1_500));
    assert_eq!(rig.delete("data/a").await.status, 204);
    let gone = rig.get("data/a").await;
    assert_eq!((gone.status, &gone.data["data"]), (404, &Value::Null));
    assert_eq!(gone.data["metadata"]["deletion_time"], json!("2026-09-21T14:13:21.5Z"));
    assert_eq!(gone.data["metadata"]["version"], json!(2));
    assert_eq!(rig.get("data/a?version=1").await.status, 200);
    // Deleting again keeps the first time.
    rig.clock.advance(Duration::from_secs(9));
    assert_eq!(rig.delete("data/a").await.status, 204);
    assert_eq!(rig.get("data/a").await.data, gone.data);
    assert_eq!(rig.put("delete/a", json!({ "versions": "1" })).await.status, 204);
    assert_eq!(rig.get("data/a?version=1").await.status, 404);
    assert_eq!(rig.put("undelete/a", json!({ "versions": [1, "2", 7] })).await.status, 204);
    assert_eq!(rig.get("data/a?version=1").await.data["data"]["n"], json!(1));
    let back = rig.get("data/a").await;
    assert_eq!((back.status, &back.data["metadata"]["deletion_time"]), (200, &json!("")));
}

#[tokio::test]
async fn destruction_is_for_ever_and_leaves_no_data_behind() {
    let rig = in_memory(KvV2).await;
    for n in 1..=3 {
        write(&rig, n).await;
    }
    assert_eq!(rig.put("destroy/a", json!({ "versions": "1,3" })).await.status, 204);
    assert_eq!(rig.put("undelete/a", json!({ "versions": [1, 3] })).await.status, 204);
    for version in [1, 3] {
        let gone = rig.get(&format!("data/a?version={version}")).await;
        assert_eq!((gone.status, &gone.data["data"]), (404, &Value::Null));
        assert_eq!(gone.data["metadata"]["destroyed"], json!(true));
    }
    assert_eq!(rig.get("data/a?version=2").await.status, 200);
    assert_eq!(rig.view.scan("", None, 10).await.unwrap().names, ["k/a", "v/a//2"]);
    let latest = rig.view.get("k/a").await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(latest.expose()).contains("\"n\":"));
    // The next version follows on, and nothing is kept of the destroyed one.
    assert_eq!(write(&rig, 4).await, 4);
    assert_eq!(rig.view.scan("v/", None, 10).await.unwrap().names, ["v/a//2"]);
    assert_eq!(rig.get("data/a?version=3").await.data["metadata"]["destroyed"], json!(true));
}

#[tokio::test]
async fn version_numbers_are_checked() {
    let rig = in_memory(KvV2).await;
    write(&rig, 1).await;
    for path in ["delete/a", "undelete/a", "destroy/a"] {
        for body in
            [json!({}), json!({ "versions": [] }), json!({ "versions": "" }), json!({ "versions": null })]
        {
            assert_eq!(rig.put(path, body).await.error, "No version number provided", "{path}");
        }
        for body in [json!({ "versions": ["x"] }), json!({ "versions": [-1] }), json!({ "versions": [1.5] })]
        {
            assert_eq!(rig.put(path, body).await.status, 400, "{path}");
        }
        for body in
            [json!({ "versions": [7, 0, 99] }), json!({ "versions": 8 }), json!({ "versions": "9, 10" })]
        {
            assert_eq!(rig.put(path, body).await.status, 204, "{path}");
        }
    }
    for path in ["delete/none", "undelete/none", "destroy/none"] {
        assert_eq!(rig.put(path, json!({ "versions": [1] })).await.status, 204, "{path}");
    }
    assert_eq!(rig.get("data/a").await.status, 200);
    assert_eq!(rig.get("metadata/none").await.status, 404);
}

#[tokio::test]
async fn the_oldest_versions_are_given_up() {
    let rig = in_memory(KvV2).await;
    for n in 1..=12 {
        write(&rig, n).await;
    }
    assert_eq!(versions(&rig).await, (3..=12).collect::<Vec<_>>());
    assert_eq!(rig.get("metadata/a").await.data["oldest_version"], json!(3));
    assert_eq!(rig.get("data/a?version=2").await.text, "");
    assert_eq!(rig.get("data/a?version=3").await.status, 200);
    rig.put("config", json!({ "max_versions": 3 })).await;
    // A lower bound counts from the next write on.
    assert_eq!(versions(&rig).await.len(), 10);
    write(&rig, 13).await;
    assert_eq!(versions(&rig).await, [11, 12, 13]);
    assert_eq!(rig.view.scan("v/", None, 20).await.unwrap().names, ["v/a//11", "v/a//12"]);
    rig.put("metadata/a", json!({ "max_versions": "1" })).await;
    write(&rig, 14).await;
    assert_eq!(versions(&rig).await, [14]);
    assert_eq!(rig.view.scan("v/", None, 20).await.unwrap().names.len(), 0);
    rig.put("metadata/a", json!({ "max_versions": 0 })).await;
    write(&rig, 15).await;
    assert_eq!(versions(&rig).await, [14, 15]);
}

#[tokio::test]
async fn versions_can_have_an_end() {
    let rig = in_memory(KvV2).await;
    rig.put("config", json!({ "delete_version_after": "30m" })).await;
    rig.put("metadata/a", json!({ "delete_version_after": 60 })).await;
    let written = rig.put("data/a", json!({ "data": { "k": 1 } })).await;
    assert_eq!(written.data["deletion_time"], json!("2026-09-21T14:14:20Z"));
    rig.clock.advance(Duration::from_secs(59));
    assert_eq!(rig.get("data/a").await.status, 200);
    rig.clock.advance(Duration::from_secs(1));
    let gone = rig.get("data/a").await;
    assert_eq!((gone.status, &gone.data["data"]), (404, &Value::Null));
    rig.put("undelete/a", json!({ "versions": [1] })).await;
    rig.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(rig.get("data/a").await.status, 200);
    rig.put("config", json!({ "delete_version_after": "-1s" })).await;
    assert_eq!(rig.put("data/a", json!({ "data": {} })).await.data["deletion_time"], json!(""));
}

#[tokio::test]
async fn subkeys_show_names_only() {
    let rig = in_memory(KvV2).await;
    rig.put("data/a", json!({ "data": { "k": "CANARY", "o": { "p": ["CANARY"], "q": { "r": 1 } } } })).await;
    let shown = rig.get("subkeys/a").await;
    assert_eq!(shown.data["subkeys"], json!({ "k": null, "o": { "p": null, "q": { "r": null } } }));
    assert_eq!(shown.data["metadata"]["version"], json!(1));
    assert!(!shown.text.contains("CANARY"));
    let shallow = rig.get("subkeys/a?version=1&depth=2").await;
    assert_eq!(shallow.data["subkeys"], json!({ "k": null, "o": { "p": null, "q": null } }));
    rig.delete("data/a").await;
    let gone = rig.get("subkeys/a").await;
    assert_eq!((gone.status, &gone.data["subkeys"]), (404, &Value::Null));
    assert_eq!(gone.data["metadata"]["version"], json!(1));
    assert_eq!(rig.get("subkeys/none").await.text, "");
    assert_eq!(rig.get("subkeys/a?depth=-1").await.status, 400);
}

#[tokio::test]
async fn calls_in_the_form_of_version_1_are_told_the_right_path() {
    let rig = in_memory(KvV2).await;
    let body = r#"{"data":"x","foo":"bar"}"#;
    for (op, right) in [
        (Op::Read, "secret/data/app/db"),
        (Op::List, "secret/metadata/app/db"),
        (Op::Write, "secret/data/app/db"),
        (Op::Patch, "secret/data/app/db"),
        (Op::Delete, "secret/data/app/db"),
    ] {
        let told = rig.ask(op, "app/db", body).await;
        assert_eq!((told.status, told.text.as_str(), told.warnings.len()), (404, "", 1), "{op:?}");
        assert!(told.warnings[0].contains(right), "{}", told.warnings[0]);
    }
    assert_eq!(rig.get("").await.warnings.len(), 1);
    assert_eq!(rig.list("data/a").await.status, 405);
    assert_eq!(rig.view.scan("", None, 10).await.unwrap().names.len(), 0);
}

#[tokio::test]
async fn a_write_tells_create_from_update() {
    let rig = in_memory(KvV2).await;
    let body = json!({ "data": {} });
    for path in ["data/a", "metadata/a"] {
        assert_eq!(rig.existence(path, &body).await, Existence::Missing, "{path}");
    }
    write(&rig, 1).await;
    rig.delete("data/a").await;
    for path in ["data/a", "metadata/a"] {
        assert_eq!(rig.existence(path, &body).await, Existence::Exists, "{path}");
    }
    for path in ["config", "delete/a", "destroy/a", "undelete/a", "other"] {
        assert_eq!(rig.existence(path, &json!({ "versions": [1] })).await, Existence::Unknown, "{path}");
    }
}

#[tokio::test]
async fn no_secret_is_part_of_another() {
    let rig = in_memory(KvV2).await;
    for path in ["a", "a/b", "a/b/c", "ab"] {
        for n in 1..=2 {
            rig.put(&format!("data/{path}"), json!({ "data": { "path": path, "n": n } })).await;
        }
    }
    rig.delete("metadata/a").await;
    rig.delete("metadata/a/b").await;
    for (path, status) in [("a", 404), ("a/b", 404), ("a/b/c", 200), ("ab", 200)] {
        for query in ["", "?version=1"] {
            assert_eq!(rig.get(&format!("data/{path}{query}")).await.status, status, "{path}{query}");
        }
    }
}
