//! Splitting the key anew (rows F2, F7): whatever fails and wherever it stops, shares that somebody has seen unseal.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Entropy as _;
use coffre_barrier::{Barrier, BarrierError, Gathering, Holders, NewSplit, UnsealRefused};
use coffre_secret::SecretVec;
use coffre_storage::faults::{Fault, Faulty};
use coffre_storage::{Memory, Store};

use super::{Cluster, SEED, barrier_over, cluster, random, small};

fn gathering() -> Gathering {
    Gathering::named(&coffre_ambient::SystemEntropy).unwrap()
}

async fn holders(barrier: &Barrier, shares: &[SecretVec]) -> Result<Holders, UnsealRefused> {
    let mut gathering = gathering();
    for share in shares {
        if let Some(holders) = barrier.give_share(&mut gathering, share.expose()).await? {
            return Ok(holders);
        }
    }
    Err(UnsealRefused::WrongSet)
}

async fn split(barrier: &Barrier, shares: &[SecretVec]) -> Result<NewSplit, UnsealRefused> {
    let holders = holders(barrier, shares).await?;
    Ok(barrier.split_anew(&holders, 4, 3).await.unwrap())
}

/// Whether these shares unseal what is stored, in a new process.
async fn unseals(store: &Arc<impl Store>, shares: &[SecretVec]) -> Option<Arc<Barrier>> {
    let barrier = barrier_over(Arc::clone(store) as Arc<dyn Store>, small());
    for share in shares {
        if barrier.submit_share(share.expose()).await.is_err() {
            return None;
        }
        if !barrier.is_sealed() {
            return Some(barrier);
        }
    }
    None
}

#[tokio::test]
async fn a_new_set_replaces_the_old_one_and_the_records_stay() {
    let cluster = cluster().await;
    cluster.root().put("k", b"v").await.unwrap();
    let new = split(&cluster.barrier, &cluster.shares).await.unwrap();
    assert!(unseals(&cluster.store, &cluster.shares).await.is_some(), "nothing is in force yet");
    cluster.barrier.adopt(&new, false).await.unwrap();
    cluster.barrier.settle(Duration::ZERO).await.unwrap();
    let status = cluster.barrier.status().await.unwrap();
    assert_eq!((status.shares, status.threshold), (4, 3));
    assert!(unseals(&cluster.store, &cluster.shares).await.is_none(), "the old set still counts");
    let barrier = unseals(&cluster.store, &new.shares).await.unwrap();
    assert_eq!(barrier.open().unwrap().view("").get("k").await.unwrap().unwrap().expose(), b"v");
    // The ceremony after it takes shares of the new set, in the old process too.
    assert!(holders(&cluster.barrier, &cluster.shares).await.is_err());
    holders(&cluster.barrier, &new.shares).await.unwrap();
}

#[tokio::test]
async fn until_the_new_set_has_arrived_either_counts_and_the_one_that_is_used_stays() {
    for old_wins in [true, false] {
        let cluster = cluster().await;
        let new = split(&cluster.barrier, &cluster.shares).await.unwrap();
        cluster.barrier.adopt(&new, false).await.unwrap();
        cluster.barrier.settle(Duration::from_secs(60)).await.unwrap();
        // The process dies here. A mixture of both sets is no set.
        let mixed = barrier_over(Arc::clone(&cluster.store) as Arc<dyn Store>, small());
        mixed.submit_share(new.shares[0].expose()).await.unwrap();
        assert!(mixed.submit_share(cluster.shares[1].expose()).await.is_err());
        let (used, other) =
            if old_wins { (&cluster.shares, &new.shares) } else { (&new.shares, &cluster.shares) };
        assert!(unseals(&cluster.store, used).await.is_some());
        assert!(unseals(&cluster.store, other).await.is_none(), "both sets go on to count");
        assert!(unseals(&cluster.store, used).await.is_some());
        assert_eq!(cluster.store.dump().iter().filter(|(key, _)| key.contains("root-key")).count(), 1);
    }
}

