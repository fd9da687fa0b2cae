//! Rows D7, D10 to D13, D16, K7 and the clock rule.

use coffre_api::Op;
use coffre_storage::faults::Fault;
use coffre_testkit::{Mood, START, TestVault};
use serde_json::{Value, json};

const USER: &str = r#"
path "toy/creds/*" { capabilities = ["read"] }
path "auth/token/create" { capabilities = ["update", "sudo"] }"#;

async fn user(seed: u64) -> (TestVault, String) {
    let vault = TestVault::new(seed).await;
    vault.policy("user", USER).await;
    let token = vault.token(json!({"policies": ["user"], "ttl": "2h"})).await;
    (vault, token)
}

async fn child(vault: &TestVault, parent: &str, body: Value) -> String {
    vault.ask(Op::Write, "auth/token/create", parent, body).await.is(200).text("/auth/client_token")
}

#[tokio::test]
async fn d7_the_leases_of_a_tree_fall_with_its_top_and_those_of_orphans_stay() {
    let (vault, top) = user(7).await;
    for _ in 0..5 {
        let middle = child(&vault, &top, json!({})).await;
        let leaf = child(&vault, &middle, json!({})).await;
        let orphan = child(&vault, &middle, json!({"no_parent": true})).await;
        for token in [&middle, &leaf, &orphan] {
            let _ = vault.creds(token, "app", Value::Null).await.is(200);
        }
    }
    let _ = vault.creds(&top, "app", Value::Null).await.is(200);
    assert_eq!(vault.target.accounts().len(), 16);
    let _ = vault.root(Op::Write, "auth/token/revoke", json!({"token": top})).await.is(204);
    vault.live(2, 1).await;
    assert_eq!(vault.target.accounts().len(), 5, "the orphans'");
    assert_eq!(vault.keys("core/lease/id/").await.len(), 5);
    assert_eq!(vault.keys("core/lease/token/").await.len(), 5);
    assert_eq!(vault.keys("core/lease/due/").await.len(), 5);
}

#[tokio::test]
async fn d7_every_way_in_which_a_token_ends_ends_its_leases() {
    let (vault, top) = user(8).await;
    let expiring = child(&vault, &top, json!({"ttl": "60s"})).await;
    let _ = vault.creds(&expiring, "a", Value::Null).await.is(200);
    vault.live(61, 61).await;
    assert_eq!(vault.target.accounts().len(), 0, "expired");

    let counted = child(&vault, &top, json!({"num_uses": 2})).await;
    let _ = vault.creds(&counted, "a", Value::Null).await.is(200);
    let last = vault.creds(&counted, "a", Value::Null).await.is(400);
    assert!(last.text("/errors/0").contains("token had one use left"), "{last:?}");
    vault.live(1, 1).await;
    assert_eq!(vault.target.accounts().len(), 0, "spent");

    let own = child(&vault, &top, json!({})).await;
    let _ = vault.creds(&own, "a", Value::Null).await.is(200);
    let _ = vault.ask(Op::Write, "auth/token/revoke-self", &own, json!({})).await.is(204);
    vault.live(1, 1).await;
    assert_eq!(vault.target.accounts().len(), 0, "revoked itself");

    let parent = child(&vault, &top, json!({})).await;
    let kept = child(&vault, &parent, json!({})).await;
    for token in [&parent, &kept] {
        let _ = vault.creds(token, "a", Value::Null).await.is(200);
    }
    let _ = vault.root(Op::Write, "auth/token/revoke-orphan", json!({"token": parent})).await.is(204);
    vault.live(1, 1).await;
    assert_eq!(vault.target.accounts().len(), 1, "the child's");
}

#[tokio::test]
async fn d10_a_mount_whose_leases_cannot_be_revoked_stays_tainted_until_they_are() {
    let (vault, token) = user(10).await;
    for _ in 0..40 {
        let _ = vault.creds(&token, "app", Value::Null).await.is(200);
    }
    vault.target.set_mood(Mood::Refuses);
    let _ = vault.root(Op::Delete, "sys/mounts/toy", Value::Null).await.is(502);
    let _ = vault.creds(&token, "app", Value::Null).await.is(404);
    assert_eq!(vault.target.accounts().len(), 40);
    let vault = vault.restarted().await;
    let _ = vault.creds(&token, "app", Value::Null).await.is(404);
    let taken = vault.root(Op::Write, "sys/mounts/toy", json!({"type": "kv"})).await;
    assert_eq!(taken.status, 400, "its path is not free: {taken:?}");
    vault.target.set_mood(Mood::Works);
    let _ = vault.root(Op::Delete, "sys/mounts/toy", Value::Null).await.is(204);
    assert_eq!(vault.target.accounts().len(), 0);
    assert!(vault.keys("core/lease/").await.is_empty());
    let _ = vault.root(Op::Read, "sys/mounts/toy", Value::Null).await.is(400);
}

