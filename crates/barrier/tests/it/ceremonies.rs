//! Initialising and unsealing: which shares are taken, what is refused, what is told.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_barrier::share::{self, BadShare, Set};
use coffre_barrier::{BarrierError, InitRefused, Sealed, UnsealRefused, share_counts};
use coffre_secret::SecretVec;
use coffre_shamir::{BadThreshold, Share};
use coffre_storage::faults::{Fault, Faulty};
use coffre_storage::{Memory, Store};
use proptest::prelude::*;

use super::{Cluster, barrier_over, cluster, key, small};

#[tokio::test]
async fn the_life_of_a_cluster() {
    let store = Arc::new(Memory::new());
    let barrier = barrier_over(Arc::clone(&store) as Arc<dyn Store>, small());
    let status = barrier.status().await.unwrap();
    assert!(!status.initialized && status.sealed);
    assert_eq!((status.shares, status.threshold), (0, 0));
    let mut new = barrier.prepare_init(5, 3).await.unwrap();
    new.put("first", b"record").unwrap();
    let (derived, id) = (new.derive("label"), new.cluster_id().to_owned());
    assert!(!barrier.status().await.unwrap().initialized, "preparing writes nothing");
    let shares = new.commit().await.unwrap().shares;
    let status = barrier.status().await.unwrap();
    assert!(status.initialized && status.sealed, "init leaves it sealed");
    assert_eq!((status.shares, status.threshold, status.progress), (5, 3, 0));
    assert_eq!((status.cluster_id, status.nonce.as_str()), (None, ""));
    assert_eq!(barrier.open().unwrap_err(), Sealed);
    for share in &shares[1..4] {
        barrier.submit_share(share.expose()).await.unwrap();
    }
    let open = barrier.open().unwrap();
    assert!(open.derive("label").unwrap().ct_eq(&derived));
    assert_eq!(open.cluster_id(), id);
    assert_eq!(barrier.status().await.unwrap().cluster_id, Some(id));
    assert_eq!(open.view("").get("first").await.unwrap().unwrap().expose(), b"record");
    // Once unsealed, a share only asks for the status.
    assert!(!barrier.submit_share(b"anything").await.unwrap().sealed);
}

#[tokio::test]
async fn all_choices_of_shares_unseal_in_all_written_forms() {
    let cluster = cluster().await;
    for (a, b) in [(0, 1), (1, 0), (0, 2), (2, 1)] {
        cluster.barrier.seal().await;
        let hexadecimal = hex::encode_upper(cluster.shares[a].expose());
        let base64 = format!(" {}\n", STANDARD.encode(cluster.shares[b].expose()));
        assert_eq!((hexadecimal.len(), base64.trim().len()), (96, 64));
        cluster.barrier.submit_share(hexadecimal.as_bytes()).await.unwrap();
        let status = cluster.barrier.submit_share(base64.as_bytes()).await.unwrap();
        assert!(!status.sealed);
        assert_eq!((status.progress, status.nonce.as_str()), (0, ""));
    }
}

#[test]
fn numbers_of_shares_that_make_no_sense_are_refused() {
    let refused = |shares, threshold| share_counts(shares, threshold).unwrap_err();
    assert!(matches!(refused(0, 0), InitRefused::Threshold(BadThreshold::Zero)));
    assert!(matches!(refused(3, 0), InitRefused::Threshold(BadThreshold::Zero)));
    assert!(matches!(refused(3, 4), InitRefused::Threshold(BadThreshold::Unreachable { .. })));
    assert!(matches!(refused(3, 1_000), InitRefused::Threshold(BadThreshold::Unreachable { .. })));
    assert!(matches!(refused(3, 1), InitRefused::Threshold(BadThreshold::OneOfMany(3))));
    assert!(matches!(refused(256, 3), InitRefused::TooManyShares(256)));
    assert_eq!(share_counts(255, 255).unwrap(), (255, 255));
    assert_eq!(share_counts(1, 1).unwrap(), (1, 1));
}