#[tokio::test]
async fn a_set_that_was_shown_to_have_arrived_is_alone_at_once() {
    let cluster = cluster().await;
    let new = split(&cluster.barrier, &cluster.shares).await.unwrap();
    let mut checking = gathering();
    for share in &new.shares[..2] {
        assert!(!cluster.barrier.check_new_share(&new, &mut checking, share.expose()).await.unwrap());
    }
    let old = cluster.shares[0].expose();
    assert!(cluster.barrier.check_new_share(&new, &mut checking, old).await.is_err());
    assert!(
        cluster.barrier.check_new_share(&new, &mut checking, new.shares[3].expose()).await.unwrap(),
        "three of four are enough"
    );
    cluster.barrier.adopt(&new, true).await.unwrap();
    assert!(unseals(&cluster.store, &cluster.shares).await.is_none());
    assert!(unseals(&cluster.store, &new.shares).await.is_some());
}

#[tokio::test]
async fn while_sealed_there_is_no_ceremony() {
    let cluster = cluster().await;
    let new = split(&cluster.barrier, &cluster.shares).await.unwrap();
    cluster.barrier.seal().await;
    let refused = holders(&cluster.barrier, &cluster.shares).await.unwrap_err();
    assert!(matches!(refused, UnsealRefused::Failed(BarrierError::Sealed(_))), "{refused}");
    assert!(matches!(cluster.barrier.adopt(&new, true).await, Err(BarrierError::Sealed(_))));
    let unchanged = cluster.restarted();
    unchanged.unseal().await;
}

/// F7: random sequences of splitting anew, rotating, writing and sealing, cut by faults and by the death of the
/// process. Sets that were given out are remembered; after each death at least one of them unseals, and as soon as
/// it did, it is the only one.
#[tokio::test]
async fn f7_after_any_sequence_one_set_that_somebody_has_unseals() {
    let random = random(SEED);
    let draw = |below: u8| {
        let mut byte = [0];
        random.fill(&mut byte).unwrap();
        byte[0] % below
    };
    let Cluster { store, barrier, shares, .. } = Cluster::over(Faulty::new(Memory::new()), small()).await;
    let (mut barrier, mut printed) = (barrier, vec![shares]);
    let (mut splits, mut deaths, mut records) = (0, 0, 0);
    for turn in 0..600_u32 {
        if draw(3) == 0 {
            let fault = [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown][usize::from(draw(3))];
            store.fail_nth(u64::from(draw(6)) + 1, fault);
        }
        let open = barrier.open().unwrap();
        let died = match draw(6) {
            0 | 1 => {
                let arrived = draw(2) == 0;
                let mut done = Err(());
                // The holders do not know which of their sets counts: they try the newest first.
                for set in printed.iter().rev() {
                    if let Ok(new) = split(&barrier, set).await {
                        // To have arrived, it must have been given out before it is in force.
                        done = barrier.adopt(&new, arrived).await.map_err(|_| ());
                        if done.is_ok() || arrived {
                            printed.push(new.shares);
                        }
                        splits += u32::from(done.is_ok());
                        break;
                    }
                }
                done.is_err()
            }
            2 => open.rotate().await.is_err(),
            3 => {
                records += 1;
                open.view("").put(&format!("r{turn}"), b"v").await.is_err()
            }
            4 => barrier.settle(Duration::ZERO).await.is_err(),
            _ => true,
        };
        drop(open);
        if !died && draw(4) > 0 {
            continue;
        }
        deaths += 1;
        store.fail_nth(u64::MAX, Fault::Refused);
        let mut winners = Vec::new();
        // Newest first; the first that unseals must silence all others.
        for set in printed.iter().rev() {
            winners.extend(unseals(&store, set).await.map(|opened| (opened, set.clone_shares())));
        }
        assert_eq!(winners.len(), 1, "turn {turn}: {} sets unseal", winners.len());
        let (opened, set) = winners.remove(0);
        (barrier, printed) = (opened, vec![set]);
    }
    println!("{splits} splits, {deaths} deaths, {records} records");
    assert!(splits > 30 && deaths > 50 && records > 30);
}

trait CloneShares {
    fn clone_shares(&self) -> Vec<SecretVec>;
}

impl CloneShares for Vec<SecretVec> {
    fn clone_shares(&self) -> Self {
        self.iter().map(SecretVec::duplicate).collect()
    }
}
