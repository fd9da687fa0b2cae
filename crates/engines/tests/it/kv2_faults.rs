//! KV version 2 over a storage that fails at any operation, in any way: no half of a change is ever seen.

use std::sync::Arc;

use coffre_engines::kv::v2::KvV2;
use coffre_storage::Memory;
use coffre_storage::faults::{Fault, Faulty};
use serde_json::{Value, json};

use crate::rig::{Answer, Rig, mount};

/// Everything that a caller can see of the secret, through a storage that works.
async fn seen(rig: &Rig) -> Vec<Value> {
    let metadata = rig.get("metadata/a").await;
    assert!(matches!(metadata.status, 200 | 404), "{}", metadata.error);
    let mut all = vec![metadata.data.clone()];
    if let Some(versions) = metadata.data["versions"].as_object() {
        for (number, state) in versions {
            let read = rig.get(&format!("data/a?version={number}")).await;
            let hidden = state["destroyed"] == json!(true) || state["deletion_time"] != json!("");
            assert_eq!(read.status, if hidden { 404 } else { 200 }, "version {number}: {}", read.error);
            all.push(read.data);
        }
    }
    // What rests belongs to a version that is known.
    for key in rig.view.scan("v/", None, 100).await.unwrap().names {
        let number = key.rsplit('/').next().unwrap();
        let state = &metadata.data["versions"][number];
        assert!(state.is_object() && state["destroyed"] == json!(false), "{key} is left over");
    }
    all
}

/// One change of a secret that has three versions, of which at most three are kept.
async fn change(rig: &Rig, which: usize) -> Answer {
    match which {
        0 => rig.put("data/a", json!({ "data": { "new": true } })).await,
        1 => rig.patch("data/a", json!({ "data": { "patched": true } })).await,
        2 => rig.delete("data/a").await,
        3 => rig.put("delete/a", json!({ "versions": [1, 2] })).await,
        4 => rig.put("destroy/a", json!({ "versions": [1, 3] })).await,
        5 => rig.put("metadata/a", json!({ "custom_metadata": { "x": "y" } })).await,
        6 => rig.delete("metadata/a").await,
        _ => rig.put("undelete/a", json!({ "versions": [2] })).await,
    }
}

const CHANGES: usize = 8;

async fn prepared() -> (Arc<Faulty<Memory>>, Rig) {
    let store = Arc::new(Faulty::new(Memory::new()));
    let rig = mount(KvV2, store.clone()).await;
    rig.put("config", json!({ "max_versions": 3 })).await;
    for n in 1..=3 {
        rig.put("data/a", json!({ "data": { "n": n } })).await;
    }
    rig.put("delete/a", json!({ "versions": [2] })).await;
    (store, rig)
}

#[tokio::test]
async fn every_change_is_whole_or_not_at_all() {
    let mut injected = 0;
    for which in 0..CHANGES {
        let (_, rig) = prepared().await;
        assert!(change(&rig, which).await.status < 300);
        let after = seen(&rig).await;
        for fault in [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown] {
            for nth in 1.. {
                let (store, rig) = prepared().await;
                let before = seen(&rig).await;
                let operations = store.operations();
                store.fail_nth(nth, fault);
                let answer = change(&rig, which).await;
                if store.operations() < operations + nth {
                    assert!(answer.status < 300, "nothing failed");
                    break;
                }
                injected += 1;
                assert_eq!(answer.status, 500, "change {which}, operation {nth}, {fault:?}");
                assert_eq!(answer.error, "internal error: see the server's log for this request id");
                let now = seen(&rig).await;
                let whole = now == before || (fault == Fault::DoneUnknown && now == after);
                assert!(whole, "change {which}, operation {nth}, {fault:?}: {now:?}");
                // The secret goes on to work.
                assert!(change(&rig, which).await.status < 300);
            }
        }
    }
    assert!(injected > 3 * CHANGES, "{injected}");
}

#[tokio::test]
async fn a_read_of_the_latest_version_costs_one_access() {
    let (store, rig) = prepared().await;
    let before = store.operations();
    assert_eq!(rig.get("data/a").await.status, 200);
    assert_eq!(store.operations() - before, 1);
}
