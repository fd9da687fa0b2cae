//! What rests: no plaintext, and each record opens only as it was written, where it was written.

use coffre_ambient::{SeededEntropy, SystemEntropy};
use coffre_barrier::BarrierError;
use coffre_barrier::record::{self, Header, Place};
use coffre_crypto::envelope::Envelope;
use coffre_crypto::fresh_key;
use coffre_storage::Store;
use proptest::prelude::*;

use super::{SEED, cluster, key};

const CANARY: &[u8] = b"canary-5f1c0e";

/// H13: values and derived keys are nowhere in clear.
#[tokio::test]
async fn h13_no_plaintext_rests() {
    let cluster = cluster().await;
    cluster.root().put("a/b", CANARY).await.unwrap();
    for (key, bytes) in cluster.store.dump() {
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY), "{key}");
    }
    let shares: Vec<&Vec<u8>> = cluster.shares.iter().map(|share| share.expose()).collect();
    for (key, bytes) in cluster.store.dump() {
        for share in &shares {
            assert!(!bytes.windows(32).any(|window| window == &share[12..44]), "{key} holds a share");
        }
    }
}

/// H1: rows that were exchanged do not open; nor does a row copied to a free path.
#[tokio::test]
async fn h1_a_record_opens_only_at_its_path() {
    let cluster = cluster().await;
    let view = cluster.root();
    view.put("one", b"1").await.unwrap();
    view.put("two", b"2").await.unwrap();
    let [one, two] = ["data/one", "data/two"].map(key);
    let [first, second] =
        [cluster.store.get(&one).await.unwrap().unwrap(), cluster.store.get(&two).await.unwrap().unwrap()];
    cluster.store.put(one, second.clone()).await.unwrap();
    cluster.store.put(two, first).await.unwrap();
    cluster.store.put(key("data/three"), second).await.unwrap();
    for path in ["one", "two", "three"] {
        let found = view.get(path).await;
        assert!(matches!(found, Err(BarrierError::Damaged { .. })), "{path}: {found:?}");
    }
    // A path cut differently between prefix and rest is the same place.
    view.put("a/b", b"3").await.unwrap();
    assert_eq!(view.sub("a/").get("b").await.unwrap().unwrap().expose(), b"3");
}

#[tokio::test]
async fn a_record_of_another_cluster_does_not_open() {
    let (here, there) = (cluster().await, cluster().await);
    there.root().put("k", b"1").await.unwrap();
    let bytes = there.store.get(&key("data/k")).await.unwrap().unwrap();
    here.store.put(key("data/k"), bytes).await.unwrap();
    assert!(here.root().get("k").await.is_err());
}

/// H2: every bit, every length, some appended.
#[tokio::test]
async fn h2_any_change_of_a_record_is_noticed() {
    let cluster = cluster().await;
    let view = cluster.root();
    view.put("k", b"some value").await.unwrap();
    let bytes = cluster.store.get(&key("data/k")).await.unwrap().unwrap();
    assert_eq!(bytes.len(), 1 + 4 + 8 + 12 + 10 + 16);
    let mut wrong: Vec<Vec<u8>> = (0..bytes.len()).map(|end| bytes[..end].to_vec()).collect();
    wrong.push([&bytes[..], &[0]].concat());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        wrong.push(flipped);
    }
    for changed in wrong {
        cluster.store.put(key("data/k"), changed.clone()).await.unwrap();
        let found = view.get("k").await;
        let refused = matches!(found, Err(BarrierError::Damaged { .. } | BarrierError::UnknownTerm { .. }));
        assert!(refused, "{changed:02x?}: {found:?}");
    }
    cluster.store.put(key("data/k"), bytes).await.unwrap();
    assert_eq!(view.get("k").await.unwrap().unwrap().expose(), b"some value");
}

#[tokio::test]
async fn old_terms_open_and_new_writes_use_the_new_one() {
    let cluster = cluster().await;
    let term = |bytes: Vec<u8>| record::header(&bytes).unwrap().term;
    for expected in 1..=5 {
        let path = format!("k{expected}");
        cluster.root().put(&path, path.as_bytes()).await.unwrap();
        let bytes = cluster.store.get(&key(&format!("data/{path}"))).await.unwrap().unwrap();
        assert_eq!(term(bytes), expected);
        assert_eq!(cluster.barrier.open().unwrap().rotate().await.unwrap(), expected + 1);
    }
    let derived = cluster.barrier.open().unwrap().derive("x").unwrap();
    let cluster = cluster.restarted();
    cluster.unseal().await;
    for n in 1..=5 {
        let path = format!("k{n}");
        assert_eq!(cluster.root().get(&path).await.unwrap().unwrap().expose(), path.as_bytes());
    }
    assert!(
        cluster.barrier.open().unwrap().derive("x").unwrap().ct_eq(&derived),
        "rotation keeps derived keys"
    );
}

#[test]
fn a_place_cannot_be_cut_differently() {
    let envelope = Envelope::new(&fresh_key(&SystemEntropy).unwrap());
    let header = Header { term: 1, version: 2 };
    let bytes =
        record::seal(&envelope, Place { cluster: "ab", path: "c" }, header, b"x", &SystemEntropy).unwrap();
    assert!(record::open(&envelope, Place { cluster: "ab", path: "c" }, &bytes).is_ok());
    assert!(record::open(&envelope, Place { cluster: "a", path: "bc" }, &bytes).is_err());
    assert!(record::open(&envelope, Place { cluster: "ab", path: "" }, &bytes).is_err());
}

proptest! {
    #[test]
    fn any_bytes_as_a_record_are_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let envelope = Envelope::new(&fresh_key(&SeededEntropy::new(SEED)).unwrap());
        let place = Place { cluster: "c", path: "p" };
        prop_assert!(record::open(&envelope, place, &bytes).is_err());
        let mut headed = vec![record::VERSION];
        headed.extend_from_slice(&bytes);
        prop_assert!(record::open(&envelope, place, &headed).is_err());
    }
}
