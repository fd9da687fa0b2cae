//! Any sequence of leasing, renewing, revoking, waiting, failing and crashing: afterwards the accounts that are there
//! are exactly those that living leases name.

use coffre_api::Op;
use coffre_storage::faults::Fault;
use coffre_testkit::{Mood, TestVault};
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
enum Step {
    Lease { ttl: u64, by_child: bool },
    Renew { which: usize, increment: u64 },
    Revoke { which: usize, sync: bool },
    RevokePrefix,
    RevokeChild,
    Wait(u64),
    Mood(Mood),
    Fault { nth: u64, fault: Fault },
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let mood = prop_oneof![Just(Mood::Works), Just(Mood::Refuses), Just(Mood::DoesAndFails)];
    let fault = prop_oneof![Just(Fault::Refused), Just(Fault::DoneUnknown), Just(Fault::LostUnknown)];
    prop_oneof![
        6 => (1_u64..500, any::<bool>()).prop_map(|(ttl, by_child)| Step::Lease { ttl, by_child }),
        3 => (any::<usize>(), 1_u64..500).prop_map(|(which, increment)| Step::Renew { which, increment }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, sync)| Step::Revoke { which, sync }),
        1 => Just(Step::RevokePrefix),
        1 => Just(Step::RevokeChild),
        4 => (1_u64..300).prop_map(Step::Wait),
        2 => mood.prop_map(Step::Mood),
        3 => (1_u64..12, fault).prop_map(|(nth, fault)| Step::Fault { nth, fault }),
        2 => Just(Step::Crash),
    ]
}

async fn play(steps: Vec<Step>, seed: u64) {
    let mut vault = TestVault::new(seed).await;
    let mut child = vault.token(json!({"policies": ["root"], "ttl": "100h"})).await;
    let mut leases: Vec<String> = Vec::new();
    for step in steps {
        match step {
            Step::Lease { ttl, by_child } => {
                let token = if by_child { child.clone() } else { vault.root.clone() };
                let made = vault.creds(&token, "r", json!({ "ttl": ttl, "max_ttl": 1000 })).await;
                if made.status == 200 {
                    leases.push(made.text("/lease_id"));
                }
            }
            Step::Renew { which, increment } if !leases.is_empty() => {
                let id = &leases[which % leases.len()];
                let body = json!({ "lease_id": id, "increment": increment });
                vault.root(Op::Write, "sys/leases/renew", body).await;
            }
            Step::Revoke { which, sync } if !leases.is_empty() => {
                let id = leases[which % leases.len()].clone();
                let body = json!({ "lease_id": id, "sync": sync });
                vault.root(Op::Write, "sys/leases/revoke", body).await;
            }
            Step::Renew { .. } | Step::Revoke { .. } => {}
            Step::RevokePrefix => {
                vault.root(Op::Write, "sys/leases/revoke-prefix/toy/creds/r", json!({})).await;
            }
            Step::RevokeChild => {
                vault.root(Op::Write, "auth/token/revoke", json!({ "token": child })).await;
                let body = json!({"policies": ["root"], "ttl": "100h"});
                let made = vault.root(Op::Write, "auth/token/create", body).await;
                child = made.text("/auth/client_token");
            }
            Step::Wait(seconds) => vault.live(seconds, 30).await,
            Step::Mood(mood) => vault.target.set_mood(mood),
            Step::Fault { nth, fault } => vault.fail_nth(nth, fault),
            Step::Crash => vault = vault.restarted().await,
        }
    }
    settle(&vault, &leases).await;
}

/// The target works again and the server runs: whatever was begun is finished within a day and a half.
async fn settle(vault: &TestVault, leases: &[String]) {
    vault.mend();
    vault.target.set_mood(Mood::Works);
    vault.live(700, 60).await;
    let mut living = 0;
    for id in leases {
        let shown = vault.root(Op::Write, "sys/leases/lookup", json!({ "lease_id": id })).await;
        assert!(matches!(shown.status, 200 | 400), "{shown:?}");
        living += usize::from(shown.status == 200 && shown.number("/data/ttl") > 0);
    }
    let stored = vault.keys("core/lease/id/").await.len();
    let accounts = vault.target.accounts().len();
    assert!(accounts >= living, "a living lease whose account is gone: {accounts} accounts, {living} leases");
    assert!(accounts <= stored, "an account without a lease: {accounts} accounts, {stored} leases");
    vault.live(36 * 3600, 3600).await;
    assert_eq!(vault.target.accounts(), Vec::<String>::new(), "everything had an end");
    let left = vault.keys("core/lease/").await;
    assert!(left.is_empty() && vault.keys("/intent/").await.is_empty(), "{left:?}");
    let counted = vault.root(Op::Read, "sys/leases/count", Value::Null).await.is(200);
    assert_eq!(counted.number("/data/lease_count"), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn accounts_are_living_leases(steps in prop::collection::vec(step(), 1..40), seed in 0_u64..1000) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(play(steps, seed));
    }
}
