//! Views: what they see, how they list, and that they stay within their prefix.

use std::collections::{BTreeMap, BTreeSet};

use coffre_barrier::{BarrierError, Listing, ViewBatch};
use proptest::prelude::*;

use super::{cluster, key};
use coffre_storage::Store;

fn names(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn a_view_sees_only_its_prefix() {
    let cluster = cluster().await;
    let (a, b) = (cluster.root().sub("a/"), cluster.root().sub("b/"));
    a.put("k", b"of a").await.unwrap();
    b.put("k", b"of b").await.unwrap();
    assert_eq!(a.get("k").await.unwrap().unwrap().expose(), b"of a");
    assert_eq!(a.full_path("k"), "a/k");
    a.delete_all("").await.unwrap();
    assert!(a.get("k").await.unwrap().is_none());
    assert_eq!(b.get("k").await.unwrap().unwrap().expose(), b"of b");
    assert_eq!(b.read_only().sub("x/").list("", None, 9).await.unwrap(), Listing::default());
    cluster.root().delete_all("").await.unwrap();
    assert_eq!(cluster.root().scan("", None, 9).await.unwrap(), Listing::default());
    assert!(
        cluster.store.get(&key("core/keyring")).await.unwrap().is_some(),
        "views cannot name the keyring"
    );
    cluster.barrier.seal().await;
    cluster.unseal().await;
}

#[tokio::test]
async fn lists_are_those_of_vault() {
    let cluster = cluster().await;
    let view = cluster.root().sub("mount/");
    for path in ["app", "app/db/password", "app/db/user", "app/key", "app!", "b/c", "é"] {
        view.put(path, b"x").await.unwrap();
    }
    let list = |prefix: &'static str, after: Option<&'static str>, limit| {
        let view = view.clone();
        async move { view.list(prefix, after, limit).await.unwrap() }
    };
    assert_eq!(list("", None, 99).await.names, names(&["app", "app!", "app/", "b/", "é"]));
    assert_eq!(list("app", None, 99).await.names, names(&["db/", "key"]));
    assert_eq!(list("app/db/", None, 99).await.names, names(&["password", "user"]));
    assert_eq!(list("nothing", None, 99).await, Listing::default());
    assert_eq!(list("", None, 2).await, Listing { names: names(&["app", "app!"]), more: true });
    assert_eq!(list("", Some("app/"), 99).await.names, names(&["b/", "é"]));
    assert_eq!(list("", Some("app"), 99).await.names, names(&["app!", "app/", "b/", "é"]));
    assert_eq!(list("", Some("é"), 99).await, Listing::default());
    let scan = view.scan("app/", None, 2).await.unwrap();
    assert_eq!(scan, Listing { names: names(&["app/db/password", "app/db/user"]), more: true });
    let scan = view.scan("app/", Some("app/db/user"), 2).await.unwrap();
    assert_eq!(scan, Listing { names: names(&["app/key"]), more: false });
}

#[tokio::test]
async fn a_large_folder_costs_little_to_skip() {
    let cluster = cluster().await;
    let view = cluster.root();
    let batch = (0..3_000).fold(ViewBatch::new(), |batch, n| batch.put(format!("big/{n}"), vec![]));
    view.transact(batch.put("small", vec![]).put("a", vec![])).await.unwrap();
    assert_eq!(view.list("", None, 99).await.unwrap().names, names(&["a", "big/", "small"]));
    let listing = view.list("big/", None, 5_000).await.unwrap();
    assert_eq!((listing.names.len(), listing.more), (3_000, false));
}

#[tokio::test]
async fn batches_are_atomic_and_in_order() {
    let cluster = cluster().await;
    let view = cluster.root().sub("v/");
    view.put("old/1", b"x").await.unwrap();
    let batch = ViewBatch::new()
        .expect_absent("new")
        .put("new", b"1".to_vec())
        .delete_prefix("old/")
        .put("old/2", b"2".to_vec());
    view.transact(batch).await.unwrap();
    assert_eq!(view.scan("", None, 9).await.unwrap().names, names(&["new", "old/2"]));
    let again = ViewBatch::new().expect_absent("new").delete_prefix("");
    match view.transact(again).await {
        Err(BarrierError::Exists(path)) => assert_eq!(path, "v/new"),
        other => panic!("{other:?}"),
    }
    assert_eq!(view.scan("", None, 9).await.unwrap().names, names(&["new", "old/2"]));
    let bad = ViewBatch::new().put("fine", b"1".to_vec()).put("a\0b", b"2".to_vec());
    assert!(matches!(view.transact(bad).await, Err(BarrierError::BadPath(_))));
    assert!(view.get("fine").await.unwrap().is_none());
    assert!(matches!(cluster.root().get("").await, Err(BarrierError::BadPath(_))));
    assert!(matches!(view.put(&"x".repeat(3_000), b"").await, Err(BarrierError::BadPath(_))));
}

/// The definition, over all paths at once.
fn slow_list(paths: &BTreeMap<String, ()>, folder: &str, after: Option<&str>, limit: usize) -> Listing {
    let children: BTreeSet<&str> = paths
        .keys()
        .filter_map(|path| path.strip_prefix(folder))
        .filter_map(|rest| rest.split_inclusive('/').next())
        .filter(|name| after.is_none_or(|after| *name > after))
        .collect();
    let names: Vec<String> = children.iter().take(limit).map(|name| (*name).to_owned()).collect();
    Listing { more: children.len() > names.len(), names }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn lists_agree_with_the_definition(
        paths in proptest::collection::btree_set("[ab!0\u{10FFFF}]{1,2}(/[ab!0\u{10FFFF}]{1,2}){0,3}", 0..60),
        afters in proptest::collection::vec("[ab!0/\u{10FFFF}]{0,3}", 4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let cluster = cluster().await;
            let view = cluster.root().sub("m/");
            let mut model = BTreeMap::new();
            for path in &paths {
                view.put(path, b"").await.unwrap();
                model.insert(path.clone(), ());
            }
            for folder in ["", "a/", "b/", "a/b/", "ab/", "!/"] {
                for limit in [0, 1, 2, 99] {
                    let found = view.list(folder, None, limit).await.unwrap();
                    assert_eq!(found, slow_list(&model, folder, None, limit), "{folder:?} {limit}");
                    for after in &afters {
                        let found = view.list(folder, Some(after), limit).await.unwrap();
                        let wanted = slow_list(&model, folder, Some(after), limit);
                        assert_eq!(found, wanted, "{folder:?} after {after:?} {limit}");
                    }
                }
            }
        });
    }
}