/// F6: of many at once exactly one gets shares, and these unseal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_inits_at_once_one_wins() {
    for _ in 0..20 {
        let store = Arc::new(Memory::new());
        let nodes = [0, 1].map(|_| barrier_over(Arc::clone(&store) as Arc<dyn Store>, small()));
        let races = (0..20).map(|n| {
            let node = Arc::clone(&nodes[n % 2]);
            tokio::spawn(async move { node.prepare_init(1, 1).await?.commit().await })
        });
        let mut winners = Vec::new();
        for race in races.collect::<Vec<_>>() {
            match race.await.unwrap() {
                Ok(new) => winners.push(new),
                Err(InitRefused::AlreadyInitialised) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(winners.len(), 1);
        for node in &nodes {
            assert!(!node.submit_share(winners[0].shares[0].expose()).await.unwrap().sealed);
        }
    }
}

#[tokio::test]
async fn a_storage_with_records_is_not_initialised_again() {
    let cluster = cluster().await;
    assert!(matches!(cluster.barrier.prepare_init(1, 1).await, Err(InitRefused::AlreadyInitialised)));
    cluster.store.delete(key("core/seal-config")).await.unwrap();
    let cluster = cluster.restarted();
    assert!(!cluster.barrier.status().await.unwrap().initialized);
    assert!(matches!(cluster.barrier.prepare_init(1, 1).await, Err(InitRefused::NotEmpty)));
    let share = cluster.shares[0].expose();
    assert!(matches!(cluster.barrier.submit_share(share).await, Err(UnsealRefused::NotInitialised)));
}

#[tokio::test]
async fn an_init_that_fails_leaves_nothing() {
    let store = Arc::new(Faulty::new(Memory::new()));
    let barrier = barrier_over(Arc::clone(&store) as Arc<dyn Store>, small());
    let new = barrier.prepare_init(1, 1).await.unwrap();
    store.fail_nth(1, Fault::Refused);
    assert!(matches!(new.commit().await, Err(InitRefused::Failed(_))));
    assert!(store.list_page("", None, 9).await.unwrap().keys.is_empty());
    barrier.prepare_init(1, 1).await.unwrap().commit().await.unwrap();
}

/// F3, without a right one before: each is refused, and the progress stays.
#[tokio::test]
async fn shares_that_are_none_are_refused_early_and_change_nothing() {
    let cluster = cluster().await.restarted();
    let good = cluster.shares[0].expose();
    let nonce = cluster.barrier.submit_share(good).await.unwrap().nonce;
    assert_eq!(nonce.len(), 36);
    let mut typing_error = hex::encode(cluster.shares[1].expose()).into_bytes();
    typing_error[50] = if typing_error[50] == b'0' { b'1' } else { b'0' };
    let wrong: [(Vec<u8>, BadShare); 9] = [
        (vec![], BadShare::Malformed),
        (good[..47].to_vec(), BadShare::Malformed),
        (vec![b'a'; 1_000_000], BadShare::Malformed),
        (vec![b'z'; 96], BadShare::Malformed),
        (vec![b'!'; 64], BadShare::Malformed),
        (vec![0; 48], BadShare::Mistyped),
        (vec![b'0'; 96], BadShare::Mistyped),
        (vec![b'A'; 64], BadShare::Mistyped),
        (typing_error, BadShare::Mistyped),
    ];
    for (given, expected) in wrong {
        match cluster.barrier.submit_share(&given).await {
            Err(UnsealRefused::Share(bad)) => assert_eq!(bad, expected, "{} bytes", given.len()),
            other => panic!("{other:?}"),
        }
    }
    let status = cluster.barrier.status().await.unwrap();
    assert_eq!((status.progress, status.nonce), (1, nonce));
}

#[tokio::test]
async fn the_same_share_twice_counts_once_and_the_nonce_names_the_attempt() {
    let cluster = cluster().await.restarted();
    let first = cluster.barrier.submit_share(cluster.shares[0].expose()).await.unwrap();
    let again = cluster.barrier.submit_share(cluster.shares[0].expose()).await.unwrap();
    assert_eq!((first.progress, again.progress), (1, 1));
    assert_eq!(first.nonce, again.nonce);
    cluster.barrier.reset_unseal();
    let status = cluster.barrier.status().await.unwrap();
    assert_eq!((status.progress, status.nonce.as_str()), (0, ""));
    let next = cluster.barrier.submit_share(cluster.shares[0].expose()).await.unwrap();
    assert_ne!(next.nonce, first.nonce);
    assert!(!cluster.barrier.submit_share(cluster.shares[2].expose()).await.unwrap().sealed);
}

/// A share that says it belongs here, with any content: whoever knows the cluster can make one.
fn forged(cluster: &Cluster, x: u8, y: [u8; 32]) -> SecretVec {
    let known = cluster.shares[0].expose();
    let id = cluster.barrier.open().map(|open| open.cluster_id().to_owned()).unwrap();
    let set = Set::new(&id, known[6..12].try_into().unwrap());
    share::encode(set, &Share::new(x, SecretVec::new(y.to_vec()))).unwrap()
}

#[tokio::test]
async fn a_wrong_set_is_refused_as_a_whole_and_starts_again() {
    let cluster = cluster().await;
    let wrong = forged(&cluster, 2, [9; 32]);
    let zero = forged(&cluster, 0, [9; 32]);
    let beyond = forged(&cluster, 4, [9; 32]);
    let cluster = cluster.restarted();
    for bad in [zero, beyond] {
        let refused = cluster.barrier.submit_share(bad.expose()).await;
        assert!(matches!(refused, Err(UnsealRefused::Share(BadShare::NoSuchNumber(0 | 4)))), "{refused:?}");
    }
    cluster.barrier.submit_share(cluster.shares[0].expose()).await.unwrap();
    let refused = cluster.barrier.submit_share(wrong.expose()).await;
    assert!(matches!(refused, Err(UnsealRefused::WrongSet)), "{refused:?}");
    let message = refused.unwrap_err().to_string();
    assert!(!message.contains(|c: char| c.is_ascii_digit()), "names a share: {message}");
    let status = cluster.barrier.status().await.unwrap();
    assert!(status.sealed);
    assert_eq!((status.progress, status.nonce.as_str()), (0, ""));
    cluster.barrier.submit_share(wrong.expose()).await.unwrap();
    let right = cluster.shares[1].expose();
    let conflict = cluster.barrier.submit_share(right).await;
    assert!(matches!(conflict, Err(UnsealRefused::Conflict(2))), "{conflict:?}");
    cluster.barrier.reset_unseal();
    cluster.unseal().await;
}

#[tokio::test]
async fn shares_of_another_cluster_or_another_set_are_told_apart() {
    let (here, there) = (cluster().await.restarted(), cluster().await);
    let foreign = here.barrier.submit_share(there.shares[0].expose()).await;
    assert!(matches!(foreign, Err(UnsealRefused::Share(BadShare::Foreign))), "{foreign:?}");
    let id = there.barrier.open().unwrap().cluster_id().to_owned();
    let old = share::encode(Set::new(&id, [0; 6]), &Share::new(1, SecretVec::new(vec![1; 32]))).unwrap();
    let there = there.restarted();
    let refused = there.barrier.submit_share(old.expose()).await;
    assert!(matches!(refused, Err(UnsealRefused::Share(BadShare::OtherSet))), "{refused:?}");
}

#[tokio::test]
async fn records_of_the_seal_that_are_gone_or_changed_keep_it_sealed() {
    for name in ["core/root-key", "core/keyring", "core/messages"] {
        let cluster = cluster().await.restarted();
        let bytes = cluster.store.get(&key(name)).await.unwrap().unwrap();
        cluster.store.delete(key(name)).await.unwrap();
        cluster.barrier.submit_share(cluster.shares[0].expose()).await.unwrap();
        let refused = cluster.barrier.submit_share(cluster.shares[1].expose()).await;
        assert!(matches!(refused, Err(UnsealRefused::Failed(BarrierError::Missing(_)))), "{refused:?}");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            cluster.store.put(key(name), changed).await.unwrap();
            cluster.barrier.submit_share(cluster.shares[0].expose()).await.unwrap();
            assert!(cluster.barrier.submit_share(cluster.shares[1].expose()).await.is_err(), "{name} {at}");
            assert_eq!(cluster.barrier.status().await.unwrap().progress, 0);
        }
        cluster.store.put(key(name), bytes).await.unwrap();
        cluster.unseal().await;
    }
}