#[tokio::test]
async fn d10_disabling_that_fails_anywhere_can_be_finished() {
    for fault in [Fault::Refused, Fault::LostUnknown, Fault::DoneUnknown] {
        for nth in 1..40 {
            let (vault, token) = user(nth).await;
            let _ = vault.creds(&token, "app", Value::Null).await.is(200);
            vault.fail_nth(nth, fault);
            let first = vault.root(Op::Delete, "sys/mounts/toy", Value::Null).await;
            let vault = vault.restarted().await;
            if first.status != 204 {
                let again = vault.root(Op::Delete, "sys/mounts/toy", Value::Null).await;
                assert_eq!(again.status, 204, "{fault:?} at {nth}: {again:?}");
            }
            assert!(vault.target.accounts().is_empty(), "{fault:?} at {nth}");
            assert!(vault.keys("core/lease/").await.is_empty(), "{fault:?} at {nth}");
        }
    }
}

#[tokio::test]
async fn d11_knowing_a_lease_is_not_enough() {
    let (vault, token) = user(11).await;
    let mine = vault.creds(&token, "app", Value::Null).await.is(200).text("/lease_id");
    vault.policy("one", r#"path "sys/leases/revoke/toy/creds/app/*" { capabilities = ["update"] }"#).await;
    // The default policy lets a holder renew and look at a lease whose id it knows, as Vault's does.
    let other = vault.token(json!({"policies": ["one"], "no_default_policy": true})).await;
    let elsewhere = vault.creds(&vault.root, "other", Value::Null).await.is(200).text("/lease_id");
    let refused = [
        ("sys/leases/revoke".to_owned(), json!({"lease_id": mine})),
        (format!("sys/leases/revoke/{elsewhere}"), json!({})),
        ("sys/leases/renew".to_owned(), json!({"lease_id": mine})),
        ("sys/leases/lookup".to_owned(), json!({"lease_id": mine})),
        ("sys/revoke".to_owned(), json!({"lease_id": mine})),
        ("sys/renew".to_owned(), json!({"lease_id": mine})),
        ("sys/leases/revoke-prefix/toy".to_owned(), json!({})),
        ("sys/leases/revoke-force/toy".to_owned(), json!({})),
    ];
    for (path, body) in refused {
        let _ = vault.ask(Op::Write, &path, &other, body).await.is(403);
    }
    let both = json!({"lease_id": elsewhere, "sync": true});
    let _ = vault.ask(Op::Write, &format!("sys/leases/revoke/{mine}"), &other, both).await.is(400);
    assert_eq!(vault.target.accounts().len(), 2);
    let own = format!("sys/leases/revoke/{mine}");
    let _ = vault.ask(Op::Write, &own, &other, json!({"sync": true})).await.is(204);
    assert_eq!(vault.target.accounts().len(), 1);
    // The aliases of old versions do not exist, not even for root.
    let _ = vault.root(Op::Write, "sys/revoke", json!({"lease_id": elsewhere})).await.is(404);
    assert_eq!(vault.target.accounts().len(), 1);
}

#[tokio::test]
async fn d12_a_prefix_is_whole_segments() {
    let (vault, token) = user(12).await;
    for role in ["app", "app2", "ap"] {
        let _ = vault.creds(&token, role, Value::Null).await.is(200);
    }
    for prefix in ["toy/creds/a", "toy/cred", "to"] {
        let path = format!("sys/leases/revoke-prefix/{prefix}");
        let _ = vault.root(Op::Write, &path, json!({"sync": true})).await.is(204);
    }
    assert_eq!(vault.target.accounts().len(), 3);
    // With a slash at its end, as people write a folder.
    let path = "sys/leases/revoke-prefix/toy/creds/app/";
    let _ = vault.root(Op::Write, path, json!({"sync": true})).await.is(204);
    let left = vault.target.accounts();
    assert!(left.len() == 2 && left[0].starts_with("ap-") && left[1].starts_with("app2-"), "{left:?}");
}

#[tokio::test]
async fn d13_what_ended_while_the_server_was_down_is_refused_at_once_and_cleaned_up() {
    let (vault, token) = user(13).await;
    let lease = vault.creds(&token, "app", json!({"ttl": "5s"})).await.is(200).text("/lease_id");
    vault.advance(10);
    let vault = vault.restarted().await;
    let renewed = vault.root(Op::Write, "sys/leases/renew", json!({"lease_id": lease})).await.is(400);
    assert_eq!(renewed.text("/errors/0"), "lease not found");
    let shown = vault.root(Op::Write, "sys/leases/lookup", json!({"lease_id": lease})).await.is(200);
    assert_eq!((shown.number("/data/ttl"), &shown.body["data"]["renewable"]), (0, &json!(false)));
    vault.live(1, 1).await;
    assert!(vault.target.accounts().is_empty());
    let _ = vault.root(Op::Write, "sys/leases/lookup", json!({"lease_id": lease})).await.is(400);
}

#[tokio::test]
async fn d16_what_cannot_be_revoked_is_listed_counted_and_tried_again() {
    let (vault, token) = user(16).await;
    let lease = vault.creds(&token, "app", json!({"ttl": "60s"})).await.is(200).text("/lease_id");
    vault.target.set_mood(Mood::Refuses);
    vault.live(60, 60).await;
    let trouble = vault.root(Op::Read, "sys/leases", json!({"type": "irrevocable"})).await.is(200);
    assert_eq!(trouble.number("/data/lease_count"), 0, "one failure is no reason to give up");
    vault.live(600, 5).await;
    let tries = vault.target.asked() - 1;
    assert_eq!(tries, 6);
    let vault = vault.restarted().await;
    let trouble = vault.root(Op::Read, "sys/leases", json!({"type": "irrevocable"})).await.is(200);
    assert_eq!(trouble.number("/data/lease_count"), 1);
    assert_eq!(trouble.text("/data/leases/0/lease_id"), lease);
    assert_eq!(trouble.text("/data/leases/0/error"), "the target refused");
    let counted = vault.root(Op::Read, "sys/leases/count", json!({"type": "irrevocable"})).await.is(200);
    assert_eq!(counted.number("/data/lease_count"), 1);
    assert_eq!(vault.target.accounts().len(), 1);
    vault.live(3600, 600).await;
    assert_eq!(vault.target.asked() - 1, tries, "no longer often");
    vault.target.set_mood(Mood::Works);
    vault.live(31 * 3600, 3600).await;
    assert!(vault.target.accounts().is_empty(), "once a day");
    assert!(vault.keys("core/lease/").await.is_empty());
}

#[tokio::test]
async fn d16_an_irrevocable_lease_can_be_revoked_by_hand_or_by_force() {
    let (vault, token) = user(161).await;
    let mut leases = Vec::new();
    for role in ["a", "b"] {
        leases.push(vault.creds(&token, role, json!({"ttl": "10s"})).await.is(200).text("/lease_id"));
    }
    vault.target.set_mood(Mood::Refuses);
    vault.live(1200, 10).await;
    assert_eq!(vault.keys("core/lease/irrevocable/").await.len(), 2);
    let body = json!({"lease_id": leases[0], "sync": true});
    let _ = vault.root(Op::Write, "sys/leases/revoke", body.clone()).await.is(502);
    vault.target.set_mood(Mood::Works);
    let _ = vault.root(Op::Write, "sys/leases/revoke", body).await.is(204);
    assert_eq!(vault.target.accounts().len(), 1);
    vault.target.set_mood(Mood::Refuses);
    let _ = vault.root(Op::Write, "sys/leases/revoke-force/toy/creds/b", json!({})).await.is(204);
    assert!(vault.keys("core/lease/").await.is_empty(), "forgotten, by order");
    assert_eq!(vault.target.accounts().len(), 1, "which is what force means");
}

#[tokio::test(start_paused = true)]
async fn d16_an_engine_that_hangs_costs_a_bounded_time_and_no_lease() {
    let (vault, token) = user(162).await;
    for _ in 0..20 {
        let _ = vault.creds(&token, "app", json!({"ttl": "10s"})).await.is(200);
    }
    vault.target.set_mood(Mood::Hangs);
    vault.advance(11);
    let began = tokio::time::Instant::now();
    vault.kernel.tick().await;
    // Leases that share a lock wait for each other; an engine's time is 15 s.
    assert!(began.elapsed().as_secs() <= 61, "{:?}", began.elapsed());
    assert_eq!(vault.keys("core/lease/id/").await.len(), 20);
    vault.target.set_mood(Mood::Works);
    vault.live(60, 5).await;
    assert!(vault.target.accounts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn d16_an_engine_that_hangs_keeps_no_other_mounts_leases_waiting() {
    let vault = crate::databases::vault(163).await;
    let made = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'";
    let role = json!({"db_name": "app", "creation_statements": [made], "default_ttl": "10s"});
    let _ = vault.root(Op::Write, "db/roles/ro", role).await.is(204);
    let root = vault.root.clone();
    // Those that hang are due first, and more than are tried at the same time.
    for _ in 0..300 {
        let _ = vault.creds(&root, "app", json!({"ttl": "9s"})).await.is(200);
    }
    for _ in 0..100 {
        let _ = vault.root(Op::Read, "db/creds/ro", Value::Null).await.is(200);
    }
    vault.target.set_mood(Mood::Hangs);
    vault.advance(11);
    let second = std::time::Duration::from_secs(1);
    let others = async {
        tokio::time::sleep(second * 3).await;
        assert_eq!(vault.databases.names("v-").len(), 0);
        // Also those that end while the others hang.
        let _ = vault.root(Op::Read, "db/creds/ro", Value::Null).await.is(200);
        vault.advance(11);
        tokio::time::sleep(second * 3).await;
        assert_eq!(vault.databases.names("v-").len(), 0);
        assert_eq!(vault.target.accounts().len(), 300);
    };
    tokio::select! {
        () = vault.kernel.background(second) => {}
        () = others => {}
    }
    vault.target.set_mood(Mood::Works);
    vault.live(300, 5).await;
    assert!(vault.target.accounts().is_empty());
}

#[tokio::test]
async fn d14_one_bad_step_of_the_clock_destroys_nothing() {
    let (vault, token) = user(14).await;
    let lease = vault.creds(&token, "app", json!({"ttl": "1h"})).await.is(200).text("/lease_id");
    let body = json!({"lease_id": lease});
    vault.clock.jump_to(START.plus(std::time::Duration::from_secs(30 * 86_400)));
    // Validity ends at once.
    let _ = vault.root(Op::Write, "sys/leases/renew", body.clone()).await.is(400);
    vault.live(30, 1).await;
    assert_eq!(
        vault.target.accounts().len(),
        1,
        "no credential is destroyed by a step that may be a mistake"
    );
    assert!(vault.kernel.clock_state().doubted);
    vault.clock.jump_to(START.plus(std::time::Duration::from_secs(30)));
    vault.live(600, 10).await;
    assert_eq!(vault.target.accounts().len(), 1);
    // What ended for the kernel stays ended.
    let _ = vault.root(Op::Write, "sys/leases/renew", body).await.is(400);
    vault.live(3000, 100).await;
    assert!(vault.target.accounts().is_empty(), "its hour is over");
}

#[tokio::test]
async fn d14_a_step_that_lasts_is_believed() {
    let (vault, token) = user(141).await;
    let _ = vault.creds(&token, "app", json!({"ttl": "1h"})).await.is(200);
    vault.clock.jump_to(START.plus(std::time::Duration::from_secs(2 * 3600)));
    vault.live(59, 1).await;
    assert_eq!(vault.target.accounts().len(), 1);
    vault.live(5, 1).await;
    assert!(vault.target.accounts().is_empty());
    assert!(!vault.kernel.clock_state().doubted);
}

#[tokio::test]
async fn d15_a_credential_without_a_lease_does_not_stay() {
    for fault in [Fault::Refused, Fault::LostUnknown, Fault::DoneUnknown] {
        for nth in 1..25 {
            let (vault, token) = user(nth).await;
            vault.fail_nth(nth, fault);
            let answer = vault.creds(&token, "app", json!({"ttl": "60s"})).await;
            let vault = vault.restarted().await;
            let leases = vault.keys("core/lease/id/").await.len();
            if answer.status == 200 {
                assert_eq!((leases, vault.target.accounts().len()), (1, 1), "{fault:?} at {nth}");
            }
            vault.live(600, 60).await;
            assert!(vault.target.accounts().is_empty(), "{fault:?} at {nth}: {answer:?}");
            assert!(vault.keys("core/lease/").await.is_empty(), "{fault:?} at {nth}");
            assert!(vault.keys("/intent/").await.is_empty(), "{fault:?} at {nth}");
        }
    }
}

#[tokio::test]
async fn k7_a_flood_of_leases_leaves_one_set_of_records_each_and_goes_as_it_came() {
    let (vault, token) = user(71).await;
    // The first round of background work keeps the cluster's time: one record, however many leases there are.
    vault.kernel.tick().await;
    let before = vault.keys("").await;
    for _ in 0..600 {
        let _ = vault.creds(&token, "app", json!({"ttl": "60s"})).await.is(200);
    }
    let made = vault.keys("").await.len() - before.len();
    assert_eq!(made, 3 * 600);
    let counted = vault.root(Op::Read, "sys/leases/count", Value::Null).await.is(200);
    assert_eq!(counted.number("/data/lease_count"), 600);
    vault.live(61, 61).await;
    assert_eq!(vault.keys("").await, before);
    assert!(vault.target.accounts().is_empty());
}