/// H9: a keyring of before a rotation is noticed before anything is written under it.
#[tokio::test]
async fn h9_an_older_keyring_is_refused() {
    let cluster = cluster().await;
    let old = cluster.store.get(&key("core/keyring")).await.unwrap().unwrap();
    assert_eq!(cluster.barrier.open().unwrap().rotate().await.unwrap(), 2);
    let new = cluster.store.get(&key("core/keyring")).await.unwrap().unwrap();
    cluster.store.put(key("core/keyring"), old).await.unwrap();
    let cluster = cluster.restarted();
    cluster.barrier.submit_share(cluster.shares[0].expose()).await.unwrap();
    let refused = cluster.barrier.submit_share(cluster.shares[1].expose()).await;
    assert!(matches!(refused, Err(UnsealRefused::Failed(BarrierError::Mixed))), "{refused:?}");
    cluster.store.put(key("core/keyring"), new).await.unwrap();
    cluster.unseal().await;
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_refused() {
    let cluster = cluster().await.restarted();
    for bad in ["", "{}", "null", "[1", "{\"format\":1}"] {
        cluster.store.put(key("core/seal-config"), bad.as_bytes().to_vec()).await.unwrap();
        let status = cluster.barrier.status().await;
        assert!(matches!(status, Err(BarrierError::Damaged { .. })), "{bad}: {status:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_as_a_share_are_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assert!(share::decode(&bytes, Set::new("id", [1; 6]), 255).is_err());
    }

    #[test]
    fn a_share_survives_its_written_form(x in 1_u8..=255, y in any::<[u8; 32]>(), tag in any::<[u8; 6]>()) {
        let set = Set::new("id", tag);
        let code = share::encode(set, &Share::new(x, SecretVec::new(y.to_vec()))).unwrap();
        let again = share::decode(hex::encode(code.expose()).as_bytes(), set, 255).unwrap();
        prop_assert_eq!((again.x(), again.y().expose().as_slice()), (x, &y[..]));
        // Any single wrong digit is noticed.
        for at in 0..96 {
            let mut digits = hex::encode(code.expose()).into_bytes();
            digits[at] = if digits[at] == b'f' { b'e' } else { b'f' };
            prop_assert!(share::decode(&digits, set, 255).is_err());
        }
    }
}
